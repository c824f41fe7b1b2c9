//! The section on the test.

use tfnas_stages::{ClassReport, TestReport, finite};

use super::test_confusion::confusion;
use super::test_mistakes::mistakes;
use crate::chart::{Axis, Bar, Bars, Drawing, Guide, Point, Series, Unit, XyChart};
use crate::network::Network;
use crate::section::{Figure, Part, Section};
use crate::table::{Cell, Table};
use crate::text::{counted, percent};

/// Maximum number of classes with one bar each.
const BARS: usize = 60;
/// With more classes, number of the worst that have a bar.
const WORST: usize = 25;

/// Returns the section on the test; `None` without a test.
pub fn test(network: &Network) -> Option<Section> {
    let test = network.test.get()?;
    let mut section = Section::new(&network.id("test"), &network.heading("Test"));
    section.parts.push(Part::Text(words(test)));
    let mut classes: Vec<&ClassReport> = test.classes.iter().collect();
    classes.sort_by(|one, other| {
        let top1 = |class: &ClassReport| class.top1.unwrap_or(f64::INFINITY);
        top1(one).total_cmp(&top1(other)).then(one.name.cmp(&other.name))
    });
    if classes.len() > BARS {
        section.parts.push(Part::Wide(many(network.id("classes"), test, &classes)));
        let words = Words { id: network.id("worst-classes"), title: format!("The {WORST} worst classes") };
        section.parts.push(Part::Wide(bars(words, test, &classes[..WORST])));
    } else if !classes.is_empty() {
        let words = Words { id: network.id("classes"), title: "Accuracy of each class".to_owned() };
        section.parts.push(Part::Wide(bars(words, test, &classes)));
    }
    section.parts.extend(confusion(network, test));
    section.parts.extend(mistakes(network));
    Some(section)
}

fn words(test: &TestReport) -> String {
    let skipped = match test.skipped {
        0 => String::new(),
        skipped => format!(" {} could not be read and were skipped.", counted(skipped, "image")),
    };
    format!(
        "Top-1 {}, top-5 {} on {}.{skipped}",
        percent(test.top1),
        percent(test.top5),
        counted(test.images, "test image")
    )
}

fn bar(class: &ClassReport) -> Bar {
    Bar {
        label: class.name.clone(),
        value: class.top1.unwrap_or(f64::NAN),
        text: class.top1.map_or("no test image".to_owned(), percent),
        color: 0,
    }
}

/// The texts of a figure.
struct Words {
    id: String,
    title: String,
}

fn bars(words: Words, test: &TestReport, classes: &[&ClassReport]) -> Figure {
    let drawing = Bars {
        width: 760.0,
        label: "top-1, %".to_owned(),
        unit: Unit::Percent,
        include: vec![1.0],
        bars: classes.iter().map(|class| bar(class)).collect(),
    };
    figure(words, test, classes, drawing.draw(), "Bar chart")
}

/// Draws many classes as one curve.
fn many(id: String, test: &TestReport, classes: &[&ClassReport]) -> Figure {
    let tested = classes.iter().filter(|class| class.top1.is_some());
    let points = tested.enumerate().map(|(index, class)| Point {
        x: (index + 1) as f64,
        y: class.top1.unwrap_or(f64::NAN),
        title: format!("{}: {}", class.name, share(class.top1)),
        ..Point::default()
    });
    let mut series = Series::marks("", 0, points.collect());
    series.mark = 2.5;
    let guides = finite(test.top1).map(|top1| Guide::Horizontal(top1, format!("all classes {}", percent(top1))));
    let chart = XyChart {
        width: 1000.0,
        height: 320.0,
        x: Axis::new("class, from the worst to the best", Unit::Whole),
        y: Axis::new("top-1, %", Unit::Percent).including(&[0.0, 1.0]),
        series: vec![series],
        guides: guides.into_iter().collect(),
    };
    let words = Words { id, title: "Accuracy of all classes".to_owned() };
    figure(words, test, classes, chart.draw(), "Scatter chart")
}

fn figure(words: Words, test: &TestReport, classes: &[&ClassReport], drawing: Drawing, kind: &str) -> Figure {
    let ends = match (classes.first(), classes.iter().rev().find(|class| class.top1.is_some())) {
        (Some(worst), Some(best)) => {
            let described = |class: &ClassReport| format!("{} ({})", class.name, share(class.top1));
            format!(" The worst class is {}, the best {}.", described(worst), described(best))
        }
        _ => String::new(),
    };
    let mut table = Table::new(&words.title, &["class", ">test images", ">top-1"]);
    for class in classes {
        table.row([Cell::from(class.name.as_str()), Cell::count(class.images), Cell::number(class.top1, percent)]);
    }
    let all = percent(test.top1);
    Figure {
        id: words.id,
        title: words.title,
        description: format!("{kind} of the top-1 of {}; {all} over all.{ends}", counted(classes.len(), "class")),
        note: "Top-1 of a class is its recall. Its precision is the fraction of correct predictions among all predictions of the class."
            .to_owned(),
        drawing,
        table,
    }
}

fn share(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Output;

    fn html(classes: usize) -> String {
        let classes = (0..classes).map(|index| ClassReport {
            name: format!("<script>alert({index})</script> & \"Größe\""),
            images: 5,
            top1: (index != 1).then(|| index as f64 / 1000.0),
            ..ClassReport::default()
        });
        let test = TestReport {
            top1: 0.5,
            top5: f64::NAN,
            loss: f64::NAN,
            images: 50,
            skipped: 2,
            untested: Vec::new(),
            classes: classes.collect(),
            confusion: None,
        };
        let network = Network { test: Output::Read(test), ..Network::default() };
        super::test(&network).map(|section| section.html().into_string()).unwrap_or_default()
    }

    #[test]
    fn class_names_are_escaped() {
        for classes in [3, 200] {
            let html = html(classes);
            assert!(!html.contains("<script>") && html.contains("&lt;script&gt;alert(0)"), "{classes}");
            assert!(html.contains("2 images could not be read"));
        }
    }

    #[test]
    fn many_classes_are_one_curve_and_bars_of_the_worst() {
        let html = html(1000);
        assert_eq!(html.matches("<svg").count(), 2);
        assert!(html.contains("The 25 worst classes") && html.contains("alert(999)") && html.contains("(1,000 rows)"));
    }

    #[test]
    fn classes_without_images_are_marked() {
        assert!(html(0).contains("top-5 –") && !html(0).contains("<svg"));
        assert!(html(3).contains("no test image"));
    }
}
