//! The confusion matrix.

use tfnas_stages::{Confusion, TestReport};

use crate::chart::{HeatMap, ROW};
use crate::network::Network;
use crate::section::{Figure, Part};
use crate::table::{Cell, Table};
use crate::text::{counted, percent, shortened, whole};

/// Maximum number of classes for which the matrix is drawn.
const DRAWN: usize = 60;
/// Maximum number of classes for which the figure shows the numbers.
const NUMBERED: usize = 20;
/// Number of confusions listed without expanding.
const LISTED: usize = 15;
/// Number of confusions named in the description of the figure.
const NAMED: usize = 5;
/// Maximum length of a class name in the figure, in characters.
const NAME: usize = 18;

/// Returns the confusion matrix and the most frequent confusions.
pub fn confusion(network: &Network, test: &TestReport) -> Vec<Part> {
    let Some(confusion) = &test.confusion else {
        let absent = "This test was made by an earlier release that did not record confusions and predictions. \
                      `run test --force test` records them.";
        return vec![Part::Text(absent.to_owned())];
    };
    if confusion.largest.is_empty() {
        return vec![Part::Text("All test images are classified correctly.".to_owned())];
    }
    let mut parts = Vec::new();
    let drawn = (2..=DRAWN).contains(&confusion.matrix.len());
    if drawn {
        parts.push(Part::Wide(figure(network.id("confusion"), test, confusion)));
    }
    let id = network.id("confusions");
    let all = table(test, confusion, usize::MAX);
    let most = if confusion.pairs > confusion.largest.len() {
        format!(
            "The {} most frequent of {} confusions",
            whole(confusion.largest.len() as u64),
            whole(confusion.pairs as u64)
        )
    } else {
        "All confusions, most frequent first".to_owned()
    };
    // With few classes, the figure has all numbers.
    if drawn && confusion.matrix.len() <= NUMBERED {
        parts.push(Part::Folded(id, most, all));
        return parts;
    }
    parts.push(Part::Table(id, table(test, confusion, LISTED)));
    if confusion.largest.len() > LISTED {
        parts.push(Part::Folded(network.id("all-confusions"), most, all));
    }
    parts
}

fn table(test: &TestReport, confusion: &Confusion, most: usize) -> Table {
    let mut table = Table::new("Confusions", &["class", "prediction", ">images", ">fraction of the class"]);
    for pair in confusion.largest.iter().take(most) {
        let of = test.classes.iter().find(|class| class.name == pair.class).map_or(0, |class| class.images);
        table.row([
            Cell::from(pair.class.as_str()),
            Cell::from(pair.predicted.as_str()),
            Cell::count(pair.images),
            Cell::number((of > 0).then(|| pair.images as f64 / of as f64), percent),
        ]);
    }
    table
}

fn figure(id: String, test: &TestReport, confusion: &Confusion) -> Figure {
    let name = |label: usize| {
        test.classes.get(label).map_or_else(|| format!("class {}", label + 1), |class| class.name.clone())
    };
    let names: Vec<String> = (0..confusion.matrix.len()).map(name).collect();
    let shares = |(label, row): (usize, &Vec<usize>)| {
        let of = test.classes.get(label).map_or(0, |class| class.images);
        // Rare confusions have a pale cell; absent ones an empty one.
        row.iter().map(|images| (of > 0 && *images > 0).then(|| *images as f64 / of as f64)).collect()
    };
    let cells: Vec<Vec<Option<f64>>> = confusion.matrix.iter().enumerate().map(shares).collect();
    let headings: Vec<String> = names.iter().map(|name| format!(">{name}")).collect();
    let headings: Vec<&str> = std::iter::once("class").chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new("Images by class (rows) and prediction (columns)", &headings);
    for (name, row) in names.iter().zip(&confusion.matrix) {
        table.row(std::iter::once(Cell::from(name.as_str())).chain(row.iter().map(|images| Cell::count(*images))));
    }
    let descriptions = confusion
        .largest
        .iter()
        .take(NAMED)
        .map(|pair| format!("{} as {} ({})", pair.class, pair.predicted, counted(pair.images, "image")));
    let description = format!(
        "Heat map of {} classes and their predictions. Most frequent confusions: {}.",
        names.len(),
        descriptions.collect::<Vec<_>>().join(", ")
    );
    let map = HeatMap {
        width: 1000.0,
        row: match names.len() {
            ..=20 => ROW,
            21..=40 => 18.0,
            _ => 14.0,
        },
        shows_rare: true,
        picked: (0..names.len()).map(Some).collect(),
        rows: names.clone(),
        columns: names.iter().map(|name| shortened(name, NAME)).collect(),
        label: "prediction; % of the images of the class".to_owned(),
        cells,
    };
    Figure {
        id,
        title: "Confusion matrix".to_owned(),
        description,
        note: "A row is a class, a column a prediction. A frame marks the correct predictions. Small fractions are \
               drawn darker than their value."
            .to_owned(),
        drawing: map.draw(),
        table,
    }
}

