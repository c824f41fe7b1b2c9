//! Comparison of several runs.

use std::collections::BTreeMap;

use serde_json::Value;
use tfnas_stages::{SearchEpoch, TrainEpoch, finite};

use super::curves::{Curve, Words, figure};
use super::tradeoff::{Named, table, tradeoff};
use crate::chart::Unit;
use crate::network::Network;
use crate::run::Report;
use crate::section::{Part, Section};
use crate::table::{Cell, Table};
use crate::text::{counted, shortened};

/// Maximum number of networks whose curves are drawn; more lines cannot be told apart.
const CURVES: usize = 16;
/// Maximum length of a value in the table of differences, in characters.
const VALUE: usize = 60;
/// Number of characters of a note in the table.
const NOTE: usize = 400;

/// Returns the sections of a page that compares runs.
pub fn comparison(reports: &[Report]) -> Vec<Section> {
    let named: Vec<Named<'_>> = reports.iter().flat_map(of_run).collect();
    let mut result = Section::new("result", "Networks");
    result.parts.push(Part::Text(format!(
        "{} with {}.",
        counted(reports.len(), "run"),
        counted(named.len(), "network")
    )));
    result.parts.extend(tradeoff(&named).map(Part::Wide));
    result.parts.push(Part::Table("networks".to_owned(), table(&named)));
    result.parts.extend(notes(reports).map(|table| Part::Table("notes".to_owned(), table)));
    [Some(result), training(&named), search(&named), differences(reports)].into_iter().flatten().collect()
}

/// Returns the notes of the runs; `None` if no run has one.
fn notes(reports: &[Report]) -> Option<Table> {
    let mut table = Table::new("Notes", &["run", "note"]);
    for Report { run, .. } in reports.iter().filter(|report| !report.run.note.is_empty()) {
        table.row([Cell::from(run.label()), Cell::from(shortened(&run.note, NOTE))]);
    }
    Some(table).filter(|table| !table.is_empty())
}

fn of_run(report: &Report) -> impl Iterator<Item = Named<'_>> {
    report.networks.iter().map(|network| {
        let group = report.run.label();
        let name = if network.label.is_empty() { group.clone() } else { format!("{group} ({})", network.label) };
        Named { name, group, network }
    })
}

/// Returns one curve for each network that has values.
fn curves<'a>(
    named: &'a [Named<'_>],
    values: impl Fn(&Network) -> Option<Vec<(usize, Option<f64>)>>,
) -> Vec<Curve<'a>> {
    let curve = |named: &'a Named<'_>| Some(Curve { name: &named.name, values: values(named.network)? });
    named.iter().filter_map(curve).take(CURVES).collect()
}

