//! The report at the end of a run.

use std::path::Path;

use tfnas_artifacts::{Attempt, Cache};
use tfnas_executor::Finished;
use tfnas_humanize as humanize;
use tfnas_humanize::{Columns, indented};
use tfnas_planner::plan::{Graph, Planner, Remarks};
use tfnas_stages::{BlockReport, SelectReport, StageOutput as _, TestReport, finite};

use crate::report::{Network, networks};

/// The outputs whose paths are reported, with their labels.
const SHOWN: [(&str, &str); 6] = [
    ("latency table", "latency.table"),
    ("candidates", SelectReport::FILE),
    ("architecture", "model.config"),
    ("weights, best", "best.safetensors"),
    ("weights, last", "last.safetensors"),
    ("test", TestReport::FILE),
];

/// Returns the report: the networks found, which stages ran and which were cached, and the paths of the outputs and of
/// the page.
pub fn found(planner: &Planner<'_>, finished: &Finished, remarks: &Remarks, page: Option<&Path>) -> String {
    let (graph, cache) = (planner.graph, planner.cache);
    let mut text: String = networks(graph, cache, &finished.results).iter().map(network).collect();
    let data = remarks.text();
    if !data.is_empty() {
        text.push_str(&format!("data\n{}\n", indented(&data)));
    }
    text.push_str(&stages(graph, finished));
    text.push_str(&places(graph, cache, finished, page));
    text
}

fn network(network: &Network) -> String {
    let mut lines = Columns::plain(2);
    if let Some(ms) = network.target_lat_ms {
        let verdicts = [(network.predicted_lat_ms, "by the table"), (comparable(network), "as measured")];
        let verdicts: Vec<_> =
            verdicts.iter().filter_map(|(found, by)| found.map(|found| verdict(ms, found, by))).collect();
        lines.row(["target latency", &format!("{ms:.3} ms: {}", verdicts.join(", "))]);
    }
    if !network.changed.is_empty() {
        lines.row(["changed to meet it", &network.changed.join(", ")]);
    }
    if let Some(ms) = network.predicted_lat_ms {
        let base = network.base_lat_ms.map(|ms| format!(", {ms:.3} ms of it outside the blocks")).unwrap_or_default();
        let error = network.predicted_lat_error.map(|share| format!(" ±{:.1} %", 100.0 * share)).unwrap_or_default();
        lines.row(["predicted", &format!("{ms:.3} ms{error} (sum of the table{base})")]);
    }
    lines.row(["measured", &measured(network)]);
    if let Some(selected) = &network.selected {
        selected.lines().into_iter().for_each(|line| lines.row(line));
    }
    if let (Some(parameters), Some(flops)) = (network.parameters, network.flops) {
        lines.row(["parameters", &humanize::count(parameters as f64)]);
        lines.row(["multiply-adds", &humanize::count(flops as f64)]);
    }
    if let Some(top1) = network.top1 {
        let images = network.images.map(|images| format!(" of {images} images")).unwrap_or_default();
        let skipped = network.skipped.filter(|skipped| *skipped > 0);
        let skipped = skipped.map(|skipped| format!(", {skipped} that cannot be read skipped")).unwrap_or_default();
        let untested = network.untested.len();
        let untested = match untested {
            0 => String::new(),
            1 => ", 1 class without test images".to_owned(),
            more => format!(", {more} classes without test images"),
        };
        lines.row(["top-1", &format!("{:.2} %{images}{skipped}{untested}", top1 * 100.0)]);
    }
    if let Some(top5) = network.top5 {
        lines.row(["top-5", &format!("{:.2} %", top5 * 100.0)]);
    }
    format!("found by {}\n{}{}\n", network.id, indented(&blocks(&network.blocks)), indented(&lines.to_string()))
}

/// Describes whether a latency meets the target, and by how much.
fn verdict(target_lat_ms: f64, found_ms: f64, by: &str) -> String {
    let off = (found_ms / target_lat_ms - 1.0) * 100.0;
    format!("{} {by} ({off:+.1} %)", if found_ms <= target_lat_ms { "met" } else { "missed" })
}

/// Describes the measured latency and how much the prediction differs from it.
fn measured(network: &Network) -> String {
    let Some(ms) = network.measured_lat_ms else { return "not measured".to_owned() };
    let spread = match (network.measured_lat_ms_low, network.measured_lat_ms_high) {
        (Some(low), Some(high)) => format!(" ({low:.3} to {high:.3})"),
        _ => String::new(),
    };
    let drift = match (network.measured_lat_ms_at_table_speed, network.machine_drift) {
        (Some(corrected), Some(drift)) => format!(
            "; {corrected:.3} ms at the speed at which the table was measured (the machine is {:.1} % {} now)",
            100.0 * drift.abs(),
            if drift < 0.0 { "faster" } else { "slower" }
        ),
        _ => String::new(),
    };
    let off = network.predicted_lat_ms.zip(comparable(network)).map(|(predicted, ms)| (predicted / ms - 1.0) * 100.0);
    let off = off.map(|off| format!("; the sum of the table is {off:+.1} % off")).unwrap_or_default();
    format!("{ms:.3} ms{spread}, the complete network on this machine{drift}{off}")
}

/// Returns the measured latency that can be compared with the table, in milliseconds.
fn comparable(network: &Network) -> Option<f64> {
    network.measured_lat_ms_at_table_speed.or(network.measured_lat_ms).filter(|ms| *ms > 0.0)
}

fn blocks(blocks: &[BlockReport]) -> String {
    let mut columns = Columns::new(&[
        "block",
        "operation",
        ">in",
        ">width",
        ">out",
        ">stride",
        ">table ms",
        ">parameters",
        ">multiply-adds",
    ]);
    for block in blocks {
        columns.row([
            block.name.clone(),
            block.operation.clone(),
            block.in_channels.to_string(),
            block.width.to_string(),
            block.out_channels.to_string(),
            block.stride.to_string(),
            finite(block.lat_ms).map(|ms| format!("{ms:.4}")).unwrap_or_default(),
            humanize::count(block.parameters as f64),
            humanize::count(block.flops as f64),
        ]);
    }
    columns.to_string()
}

fn stages(graph: &Graph, finished: &Finished) -> String {
    let mut columns = Columns::plain(3);
    for (position, instance) in graph.instances.iter().enumerate() {
        let took = finished.results.get(&position).and_then(Attempt::duration_ms).map(|ms| ms as f64 / 1e3);
        let time = took.map(humanize::duration).unwrap_or_default();
        if finished.ran.contains(&position) {
            columns.row([instance.id.as_str(), "ran", &time]);
        } else if finished.cached.contains(&position) {
            columns.row([instance.id.as_str(), "cached", &format!("(took {time})")]);
        }
    }
    format!("stages\n{}\n", indented(&columns.to_string()))
}

fn places(graph: &Graph, cache: &Cache, finished: &Finished, page: Option<&Path>) -> String {
    let mut columns = Columns::plain(2);
    columns.row(["store".to_owned(), absolute(cache.store().root())]);
    if let Some(page) = page {
        columns.row(["report".to_owned(), page.display().to_string()]);
    }
    for (what, output) in SHOWN {
        for (position, attempt) in &finished.results {
            if let Some(output) = attempt.output(output) {
                let id = &graph.instances[*position].id;
                let label = id.split_once('@').map(|(_, values)| format!("{what} @{values}"));
                let path = absolute(&cache.store().path(&output.digest));
                columns.row([label.unwrap_or_else(|| what.to_owned()), path]);
            }
        }
    }
    format!("where\n{}", indented(&columns.to_string()))
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
