//! The HTML pages: the report of one run, and the comparison of several.

use std::collections::BTreeSet;

use maud::{DOCTYPE, PreEscaped, html};

use crate::chart::page_styles;
use crate::run::Report;
use crate::section::{Part, Section};
use crate::sections;
use crate::text::clean;

/// The styles of the page, without those of figures.
const STYLES: &str = include_str!("page.css");

/// Several runs on one page: their networks, curves, and the configuration keys that differ.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Name and version of the program.
    pub tool: String,
    /// The runs.
    pub reports: Vec<Report>,
}

impl Comparison {
    /// Returns the page as self-contained HTML without scripts.
    pub fn html(&self) -> String {
        let names: Vec<&str> = self.reports.iter().map(|report| report.run.id.as_str()).collect();
        let mut sections = sections::comparison(&self.reports);
        make_unique(&mut sections);
        document("Comparison of runs", &format!("Runs {}", names.join(", ")), &self.tool, &sections)
    }
}

/// A figure or a table as a separate file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportFile {
    /// File name, ending in `.svg` or `.csv`.
    pub name: String,
    /// Content of the file.
    pub text: String,
}

impl Report {
    /// Returns the report as one self-contained HTML page without scripts.
    pub fn html(&self) -> String {
        let title = if self.run.id.is_empty() {
            "Report of a run".to_owned()
        } else {
            format!("Report of {}", self.run.label())
        };
        document(&title, &self.run.configuration_name, &self.run.tool, &self.sections())
    }

    /// Returns each figure as SVG and each table as CSV.
    pub fn files(&self) -> Vec<ReportFile> {
        let sections = self.sections();
        let figures = sections.iter().flat_map(Section::figures).map(|figure| ReportFile {
            name: format!("{}.svg", figure.id),
            text: figure.drawing.file(&figure.title, &figure.description),
        });
        let tables = sections.iter().flat_map(Section::tables);
        let tables = tables.map(|(name, table)| ReportFile { name: format!("{name}.csv"), text: table.csv() });
        figures.chain(tables).collect()
    }

    fn sections(&self) -> Vec<Section> {
        let mut sections = vec![sections::overview(&self.run, &self.networks)];
        sections.extend(sections::under_way(&self.run));
        sections.extend(sections::pipeline(&self.run));
        let mut absent = Vec::new();
        for network in &self.networks {
            let (found, missing) = sections::of_network(network);
            sections.extend(found);
            if !missing.is_empty() {
                absent.push(format!("{}: {}", network.heading("No output of this run"), missing.join(", ")));
            }
            absent.extend(network.problems());
        }
        if self.networks.is_empty() {
            absent.push("No stage of this run has a result.".to_owned());
        }
        if !absent.is_empty() {
            let mut section = Section::new("absent", "Not in this report");
            section.parts.push(Part::List(absent));
            sections.push(section);
        }
        sections.push(sections::provenance(&self.run));
        make_unique(&mut sections);
        sections
    }
}

/// Builds a page from sections.
///
/// * `below`: subtitle.
fn document(title: &str, below: &str, tool: &str, sections: &[Section]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                meta name="generator" content=(tool);
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(page_styles())) (PreEscaped(STYLES)) }
            }
            body {
                a class="skip" href="#result" { "Skip to the result" }
                header {
                    h1 { (title) }
                    p { (below) }
                    nav aria-label="Sections" {
                        ul { @for section in sections { li { a href={ "#" (section.id) } { (section.title) } } } }
                    }
                }
                main { @for section in sections { (section.html()) } }
            }
        }
    };
    clean(&page.into_string())
}

/// Makes section ids unique, because different labels may have the same slug.
fn make_unique(sections: &mut [Section]) {
    let mut seen = BTreeSet::new();
    let mut unique = |id: &mut String| {
        let plain = id.clone();
        let mut number = 2;
        while !seen.insert(id.clone()) {
            *id = format!("{plain}-{number}");
            number += 1;
        }
    };
    for section in sections {
        unique(&mut section.id);
        for part in &mut section.parts {
            match part {
                Part::Wide(figure) => unique(&mut figure.id),
                Part::Grid(figures) => figures.iter_mut().for_each(|figure| unique(&mut figure.id)),
                Part::Table(name, _) | Part::Folded(name, _, _) => unique(name),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Network;
    use crate::outputs::Output;
    use crate::run::RunFacts;

    fn matrix(labels: &[&str]) -> Report {
        let train = br#"{"protocol": "held_out", "images": 8, "val_images": 2, "best_epoch": 0, "epochs": [{"epoch": 0, "lr": 0.1}]}"#;
        let networks = labels.iter().map(|label| Network {
            label: (*label).to_owned(),
            train: Output::from_json(train),
            test: Output::Unreadable("line 1 is <cut>".to_owned()),
            ..Network::default()
        });
        Report { run: RunFacts { id: "7".to_owned(), ..RunFacts::default() }, networks: networks.collect() }
    }

    #[test]
    fn ids_and_file_names_are_unique_for_any_labels() {
        let report = matrix(&["12", "1<2>", "1 2", "", "<>"]);
        let names: Vec<String> = report.files().into_iter().map(|file| file.name).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| name.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char))));
        let html = report.html();
        let ids: Vec<&str> = html.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn missing_and_unreadable_outputs_are_listed() {
        let html = matrix(&[""]).html();
        assert!(html.contains("No output of this run: search, selection, architecture, latency</li>"), "{html}");
        assert!(html.contains("test.json cannot be read: line 1 is &lt;cut&gt;"));
        assert!(Report::default().html().contains("No stage of this run has a result."));
    }

    #[test]
    fn the_page_loads_no_resources_and_runs_no_scripts() {
        let html = matrix(&["12"]).html();
        for word in ["http://", "https://", "<script", "src=", "url(", "@import"] {
            assert!(!html.contains(word), "{word}");
        }
    }
}