fn section(
    id: &str,
    title: &str,
    named: &[Named<'_>],
    figures: Vec<Option<crate::section::Figure>>,
) -> Option<Section> {
    let figures: Vec<_> = figures.into_iter().flatten().collect();
    if figures.is_empty() {
        return None;
    }
    let mut section = Section::new(id, title);
    if named.len() > CURVES {
        section.parts.push(Part::Text(format!("Only the curves of the first {CURVES} networks are shown.")));
    }
    section.parts.push(Part::Grid(figures));
    Some(section)
}

fn training(named: &[Named<'_>]) -> Option<Section> {
    let of = |value: fn(&TrainEpoch) -> f64| {
        curves(named, |network| {
            let epochs = &network.train.get()?.epochs;
            Some(epochs.iter().map(|epoch| (epoch.epoch, finite(value(epoch)))).collect())
        })
    };
    let words = |id: &str, title, axis| Words { id: id.to_owned(), title, axis, note: "" };
    let figures = vec![
        figure(
            words("training-top-1", "Validation accuracy", "top-1, %"),
            Unit::Percent,
            &of(|epoch| epoch.val_top1),
            &[0.0],
            Vec::new(),
        ),
        figure(
            words("training-val-loss", "Validation loss", "cross-entropy"),
            Unit::Plain,
            &of(|epoch| epoch.val_loss),
            &[],
            Vec::new(),
        ),
        figure(
            words("training-loss", "Training loss", "cross-entropy"),
            Unit::Plain,
            &of(|epoch| epoch.train_loss),
            &[],
            Vec::new(),
        ),
    ];
    section("training", "Training", named, figures)
}

fn search(named: &[Named<'_>]) -> Option<Section> {
    let of = |value: fn(&SearchEpoch) -> Option<f64>| {
        curves(named, |network| {
            let history = network.history.get()?;
            Some(history.iter().map(|epoch| (epoch.epoch, value(epoch))).collect())
        })
    };
    let words = |id: &str, title, axis| Words { id: id.to_owned(), title, axis, note: "" };
    let figures = vec![
        figure(
            words("search-latency", "Expected latency", "latency by the table, ms"),
            Unit::Plain,
            &of(|epoch| epoch.expected_lat_ms),
            &[],
            Vec::new(),
        ),
        figure(
            words("search-entropy", "Entropy of the operations", "% of its maximum"),
            Unit::Percent,
            &of(|epoch| finite(epoch.operation_entropy)),
            &[0.0, 1.0],
            Vec::new(),
        ),
        figure(
            words("search-loss", "Loss of the architecture steps", "cross-entropy"),
            Unit::Plain,
            &of(|epoch| epoch.architecture_loss),
            &[],
            Vec::new(),
        ),
    ];
    section("search", "Search", named, figures)
}

/// Returns the configuration keys whose values differ between the runs.
fn differences(reports: &[Report]) -> Option<Section> {
    if reports.len() < 2 {
        return None;
    }
    let configurations: Vec<BTreeMap<String, String>> = reports
        .iter()
        .map(|report| {
            let mut values = BTreeMap::new();
            flatten("", &serde_json::from_str(&report.run.configuration).unwrap_or_default(), &mut values);
            values
        })
        .collect();
    let mut keys: Vec<&String> = configurations.iter().flat_map(BTreeMap::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let runs: Vec<String> = reports.iter().map(|report| report.run.label()).collect();
    let headings: Vec<&str> = std::iter::once("key").chain(runs.iter().map(String::as_str)).collect();
    let mut table = Table::new("Keys with different values", &headings);
    for key in keys {
        let values: Vec<Option<&String>> = configurations.iter().map(|values| values.get(key)).collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            let cell =
                |value: Option<&String>| value.map_or(Cell::Missing, |value| Cell::from(shortened(value, VALUE)));
            table.row(std::iter::once(Cell::from(key.as_str())).chain(values.into_iter().map(cell)));
        }
    }
    let mut section = Section::new("configuration", "Configuration");
    section.parts.push(match table.is_empty() {
        true => Part::Text("The runs have the same configuration.".to_owned()),
        false => Part::Table("differences".to_owned(), table),
    });
    Some(section)
}

/// Flattens a configuration to dotted keys and values; a list is one value.
fn flatten(key: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(key.to_owned(), text.clone());
        }
        other => {
            into.insert(key.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::Output;
    use crate::run::RunFacts;

    fn report(id: &str, configuration: &str, networks: usize) -> Report {
        let train = br#"{"protocol": "held_out", "images": 8, "val_images": 2, "best_epoch": 0, "epochs": [
            {"epoch": 0, "train_loss": 2.0, "val_loss": null, "val_top1": 0.5}]}"#;
        let networks = (0..networks).map(|index| Network {
            label: if index == 0 { String::new() } else { format!("<{index}>") },
            train: Output::from_json(train),
            ..Network::default()
        });
        let run = RunFacts { id: id.to_owned(), configuration: configuration.to_owned(), ..RunFacts::default() };
        Report { run, networks: networks.collect() }
    }

    fn html(reports: &[Report]) -> String {
        comparison(reports).iter().map(|section| section.html().into_string()).collect()
    }

    #[test]
    fn a_comparison_has_curves_and_differing_keys() {
        let one = report("3", r#"{"seed": 0, "train": {"lr": 0.1, "epochs": 2}}"#, 1);
        let other = report("5", r#"{"seed": 0, "train": {"lr": 0.2, "epochs": 2}, "note": "<x>"}"#, 2);
        let html = html(&[one, other]);
        for text in [
            "2 runs with 3 networks.",
            "run 5 (&lt;1&gt;)",
            "id=\"training-top-1\"",
            ">train.lr<",
            ">0.2<",
            "&lt;x&gt;",
        ] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("train.epochs") && !html.contains(">seed<") && !html.contains("training-val-loss"));
    }

    #[test]
    fn runs_appear_with_their_names_and_notes() {
        let mut named = report("3", "{}", 1);
        named.run.name = "<wide>".to_owned();
        assert!(!html(&[named.clone(), report("5", "{}", 1)]).contains("Notes"));
        named.run.note = "with\n<noise>".to_owned();
        let html = html(&[named, report("5", "{}", 1)]);
        for text in ["run 3: &lt;wide&gt;", "run 5", "Notes", "&lt;noise&gt;"] {
            assert!(html.contains(text), "{text}: {html}");
        }
    }

    #[test]
    fn equal_configurations_and_omitted_curves_are_noted() {
        let many = html(&[report("1", "{}", 20), report("2", "{}", 1)]);
        assert!(
            many.contains("Only the curves of the first 16 networks are shown.")
                && many.contains("the same configuration")
        );
        assert!(html(&[report("1", "no JSON", 0)]).contains("1 run with 0 networks."));
    }
}
