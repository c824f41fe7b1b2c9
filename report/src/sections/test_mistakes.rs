//! Thumbnails of the wrong predictions with the largest loss.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, html};

use crate::mistakes::{Mistake, Picture};
use crate::network::Network;
use crate::section::Part;
use crate::table::{Cell, Table};
use crate::text::{counted, number, percent};

/// Returns the thumbnails and their table; empty without predictions or without wrong ones.
pub fn mistakes(network: &Network) -> Vec<Part> {
    let Some(mistakes) = network.mistakes.get().filter(|mistakes| !mistakes.worst.is_empty()) else {
        return Vec::new();
    };
    let words = match mistakes.wrong == mistakes.worst.len() {
        true => format!("{} with a wrong prediction, largest loss first", counted(mistakes.wrong, "test image")),
        false => format!(
            "{} with a wrong prediction; these {} have the largest loss",
            counted(mistakes.wrong, "test image"),
            mistakes.worst.len()
        ),
    };
    let pictures = html! {
        h3 id={ (network.id("worst-mistakes")) } { "Worst mistakes" }
        p { (words) ". Each shows the class of the image, the prediction, and its probability." }
        ul class="mistakes" aria-labelledby={ (network.id("worst-mistakes")) } {
            @for mistake in &mistakes.worst { li { (picture(mistake)) (caption(mistake)) } }
        }
    };
    let table = table(&mistakes.worst);
    vec![Part::Markup(pictures), Part::Folded(network.id("mistakes"), "Worst mistakes as a table".to_owned(), table)]
}

fn picture(mistake: &Mistake) -> Markup {
    let alternative = format!("{}, an image of the class {}", mistake.tested.image, mistake.tested.class);
    match &mistake.picture {
        Picture::Png { bytes, width, height } => html! {
            img src={ "data:image/png;base64," (STANDARD.encode(bytes)) } width=(width) height=(height)
                alt=(alternative) title=(mistake.tested.image);
        },
        Picture::Missing(why) => html! { span class="gone" title=(mistake.tested.image) { (why) } },
    }
}

fn caption(mistake: &Mistake) -> Markup {
    let tested = &mistake.tested;
    html! {
        span class="truth" dir="auto" { (tested.class) }
        @match &tested.predicted {
            Some(predicted) => { span dir="auto" { "predicted " b { (predicted) } ", " span class="share" { (percent(tested.confidence)) } } }
            None => { span { "no prediction: the output is not finite" } }
        }
    }
}

fn table(worst: &[Mistake]) -> Table {
    let headings = [
        "image",
        "class",
        "prediction",
        ">probability of the prediction",
        ">probability of the class",
        ">loss",
        ">rank of the class",
    ];
    let mut table = Table::new("Worst mistakes", &headings);
    for Mistake { tested, .. } in worst {
        table.row([
            Cell::from(tested.image.as_str()),
            Cell::from(tested.class.as_str()),
            tested.predicted.as_deref().map_or(Cell::Missing, Cell::from),
            Cell::number(Some(tested.confidence), percent),
            Cell::number(Some(tested.class_probability), percent),
            Cell::number(Some(tested.loss), number),
            Cell::count(tested.rank),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use tfnas_stages::TestedImage;

    use super::*;
    use crate::mistakes::Mistakes;
    use crate::outputs::Output;

    fn mistake(name: &str, picture: Picture, predicted: Option<&str>) -> Mistake {
        let tested = TestedImage {
            image: name.to_owned(),
            class: "<i>cat</i>".to_owned(),
            predicted: predicted.map(str::to_owned),
            confidence: 0.75,
            class_probability: 0.0625,
            loss: f64::NAN,
            rank: 3,
        };
        Mistake { tested, picture }
    }

    fn html(worst: Vec<Mistake>, wrong: usize) -> String {
        let network = Network { mistakes: Output::Read(Mistakes { wrong, worst }), ..Network::default() };
        let mut section = crate::section::Section::new("test", "Test");
        section.parts = mistakes(&network);
        section.html().into_string()
    }

    #[test]
    fn a_mistake_has_a_thumbnail_or_a_reason_why_not() {
        let png = Picture::Png { bytes: vec![1, 2, 3], width: 96, height: 48 };
        let gone = Picture::Missing("the file is gone".to_owned());
        let html = html(vec![mistake("a/\"1\".jpg", png, Some("dog")), mistake("b.jpg", gone, None)], 7);
        for text in [
            "7 test images with a wrong prediction; these 2 have the largest loss",
            "src=\"data:image/png;base64,AQID\" width=\"96\" height=\"48\"",
            "alt=\"a/&quot;1&quot;.jpg, an image of the class &lt;i&gt;cat&lt;/i&gt;\"",
            "predicted <b>dog</b>, <span class=\"share\">75.0 %</span>",
            "the file is gone",
            "the output is not finite",
            "(2 rows)",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<i>") && !html.contains("NaN"));
    }

    #[test]
    fn no_mistakes_give_no_section() {
        assert!(mistakes(&Network::default()).is_empty());
        assert!(!html(Vec::new(), 0).contains("Worst"));
    }
}
