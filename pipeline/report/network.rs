use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use tfnas_artifacts::{Attempt, Cache};
use tfnas_planner::output::read_output;
use tfnas_planner::plan::Graph;
use tfnas_stages::{ArchitectureReport, BlockReport, LookupReport, Stage, TestReport, finite};

use crate::report::Selection;

/// A network that was found, with everything known about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Network {
    /// Name of the instance that found it.
    pub id: String,
    /// Target latency in milliseconds.
    pub target_lat_ms: Option<f64>,
    /// Latency predicted by the table, in milliseconds.
    pub predicted_lat_ms: Option<f64>,
    /// Mean relative error of the table's predictions, if the table was measured here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predicted_lat_error: Option<f64>,
    /// Part of the predicted latency outside the blocks, in milliseconds.
    pub base_lat_ms: Option<f64>,
    /// Measured latency of the complete network in milliseconds.
    pub measured_lat_ms: Option<f64>,
    /// Lower end of the interval that contains most measured passes, in milliseconds.
    pub measured_lat_ms_low: Option<f64>,
    /// Upper end of this interval, in milliseconds.
    pub measured_lat_ms_high: Option<f64>,
    /// The measured latency at the speed that the machine had when the table was measured, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured_lat_ms_at_table_speed: Option<f64>,
    /// By which share the machine was slower than when the table was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_drift: Option<f64>,
    pub parameters: Option<u64>,
    pub flops: Option<u64>,
    /// Top-1 accuracy as a fraction of 1.
    pub top1: Option<f64>,
    /// Top-5 accuracy as a fraction of 1.
    pub top5: Option<f64>,
    /// Number of test images.
    pub images: Option<u64>,
    /// Number of test images that could not be read.
    pub skipped: Option<u64>,
    /// Changes to the architecture preferred by the search that were necessary to meet the target.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How it was selected, if `select` ran.
    pub selected: Option<Selection>,
    /// Classes without test images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    pub blocks: Vec<BlockReport>,
}

/// Returns the networks among the results, in the order of the graph.
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

/// The results of a network's stages: `parse`, and the others where they are known.
pub struct NetworkResults<'a> {
    /// The instance that names the network.
    pub id: &'a str,
    pub lookup: Option<&'a Attempt>,
    pub select: Option<&'a Attempt>,
    pub parse: &'a Attempt,
    pub test: Option<&'a Attempt>,
}

impl<'a> NetworkResults<'a> {
    /// Returns the networks among results, which are in the order of the stages. A network that was tested several times, for
    /// example with several learning rates of the training, is there several times.
    pub fn among(results: &[&'a Attempt]) -> Vec<Self> {
        let closures: Vec<_> = (0..results.len()).map(|position| closure(results, position)).collect();
        let of = |stage: Stage| (0..results.len()).filter(move |position| results[*position].stage == stage.name());
        let mut found = Vec::new();
        for position in of(Stage::Parse) {
            let parse = results[position];
            let upstream = |stage: Stage| {
                let position = of(stage).find(|upstream| closures[position].contains(upstream))?;
                Some(results[position])
            };
            let (lookup, select) = (upstream(Stage::Lookup), upstream(Stage::Select));
            let tests = of(Stage::Test).filter(|test| closures[*test].contains(&position));
            let tests: Vec<&Attempt> = tests.map(|test| results[test]).collect();
            if tests.is_empty() {
                found.push(Self { id: &parse.instance, lookup, select, parse, test: None });
            }
            for test in tests.iter().copied() {
                let id = if tests.len() > 1 { &test.instance } else { &parse.instance };
                found.push(Self { id, lookup, select, parse, test: Some(test) });
            }
        }
        found
    }

    /// Reads the network. Returns `None` if its architecture cannot be read.
    pub fn read(&self, cache: &Cache) -> Option<Network> {
        network(self.id, cache, [self.lookup, self.select], self.parse, self.test)
    }
}

/// Returns the positions of a result and of all results that it was made from. The results are in the order of the stages.
pub fn closure(results: &[&Attempt], of: usize) -> BTreeSet<usize> {
    let mut found = BTreeSet::from([of]);
    let mut open = vec![of];
    while let Some(position) = open.pop() {
        let inputs = &results[position].inputs;
        for (other, attempt) in results.iter().enumerate() {
            let made = |output: &tfnas_artifacts::Output| inputs.iter().any(|input| input.digest == output.digest);
            // If a later stage has the same output, this is a coincidence.
            if other < position && attempt.outputs.iter().any(made) && found.insert(other) {
                open.push(other);
            }
        }
    }
    found
}

/// Returns the instance of a stage that another instance depends on.
fn upstream(graph: &Graph, of: usize, stage: Stage) -> Option<usize> {
    graph.upstream(of).into_iter().find(|position| graph.instances[*position].stage == stage)
}

/// Returns the first instance of a stage that depends on another instance, directly or indirectly.
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
    let architecture: ArchitectureReport = read_output(cache, parse)?;
    let tested: Option<TestReport> = test.and_then(|test| read_output(cache, test));
    let lookup: Option<LookupReport> = lookup.and_then(|lookup| read_output(cache, lookup));
    let metric = |name: &str| parse.metrics.get(name).and_then(Value::as_f64);
    let of_test = tested.as_ref();
    Some(Network {
        id: id.to_owned(),
        target_lat_ms: finite(architecture.target_lat_ms),
        predicted_lat_ms: finite(architecture.predicted_lat_ms),
        predicted_lat_error: lookup.and_then(|lookup| finite(lookup.check?.mean_error)),
        base_lat_ms: finite(architecture.base_lat_ms),
        measured_lat_ms: metric("measured_lat_ms"),
        measured_lat_ms_low: metric("measured_lat_ms_low"),
        measured_lat_ms_high: metric("measured_lat_ms_high"),
        measured_lat_ms_at_table_speed: metric("measured_lat_ms_at_table_speed"),
        machine_drift: metric("machine_drift"),
        parameters: Some(architecture.parameters),
        flops: Some(architecture.flops),
        top1: of_test.and_then(|test| finite(test.top1)),
        top5: of_test.and_then(|test| finite(test.top5)),
        images: of_test.map(|test| test.images as u64),
        skipped: of_test.map(|test| test.skipped as u64),
        changed: architecture.changed,
        selected: select.and_then(|select| Selection::read(cache, select)),
        untested: tested.map(|test| test.untested).unwrap_or_default(),
        blocks: architecture.blocks,
    })
}
