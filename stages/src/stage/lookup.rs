use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::{Config, Stage, Work};

/// `lookup:` in the configuration: the latency table, imported or measured here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LookupSection {
    /// A table file to take instead of measuring, relative to the configuration's own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<PathBuf>,
    /// Accepts an imported table that was measured on another device than this one, or with another batch or number of threads.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub other_device: bool,
    /// Images a forward pass, when measuring.
    pub batch: usize,
    /// Threads that compute, when measuring.
    pub threads: usize,
    /// Seconds to measure for: blocks inside random networks of the space. Longer until each block was measured four times.
    pub budget_s: f64,
    /// Other random networks, measured as a whole among them, on which the table is checked.
    pub check_networks: usize,
}

impl Default for LookupSection {
    fn default() -> Self {
        Self { import: None, other_device: false, batch: 1, threads: 1, budget_s: 120.0, check_networks: 20 }
    }
}

impl LookupSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let at_least = |key, value: usize, least: usize| {
            (value < least).then(|| (key, format!("must be at least {least}, not {value}")))
        };
        at_least("batch", self.batch, 1).or_else(|| at_least("threads", self.threads, 1)).or_else(|| {
            let sensible = (0.0..=86_400.0).contains(&self.budget_s);
            (!sensible).then(|| ("budget_s", format!("must be between 0 and 86400, not {}", self.budget_s)))
        })
    }
}

/// What identifies the work of `lookup`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookupParams {
    /// The space whose keys the table must hold; where its classes are left out, the classifier measured has those of
    /// the split.
    pub space: SpaceDefinition,
    /// Seed of the passes' order and of the networks checked; 0 for an imported table.
    pub seed: u64,
    /// How it is measured; `None` for an imported table, whose file is an input.
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
            Some(_) => InputPort::given(Source::TableFile),
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

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        config.lookup.problem()
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
        // A latency is measured with the threads that it is meant for.
        Some(config.lookup.threads)
    }
}
