use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use tfnas_artifacts::{Attempt, Cache};
use tfnas_planner::plan::Graph;
use tfnas_stages::Stage;

use crate::report::Selection;

/// A network that was found, with all that is known of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Network {
    /// The instance that found it.
    pub id: String,
    /// Latency that it had to meet, in milliseconds.
    pub target_lat_ms: Option<f64>,
    /// Its latency by the table, in milliseconds.
    pub predicted_lat_ms: Option<f64>,
    /// The mean error of the table's predictions, as a share of 1, where the table was measured here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_lat_error: Option<f64>,
    /// The part of it outside the blocks, in milliseconds.
    pub base_lat_ms: Option<f64>,
    /// Its latency measured whole, in milliseconds.
    pub measured_lat_ms: Option<f64>,
    /// Where most of the measured passes lie: lower end, in milliseconds.
    pub measured_lat_ms_low: Option<f64>,
    /// Upper end, in milliseconds.
    pub measured_lat_ms_high: Option<f64>,
    /// Parameters.
    pub parameters: Option<u64>,
    /// Multiply-adds.
    pub flops: Option<u64>,
    /// Share of test images whose first guess is right.
    pub top1: Option<f64>,
    /// Share of test images among whose first five guesses is the right one.
    pub top5: Option<f64>,
    /// Test images.
    pub images: Option<u64>,
    /// Test images that could not be read.
    pub skipped: Option<u64>,
    /// What was changed of the architecture that the search prefers, so that the target is met.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How it was selected, where `select` ran.
    pub selected: Option<Selection>,
    /// Classes without test images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// Its blocks, as `architecture.json` has them.
    pub blocks: Vec<Value>,
}

/// Returns the networks among results, in the order of the graph.
pub fn networks(graph: &Graph, cache: &Cache, results: &BTreeMap<usize, Attempt>) -> Vec<Network> {
    let parsed = |position: &usize| graph.instances[*position].stage == Stage::Parse;
    (0..graph.instances.len())
        .filter(parsed)
        .filter_map(|position| {
            let parse = results.get(&position)?;
            let test = downstream(graph, position, Stage::Test).and_then(|test| results.get(&test));
            let [lookup, select] = [Stage::Lookup, Stage::Select]
                .map(|stage| upstream(graph, position, stage).and_then(|instance| results.get(&instance)));
            network(&graph.instances[position].id, cache, [lookup, select], parse, test)
        })
        .collect()
}

/// The instance of a stage whose outputs another reads.
fn upstream(graph: &Graph, of: usize, stage: Stage) -> Option<usize> {
    graph.upstream(of).into_iter().find(|position| graph.instances[*position].stage == stage)
}

/// The first instance of a stage that depends on another, directly or not.
fn downstream(graph: &Graph, of: usize, stage: Stage) -> Option<usize> {
    (0..graph.instances.len())
        .find(|position| graph.instances[*position].stage == stage && graph.closure([*position]).contains(&of))
}

fn network(
    id: &str,
    cache: &Cache,
    [lookup, select]: [Option<&Attempt>; 2],
    parse: &Attempt,
    test: Option<&Attempt>,
) -> Option<Network> {
    let architecture = json_output(cache, parse, "architecture.json")?;
    let tested = test.and_then(|test| json_output(cache, test, "test.json")).unwrap_or_default();
    let number = |of: &Value, name: &str| of.get(name).and_then(Value::as_f64);
    let whole = |of: &Value, name: &str| of.get(name).and_then(Value::as_u64);
    Some(Network {
        id: id.to_owned(),
        target_lat_ms: number(&architecture, "target_lat_ms"),
        predicted_lat_ms: number(&architecture, "predicted_lat_ms"),
        predicted_lat_error: lookup
            .and_then(|lookup| json_output(cache, lookup, "lookup.json"))
            .and_then(|report| report.pointer("/check/mean_error")?.as_f64()),
        base_lat_ms: number(&architecture, "base_lat_ms"),
        measured_lat_ms: number(&parse.metrics, "measured_lat_ms"),
        measured_lat_ms_low: number(&parse.metrics, "measured_lat_ms_low"),
        measured_lat_ms_high: number(&parse.metrics, "measured_lat_ms_high"),
        parameters: whole(&architecture, "parameters"),
        flops: whole(&architecture, "flops"),
        top1: number(&tested, "top1"),
        top5: number(&tested, "top5"),
        images: whole(&tested, "images"),
        skipped: whole(&tested, "skipped"),
        changed: architecture
            .get("changed")
            .and_then(Value::as_array)
            .map(|changes| changes.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        selected: select.and_then(|select| Selection::read(cache, select)),
        untested: tested
            .get("untested")
            .and_then(|names| serde_json::from_value(names.clone()).ok())
            .unwrap_or_default(),
        blocks: architecture.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default(),
    })
}

/// Reads an output that is JSON; none where it is not there.
pub fn json_output(cache: &Cache, attempt: &Attempt, output: &str) -> Option<Value> {
    let digest = &attempt.output(output)?.digest;
    let path = cache.open_verified(digest).ok()?;
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
