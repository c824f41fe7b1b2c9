//! The first section: the result of a run.

use maud::{Markup, html};
use tfnas_stages::finite;

use super::tradeoff::{Named, table, tradeoff};
use crate::network::Network;
use crate::run::RunFacts;
use crate::section::{Part, Section};
use crate::text::{count, counted, ms, percent, signed_percent};

/// Returns the first section: the run and its result.
pub fn overview(run: &RunFacts, networks: &[Network]) -> Section {
    let mut section = Section::new("result", "Result");
    if let [network] = networks {
        section.parts.push(Part::Text(line(network)));
        section.parts.push(Part::Markup(tiles(network)));
    } else if !networks.is_empty() {
        let named: Vec<Named<'_>> = networks
            .iter()
            .map(|network| Named { name: network.label.clone(), group: String::new(), network })
            .collect();
        section.parts.extend(tradeoff(&named).map(Part::Wide));
        section.parts.push(Part::Table("networks".to_owned(), table(&named)));
    }
    section.parts.push(Part::Markup(facts(run)));
    section
}

/// Summarizes the result in a sentence.
fn line(network: &Network) -> String {
    let tested = network.test.get().map(|test| {
        format!("top-1 {}, top-5 {} on {}", percent(test.top1), percent(test.top5), counted(test.images, "test image"))
    });
    let latency = match (network.measured_ms(), network.predicted_ms()) {
        (Some(measured), _) => Some(format!("measured latency {}", ms(measured))),
        (None, Some(predicted)) => Some(format!("predicted latency {}", ms(predicted))),
        (None, None) => None,
    };
    let against = latency.zip(network.target_ms()).map(|(latency, target)| {
        let met = network.measured_ms().or(network.predicted_ms()).is_some_and(|found| found <= target);
        format!("{latency}; the target of {} is {}", ms(target), if met { "met" } else { "missed" })
    });
    let descriptions: Vec<String> = [tested, against].into_iter().flatten().collect();
    if descriptions.is_empty() {
        "The run has no tested network.".to_owned()
    } else {
        upper(&format!("{}.", descriptions.join(", ")))
    }
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// The most important numbers.
fn tiles(network: &Network) -> Markup {
    let test = network.test.get();
    let target = network.target_ms();
    let verdict = |found: Option<f64>| {
        let (found, target) = found.zip(target)?;
        let word = if found <= target { "met" } else { "missed" };
        Some((word, format!("target {word} ({})", signed_percent(found / target - 1.0))))
    };
    let architecture = network.architecture.get();
    let share = |value: Option<f64>| value.map(percent);
    let images = test.map(|test| ("", counted(test.images, "test image")));
    let size =
        |value: fn(&tfnas_stages::ArchitectureReport) -> u64| architecture.map(|found| count(value(found) as f64));
    let tiles = [
        ("top-1", share(test.and_then(|test| finite(test.top1))), images.clone()),
        ("top-5", share(test.and_then(|test| finite(test.top5))), images),
        ("target", target.map(ms), None),
        ("predicted", network.predicted_ms().map(ms), verdict(network.predicted_ms())),
        ("measured", network.measured_ms().map(ms), verdict(network.measured_ms())),
        ("parameters", size(|found| found.parameters), None),
        ("multiply-adds", size(|found| found.flops), None),
    ];
    html! {
        dl class="tiles" {
            @for (name, value, note) in tiles {
                @if let Some(value) = value {
                    div {
                        dt { (name) }
                        dd class="value" { (value) }
                        @if let Some((class, note)) = note { dd class=(class) { (note) } }
                    }
                }
            }
        }
    }
}

/// Lists facts about the run.
fn facts(run: &RunFacts) -> Markup {
    let command = format!("tfnas-pipeline {}", run.command.join(" "));
    let facts = [
        ("run", run.id.as_str()),
        ("configuration", &run.configuration_name),
        ("command", &command),
        ("outcome", &run.outcome),
        ("started", &run.started),
        ("took", &run.took),
        ("machine", &run.host),
        ("program", &run.tool),
        ("source revision", &run.source_revision),
    ];
    html! {
        dl class="facts" {
            @for (name, value) in [("name", &run.name), ("note", &run.note)] {
                @if !value.is_empty() { div class="wide" { dt { (name) } dd dir="auto" { (value) } } }
            }
            @for (name, value) in facts {
                @if !value.is_empty() { div { dt { (name) } dd dir="auto" { (value) } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::{Measured, Output};

    fn network(label: &str, measured: f64) -> Network {
        let architecture = br#"{"space_resolution": 32, "classes": 2, "target_lat_ms": 0.8, "predicted_lat_ms": 0.7, "base_lat_ms": 0.1,
            "parameters": 48138, "flops": 1555874, "blocks": []}"#;
        let test = br#"{"top1": 0.67, "top5": 0.97, "loss": 1.0, "images": 500, "skipped": 0, "classes": []}"#;
        Network {
            label: label.to_owned(),
            architecture: Output::from_json(architecture),
            test: Output::from_json(test),
            measured: Some(Measured { median: measured, low: None, high: None, at_table_speed: None }),
            ..Network::default()
        }
    }

    #[test]
    fn the_measured_latency_decides_whether_the_target_is_met() {
        let descriptions = line(&network("", 0.9));
        assert_eq!(
            descriptions,
            "Top-1 67.0 %, top-5 97.0 % on 500 test images, measured latency 0.900 ms; the target of 0.800 ms is missed."
        );
        let html = overview(&RunFacts::default(), &[network("", 0.5)]).html().into_string();
        assert!(html.contains("the target of 0.800 ms is met") && html.contains("target met (-37.5 %)"), "{html}");
    }

    #[test]
    fn a_matrix_has_a_figure_and_a_table() {
        let section = overview(&RunFacts::default(), &[network("12", 0.9), network("<15>", 0.5)]);
        assert_eq!((section.figures().count(), section.tables().count()), (1, 2));
        assert!(section.html().into_string().contains("&lt;15&gt;"));
    }

    #[test]
    fn a_run_without_a_tested_network_has_a_note() {
        let html = overview(&RunFacts { id: "3".to_owned(), ..RunFacts::default() }, &[Network::default()]).html();
        assert!(html.into_string().contains("The run has no tested network."));
    }
}
