//! The page is well-formed, complete, and safe for any names.

#![allow(clippy::unwrap_used)]

mod sample;

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event;
use sample::HOSTILE;
use tfnas_report::Comparison;

/// HTML elements without an end tag.
const VOID: [&str; 4] = ["meta", "link", "br", "img"];

/// Parses markup, checks that elements are closed in order, and returns the names of all elements.
fn elements(markup: &str) -> Vec<String> {
    let mut reader = Reader::from_str(markup);
    reader.config_mut().check_end_names = false;
    let (mut open, mut all) = (Vec::new(), Vec::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(start) => {
                let name = String::from_utf8(start.name().as_ref().to_vec()).unwrap();
                for attribute in start.attributes() {
                    attribute.unwrap();
                }
                all.push(name.clone());
                if !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Event::End(end) => {
                assert_eq!(open.pop().unwrap().as_bytes(), end.name().as_ref());
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert_eq!(open, Vec::<String>::new());
    all
}

fn count(elements: &[String], name: &str) -> usize {
    elements.iter().filter(|element| *element == name).count()
}

#[test]
fn the_page_is_well_formed_and_every_figure_has_a_table() {
    let html = sample::report().html();
    let elements = elements(html.strip_prefix("<!DOCTYPE html>").unwrap());
    let figures = count(&elements, "figure");
    assert!(figures >= 18, "{figures}");
    assert_eq!(count(&elements, "svg"), figures);
    assert_eq!(count(&elements, "desc"), figures);
    assert_eq!(count(&elements, "h1"), 1);
    assert_eq!(count(&elements, "script"), 0);
    assert_eq!(count(&elements, "img"), 16, "a thumbnail for each mistake whose image is available");
    assert!(html.matches("<summary>Numbers (").count() == figures);
    for section in
        ["result", "pipeline", "search", "selection", "architecture", "training", "test", "latency", "provenance"]
    {
        assert!(html.contains(&format!("<section id=\"{section}\"")), "{section}");
        assert!(html.contains(&format!("<a href=\"#{section}\">")), "{section}");
    }
    assert!(!html.contains("Not in this report"));
}

#[test]
fn names_are_escaped_and_no_number_is_nan() {
    let report = sample::report();
    let html = report.html();
    assert!(html.contains("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; 'Größe'"));
    for (name, text) in report.files().into_iter().map(|file| (file.name, file.text)).chain([("page".to_owned(), html)])
    {
        assert!(!text.contains('\0'), "{name}");
        if !name.ends_with(".csv") {
            assert!(!text.contains("<script"), "{name}");
            assert!(!text.contains("NaN") && !text.contains(">inf"), "{name}");
        }
    }
}

#[test]
fn every_figure_is_a_valid_svg_and_every_table_valid_csv() {
    let report = sample::report();
    let files = report.files();
    let names: BTreeSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names.len(), files.len());
    for file in &files {
        if file.name.ends_with(".svg") {
            let elements = elements(file.text.split_once("?>").unwrap().1);
            assert_eq!((elements[0].as_str(), count(&elements, "desc")), ("svg", 1), "{}", file.name);
            assert!(elements.len() > 8, "{} is empty", file.name);
            assert!(!file.text.contains("var("), "{}: SVG files must not use CSS variables", file.name);
            assert!(names.contains(file.name.replace(".svg", ".csv").as_str()), "{} has no numbers", file.name);
        } else {
            assert!(file.text.lines().count() > 1, "{} is empty", file.name);
        }
    }
    let classes = files.iter().find(|file| file.name == "classes.csv").unwrap();
    assert_eq!(classes.text.lines().count(), 1001);
    assert!(classes.text.contains(&HOSTILE.replace('"', "\"\"").replace(['\0', '\u{202e}'], "\u{fffd}")));
}

#[test]
fn a_matrix_has_a_tradeoff_and_sections_for_each_network() {
    let mut report = sample::report();
    report.networks = ["10", "12"].map(sample::network).into();
    let html = report.html();
    elements(html.strip_prefix("<!DOCTYPE html>").unwrap());
    for id in ["networks-tradeoff", "search-10", "search-12", "classes-12"] {
        assert!(html.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(html.contains("<h2 id=\"search-10-heading\">Search (10)</h2>"));
}

#[test]
fn a_comparison_page_has_curves_and_differences() {
    let mut other = sample::report();
    other.run.id = "8".to_owned();
    other.run.name = String::new();
    other.run.configuration = serde_json::json!({"seed": 1, "data": {"root": HOSTILE}}).to_string();
    other.networks = ["10", "12"].map(sample::network).into();
    let comparison = Comparison { tool: "tfnas-pipeline 0.1.0".to_owned(), reports: vec![sample::report(), other] };
    let html = comparison.html();
    let elements = elements(html.strip_prefix("<!DOCTYPE html>").unwrap());
    assert_eq!(count(&elements, "svg"), count(&elements, "figure"));
    for text in [
        "Runs 7, 8",
        "id=\"networks-tradeoff\"",
        "run 8 (12)",
        "run 7: ",
        "two\nlines",
        "id=\"training-top-1\"",
        "data.root",
        ">seed<",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("<script") && !html.contains("NaN"));
    assert!(Comparison::default().html().contains("0 runs with 0 networks."));
}

#[test]
fn the_same_run_gives_the_same_page() {
    assert_eq!(sample::report().html(), sample::report().html());
}