#[cfg(test)]
mod tests {
    use tfnas_stages::TestTally;

    use super::*;

    /// Returns the section of a test with this many classes; in each class one image is classified as the next class
    /// and two are correct.
    fn parts(classes: usize, wrong: bool) -> Vec<Part> {
        let names: Vec<String> = (0..classes).map(|index| format!("<b>{index}</b> & class")).collect();
        let mut tally = TestTally::new(classes);
        for class in 0..classes {
            (0..2).for_each(|_| tally.add(class, Some(class), 1));
            if wrong {
                tally.add(class, Some((class + 1) % classes), 2);
            }
        }
        let test = TestReport {
            top1: tally.top1(),
            top5: tally.top5(),
            loss: 1.0,
            images: tally.images(),
            skipped: 0,
            untested: Vec::new(),
            classes: tally.classes(&names),
            confusion: Some(tally.confusion(&names)),
        };
        confusion(&Network::default(), &test)
    }

    fn html(parts: Vec<Part>) -> String {
        let mut section = crate::section::Section::new("test", "Test");
        section.parts = parts;
        section.html().into_string()
    }

    #[test]
    fn few_classes_have_a_heat_map_with_a_table_of_counts() {
        for classes in [2, 10, 30, 60] {
            let parts = parts(classes, true);
            let Part::Wide(figure) = &parts[0] else { panic!("{classes} classes are not drawn") };
            assert_eq!(figure.table.len(), classes);
            assert!(
                figure.description.contains("0</b> & class as <b>1</b> & class (1 image)"),
                "{}",
                figure.description
            );
            let html = html(parts);
            assert_eq!(html.matches("<caption>Confusions").count(), if classes > 20 { 2 } else { 1 });
            assert!(html.contains(", &lt;b&gt;1&lt;/b&gt; &amp; class: 33 %") && !html.contains("<b>"), "{html}");
        }
    }

    #[test]
    fn many_classes_have_a_table_of_confusions() {
        let parts = parts(1000, true);
        assert!(matches!(&parts[0], Part::Table(_, table) if table.len() == LISTED));
        assert!(matches!(&parts[1], Part::Folded(_, _, table) if table.len() == 1000));
        let html = html(parts);
        assert!(!html.contains("<svg") && html.contains("All confusions"));
    }

    #[test]
    fn missing_confusions_have_a_note() {
        assert!(html(parts(3, false)).contains("All test images are classified correctly."));
        let old = TestReport { confusion: None, ..report() };
        assert!(html(confusion(&Network::default(), &old)).contains("did not record confusions"));
    }

    fn report() -> TestReport {
        TestReport {
            top1: 1.0,
            top5: 1.0,
            loss: 0.0,
            images: 1,
            skipped: 0,
            untested: Vec::new(),
            classes: Vec::new(),
            confusion: None,
        }
    }
}
