use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tfnas::SpaceDefinition;

use crate::{Config, InputPort, Work};

/// Which facts of the environment change a stage's result, and so belong to its cache key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFacts {
    /// libtorch's version, and the kind of device that computes.
    pub compute: bool,
    /// The device's model and its frequency governor: where latency is measured.
    pub latency: bool,
}

impl KeyFacts {
    /// What a stage depends on that computes and measures no latency.
    pub(crate) const COMPUTE: Self = Self { compute: true, latency: false };

    /// What a stage depends on that may measure a latency.
    pub(crate) const fn if_measured(measured: bool) -> Self {
        Self { compute: measured, latency: measured }
    }
}

/// What a stage is, apart from the work itself, which `tfnas-worker` does. The command line, the planner, publications and
/// the audit read stages through this trait.
pub trait StageSpec: Sync {
    /// The name that the command line, the configuration and the ledger use.
    fn name(&self) -> &'static str;

    /// One line for help and documentation.
    fn about(&self) -> &'static str;

    /// Raised whenever the stage's code gives other results for equal parameters and inputs.
    fn revision(&self) -> u32;

    /// The inputs under this configuration.
    fn inputs(&self, config: &Config) -> Vec<InputPort>;

    /// The names of the outputs: the files that a worker leaves in its output folder.
    ///
    /// * `draws_test`: whether the split draws the test images, which makes one output more.
    fn outputs(&self, draws_test: bool) -> &'static [&'static str];

    /// The parameters that identify the work, as JSON.
    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value;

    /// Which facts of the environment belong to the cache key.
    fn key_facts(&self, config: &Config) -> KeyFacts;

    /// What is wrong with the values of the stage's section, as (key within the section, message).
    fn problem(&self, config: &Config) -> Option<(&'static str, String)>;

    /// The key of the configuration that a parameter stands for.
    ///
    /// * `param`: its path in [`params`](Self::params), which differs from the key if the value is from another section.
    fn config_key(&self, param: &str) -> String {
        shared_config_key(param)
    }

    /// The file of a publication that holds an output; `None` if its bytes are not published.
    ///
    /// * `weights`: which of the training's outputs was tested.
    fn published_file(&self, output: &str, weights: &str) -> Option<String>;

    /// What to do if memory runs out.
    fn memory_hint(&self) -> &'static str;

    /// The threads of each process, if the configuration's `threads` does not say.
    fn threads(&self, _config: &Config) -> Option<usize> {
        None
    }

    /// How much work these parameters are, to estimate the duration; `None` if that is unknown.
    fn work(&self, _params: &Value) -> Option<Work> {
        None
    }

    /// Whether several processes can do the stage together.
    fn runs_on_ranks(&self) -> bool {
        false
    }

    /// Whether a configuration can turn the stage off.
    fn is_optional(&self) -> bool {
        false
    }

    /// Whether this configuration runs the stage.
    fn is_enabled(&self, _config: &Config) -> bool {
        true
    }
}

/// The key for parameters that several stages take from `data`.
pub(crate) fn shared_config_key(param: &str) -> String {
    match param {
        "exif_orientation" | "on_bad_image" | "resize" => format!("data.{param}"),
        _ => param.to_owned(),
    }
}

/// Returns parameters as JSON.
pub(crate) fn to_params(params: impl Serialize) -> Value {
    serde_json::to_value(params).expect("parameters are plain structs of strings and finite numbers")
}

/// Returns the parameters that [`to_params`] has made; `None` if the JSON is something else.
pub(crate) fn from_params<P: DeserializeOwned>(params: &Value) -> Option<P> {
    P::deserialize(params).ok()
}
