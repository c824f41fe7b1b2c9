//! The plots and tables of a stage: which metrics belong together, and how their values are written.

use std::collections::{BTreeMap, BTreeSet};

use tfnas_events::StageProgress;
use tfnas_humanize::Columns;
use tfnas_stages::{TARGET_LAT_MS, split_candidate_metric, split_probability_metric};

use super::plot::{Curve, Format, Plot};
use super::view::number;
use crate::candidates::ranked_candidates;

/// A plot: its title, the format of its values, and its metrics with the names of their curves.
struct Panel {
    title: &'static str,
    format: Format,
    curves: &'static [(&'static str, &'static str)],
}

const PANELS: [Panel; 7] = [
    Panel {
        title: "loss",
        format: number,
        curves: &[("train_loss", "train"), ("val_loss", "validation"), ("architecture_loss", "architecture")],
    },
    Panel {
        title: "accuracy",
        format: percent,
        curves: &[("train_top1", "train"), ("val_top1", "validation"), ("val_top5", "top-5")],
    },
    Panel { title: "latency", format: ms, curves: &[("expected_lat_ms", "expected"), ("after_lat_ms", "fitted")] },
    Panel {
        title: "operations",
        format: percent,
        curves: &[("operation_entropy", "entropy"), ("agreement", "agreement")],
    },
    Panel { title: "learning rate", format: number, curves: &[("lr", "")] },
    Panel { title: "temperature", format: number, curves: &[("temperature", "")] },
    Panel { title: "waiting for images", format: percent, curves: &[("data_wait", "")] },
];

/// Metrics that no plot shows.
const NOT_DRAWN: [&str; 3] = ["train_top5", "before_lat_ms", TARGET_LAT_MS];

fn percent(value: f64) -> String {
    format!("{:.1} %", 100.0 * value)
}

fn ms(value: f64) -> String {
    format!("{} ms", number(value))
}

/// Returns the plots of a stage. Metrics that this version does not know have a plot of their own.
pub fn panels(stage: &StageProgress) -> Vec<Plot<'_>> {
    let target = stage.last(TARGET_LAT_MS);
    let mut plots = Vec::new();
    for panel in &PANELS {
        let curve = |(metric, name): &(&str, &'static str)| Some(Curve { name, points: stage.series.get(*metric)? });
        let curves: Vec<Curve<'_>> = panel.curves.iter().filter_map(curve).collect();
        if !curves.is_empty() {
            let guide = target.filter(|_| panel.title == "latency").map(|target| ("target", target));
            plots.push(Plot { title: panel.title, format: panel.format, curves, guide });
        }
    }
    let known: BTreeSet<&str> = PANELS.iter().flat_map(|panel| panel.curves).map(|(metric, _)| *metric).collect();
    let is_in_a_table = |name: &str| split_candidate_metric(name).is_some() || split_probability_metric(name).is_some();
    let is_other = |name: &str| !known.contains(name) && !NOT_DRAWN.contains(&name) && !is_in_a_table(name);
    for (name, points) in stage.series.iter().filter(|(name, _)| is_other(name)) {
        plots.push(Plot { title: name, format: number, curves: vec![Curve { name: "", points }], guide: None });
    }
    plots
}

/// Returns the candidates of a selection as a table, best first, in at most `room` lines; empty for other stages.
pub fn candidates(stage: &StageProgress, room: usize) -> Vec<String> {
    let ranked = ranked_candidates(stage);
    if ranked.is_empty() {
        return Vec::new();
    }
    // The head of the table, and the line below a table that is cut.
    let fitting = if ranked.len() < room { ranked.len() } else { room.saturating_sub(2) };
    let mut columns =
        Columns::new(&[">rank", "candidate", ">epochs", ">train loss", ">val loss", ">val top-1", ">predicted"]);
    let text = |value: Option<f64>, format: Format| value.map(format).unwrap_or_default();
    for (rank, candidate) in ranked.iter().take(fitting).enumerate() {
        columns.row([
            (rank + 1).to_string(),
            candidate.name.clone(),
            candidate.epochs.to_string(),
            text(candidate.train_loss, number),
            text(candidate.val_loss, number),
            text(candidate.val_top1, percent),
            text(candidate.predicted_ms, ms),
        ]);
    }
    let mut lines: Vec<String> = columns.to_string().lines().map(str::to_owned).collect();
    if fitting < ranked.len() {
        lines.push(format!("… and {} more candidates", ranked.len() - fitting));
    }
    lines
}

/// Returns the most probable depth and operations of each block group of a search as a table; empty for other stages, and if
/// the table has more than `room` lines.
pub fn choices(stage: &StageProgress, room: usize) -> Vec<String> {
    // The most probable choice of each row: `stage1` for a depth, `stage1.block2` for an operation.
    let mut likeliest: BTreeMap<(usize, usize), (&str, f64)> = BTreeMap::new();
    for (name, points) in &stage.series {
        let Some((row, choice)) = split_probability_metric(name) else { continue };
        let (Some(position), Some((_, share))) = (position(row), points.last()) else { continue };
        let known = likeliest.entry(position).or_insert((choice, *share));
        if *share > known.1 {
            *known = (choice, *share);
        }
    }
    let groups: BTreeSet<usize> = likeliest.keys().map(|(group, _)| *group).collect();
    if groups.is_empty() || groups.len() + 1 > room {
        return Vec::new();
    }
    let whole_percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let mut columns = Columns::new(&["group", "depth", "operations, the most probable of each block"]);
    for group in groups {
        let depth = likeliest.get(&(group, 0)).map(|(depth, share)| {
            let noun = if *depth == "1" { "block" } else { "blocks" };
            format!("{depth} {noun} {}", whole_percent(*share))
        });
        let of_block = |(_, (operation, share)): (_, &(&str, f64))| format!("{operation} {}", whole_percent(*share));
        let operations: Vec<String> = likeliest.range((group, 1)..(group + 1, 0)).map(of_block).collect();
        columns.row([format!("stage{group}"), depth.unwrap_or_default(), operations.join(", ")]);
    }
    columns.to_string().lines().map(str::to_owned).collect()
}

/// Returns the group and the block of `stage1.block2`; for `stage1` the block is 0.
fn position(row: &str) -> Option<(usize, usize)> {
    let rest = row.strip_prefix("stage")?;
    match rest.split_once(".block") {
        Some((group, block)) => Some((group.parse().ok()?, block.parse().ok()?)),
        None => Some((rest.parse().ok()?, 0)),
    }
}
