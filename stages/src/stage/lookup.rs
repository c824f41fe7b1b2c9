//! The stage `lookup`: measures or imports the latency table.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::invalid_value::at_least_one;
use crate::{Config, InvalidValue, Stage, Work};

/// `lookup:` in the configuration: how the latency table is measured, or which table is imported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LookupSection {
    /// Table file to import instead of measuring. Relative to the folder of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<PathBuf>,
    /// Accept an imported table that was measured on another device, or with another batch size or number of threads.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub other_device: bool,
    /// Batch size of the measured forward passes.
    pub batch: usize,
    /// Number of compute threads of the measured forward passes.
    pub threads: usize,
    /// Time to spend on the measurement, in seconds. Blocks are measured inside random networks of the space. The measurement
    /// continues until each block has been measured four times.
    pub budget_s: f64,
    /// Number of additional random networks that are measured as a whole to check the predictions of the table.
    pub check_networks: usize,
}

impl Default for LookupSection {
    fn default() -> Self {
        Self { import: None, other_device: false, batch: 1, threads: 1, budget_s: 120.0, check_networks: 20 }
    }
}

impl LookupSection {
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("batch", self.batch)?;
        at_least_one("threads", self.threads)?;
        let is_valid = (0.0..=86_400.0).contains(&self.budget_s);
        InvalidValue::unless(is_valid, "budget_s", "be between 0 and 86400", self.budget_s)
    }
}

/// Parameters of `lookup`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// The space that the table must cover. If it does not set the number of classes, the measured classifier has the classes
    /// of the split.
    pub space: SpaceDefinition,
    /// Seed for the order of the passes and for the networks of the check; 0 for an imported table.
    pub seed: u64,
    /// How the table is measured; `None` for an imported table, which is an input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookup: Option<LookupSection>,
}

/// The stage `lookup`.
pub(super) struct Lookup;

impl StageSpec for Lookup {
    fn name(&self) -> &'static str {
        "lookup"
    }

    fn about(&self) -> &'static str {
        "measures the latency table of the space on this machine, or imports one"
    }

    fn revision(&self) -> u32 {
        4
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        vec![match config.lookup.import {
            Some(_) => InputPort::external(Source::TableFile),
            None => InputPort::output(Stage::Split, "classes.txt"),
        }]
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["latency.table", "lookup.json"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        let measured = config.lookup.import.is_none();
        to_params(LookupParams {
            space: space.clone(),
            seed: if measured { config.seed } else { 0 },
            lookup: measured.then(|| LookupSection { other_device: false, ..config.lookup.clone() }),
        })
    }

    fn key_facts(&self, config: &Config) -> KeyFacts {
        KeyFacts::if_measured(config.lookup.import.is_none())
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.lookup.validate()
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        Some(output.to_owned())
    }

    fn memory_hint(&self) -> &'static str {
        "lower lookup.batch"
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let params: LookupParams = from_params(params)?;
        Some(Work { fixed_s: params.lookup.map_or(0.0, |section| section.budget_s), ..Work::default() })
    }

    fn threads(&self, config: &Config) -> Option<usize> {
        // The latency depends on the number of threads, which is part of the stage's parameters.
        Some(config.lookup.threads)
    }
}
