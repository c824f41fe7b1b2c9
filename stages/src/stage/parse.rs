use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, shared_config_key, to_params};
use super::{InputPort, KeyFacts, StageSpec};
use crate::{Config, Fit, Stage, Target, Verify, Work};

/// `parse:` in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseSection {
    /// exact fits what the search found to the target once more, changing operations and depth where needed: for a search
    /// with `fit: published` that misses it. Default: takes the architecture as it is, and fails if it misses the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Whether the network found is also measured here, with the batch and threads of `lookup`.
    pub measure: bool,
    /// Timed passes of the whole network; its latency is their median.
    pub passes: usize,
}

impl Default for ParseSection {
    fn default() -> Self {
        Self { fit: None, measure: true, passes: 51 }
    }
}

impl ParseSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        (self.passes == 0).then(|| ("passes", "must be at least 1, not 0".to_owned()))
    }
}

/// What identifies the work of `parse`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParseParams {
    /// The space.
    pub space: SpaceDefinition,
    /// Latency that the network must meet.
    pub target_lat_ms: Target,
    /// Which latency must meet the target.
    #[serde(default, skip_serializing_if = "Verify::is_predicted")]
    pub verify: Verify,
    /// The section.
    pub parse: ParseSection,
    /// Images a forward pass, when measuring.
    pub batch: usize,
    /// Threads that compute, when measuring.
    pub threads: usize,
    /// Seed of the weights of the network measured.
    pub seed: u64,
}

/// The stage `parse`.
pub(super) struct Parse;

impl StageSpec for Parse {
    fn name(&self) -> &'static str {
        "parse"
    }

    fn about(&self) -> &'static str {
        "turns the search's result into one architecture, and measures it"
    }

    fn revision(&self) -> u32 {
        3
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let chosen = if config.select.is_enabled() {
            InputPort::output(Stage::Select, "selected.json")
        } else {
            InputPort::output(Stage::Search, "search.json")
        };
        vec![
            chosen,
            InputPort::output(Stage::Lookup, "latency.table"),
            InputPort::output(Stage::Split, config.train.protocol.classes()),
        ]
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["model.config", "architecture.json"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        to_params(ParseParams {
            space: space.clone(),
            target_lat_ms: config.search.target_lat_ms,
            verify: config.search.verify,
            parse: config.parse.clone(),
            batch: config.lookup.batch,
            threads: config.lookup.threads,
            seed: config.seed,
        })
    }

    fn key_facts(&self, config: &Config) -> KeyFacts {
        KeyFacts::if_measured(config.parse.measure)
    }

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        if config.search.verify == Verify::Measured && !config.parse.measure {
            return Some(("measure", "must be true for search.verify: measured".to_owned()));
        }
        config.parse.problem()
    }

    fn config_key(&self, param: &str) -> String {
        match param {
            "target_lat_ms" | "verify" => format!("search.{param}"),
            "batch" | "threads" => format!("lookup.{param}"),
            _ => shared_config_key(param),
        }
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        Some(output.to_owned())
    }

    fn memory_hint(&self) -> &'static str {
        "lower lookup.batch"
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let measures = from_params::<ParseParams>(params)?.parse.measure;
        Some(Work { fixed_s: if measures { 2.0 } else { 0.0 }, ..Work::default() })
    }

    fn threads(&self, config: &Config) -> Option<usize> {
        // A latency is measured with the threads that it is meant for.
        Some(config.lookup.threads)
    }
}
