//! The stage `parse`: derives one architecture from the result of `search` or `select`, and measures its latency.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, shared_config_key, to_params};
use super::{InputPort, KeyFacts, StageSpec};
use crate::invalid_value::at_least_one;
use crate::{Config, Fit, InvalidValue, Stage, Target, Verify, Work};

/// `parse:` in the configuration: how one architecture is derived from the search result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParseSection {
    /// exact fits the architecture to the target again and changes operations and depth if needed; use it after a search with
    /// `fit: published` that misses the target. By default the architecture is not changed, and the stage fails if it misses
    /// the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Measure the latency of the complete network on this machine, with `lookup.batch` and `lookup.threads`.
    pub measure: bool,
    /// Number of timed passes of the complete network; the measured latency is their median.
    pub passes: usize,
}

impl Default for ParseSection {
    fn default() -> Self {
        Self { fit: None, measure: true, passes: 51 }
    }
}

impl ParseSection {
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("passes", self.passes)
    }
}

/// Parameters of `parse`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParseParams {
    /// The search space.
    pub space: SpaceDefinition,
    /// Target latency.
    pub target_lat_ms: Target,
    /// Which latency must meet the target.
    #[serde(default, skip_serializing_if = "Verify::is_predicted")]
    pub verify: Verify,
    /// The configuration section.
    pub parse: ParseSection,
    /// Batch size of the measured forward passes.
    pub batch: usize,
    /// Number of compute threads of the measured forward passes.
    pub threads: usize,
    /// Seed for the weights of the measured network.
    pub seed: u64,
}

/// The stage `parse`.
pub(super) struct Parse;

impl StageSpec for Parse {
    fn name(&self) -> &'static str {
        "parse"
    }

    fn about(&self) -> &'static str {
        "derives one architecture from the search result, and measures it"
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

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        if config.search.verify == Verify::Measured && !config.parse.measure {
            return Err(InvalidValue::new("measure", "must be true for search.verify: measured"));
        }
        config.parse.validate()
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
        // The latency depends on the number of threads, which is part of the stage's parameters.
        Some(config.lookup.threads)
    }
}
