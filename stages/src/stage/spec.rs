//! The trait that every stage implements.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tfnas::SpaceDefinition;

use crate::{Config, InputPort, InvalidValue, Precision, Work};

/// Which facts of the environment change a stage's result and are therefore part of its cache key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// The version of libtorch and the kind of device.
    pub compute: bool,
    /// The device model and the frequency governor, for stages that measure a latency.
    pub latency: bool,
}

impl KeyFacts {
    /// For a stage that computes with libtorch but does not measure a latency.
    pub(crate) const COMPUTE: Self = Self { compute: true, latency: false };

    /// For a stage that computes only if it measures a latency.
    pub(crate) const fn if_measured(measured: bool) -> Self {
        Self { compute: measured, latency: measured }
    }
}

/// The specification of a stage without its computation, which is in `tfnas-worker`. The command line, the planner,
/// publications and the audit access stages through this trait.
pub trait StageSpec: Sync {
    /// Name of the stage on the command line, in the configuration and in the ledger.
    fn name(&self) -> &'static str;

    /// One-line description.
    fn about(&self) -> &'static str;

    /// Version of the stage's code. Raise it when equal parameters and inputs give other results than before.
    fn revision(&self) -> u32;

    /// Inputs for this configuration.
    fn inputs(&self, config: &Config) -> Vec<InputPort>;

    /// Names of the outputs, which are the files that a worker writes to the output folder.
    ///
    /// * `draws_test`: whether the split draws the test images, which adds an output.
    fn outputs(&self, draws_test: bool) -> &'static [&'static str];

    /// Parameters as JSON. They are part of the cache key.
    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value;

    /// Facts of the environment that are part of the cache key.
    fn key_facts(&self, config: &Config) -> KeyFacts;

    /// Checks the values of the stage's section.
    ///
    /// # Errors
    /// Returns the first invalid value; its key is relative to the section.
    fn validate(&self, config: &Config) -> Result<(), InvalidValue>;

    /// Returns the configuration key of a parameter.
    ///
    /// * `param`: path of the parameter in [`params`](Self::params). It differs from the key if the value comes from another
    ///   section.
    fn config_key(&self, param: &str) -> String {
        shared_config_key(param)
    }

    /// Path of an output within a publication; `None` if the file is not published.
    ///
    /// * `weights`: the output of `train` that was tested.
    fn published_file(&self, output: &str, weights: &str) -> Option<String>;

    /// Hint for the error message if memory runs out.
    fn memory_hint(&self) -> &'static str;

    /// Number of threads per process; `None` uses `threads` of the configuration.
    fn threads(&self, _config: &Config) -> Option<usize> {
        None
    }

    /// How much work these parameters are, to estimate the duration; `None` if that is unknown.
    fn work(&self, _params: &Value) -> Option<Work> {
        None
    }

    /// Whether the stage runs on all ranks, if there are several.
    fn runs_on_ranks(&self, _config: &Config) -> bool {
        false
    }

    /// Whether the stage trains or tests a network, so that it can be profiled.
    fn is_profiled(&self) -> bool {
        false
    }

    /// The precision of the stage's computation and its configuration key, if it can be configured.
    fn precision(&self, _config: &Config) -> Option<(&'static str, Precision)> {
        None
    }

    /// Whether a configuration can disable the stage.
    fn is_optional(&self) -> bool {
        false
    }

    /// Whether this configuration runs the stage.
    fn is_enabled(&self, _config: &Config) -> bool {
        true
    }
}

/// Returns the configuration key of a parameter that several stages use.
pub(crate) fn shared_config_key(param: &str) -> String {
    match param {
        "color_jitter" | "decode" | "exif_orientation" | "on_bad_image" | "resize" => format!("data.{param}"),
        _ => param.to_owned(),
    }
}

/// Converts parameters to JSON.
pub(crate) fn to_params(params: impl Serialize) -> Value {
    serde_json::to_value(params).expect("parameters are plain structs of strings and finite numbers")
}

/// Returns the parameters that [`to_params`] has made; `None` if the JSON is something else.
pub(crate) fn from_params<P: DeserializeOwned>(params: &Value) -> Option<P> {
    P::deserialize(params).ok()
}
