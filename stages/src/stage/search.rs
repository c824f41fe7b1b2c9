//! The stage `search`: searches for operations, depth and width under the target latency.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::invalid_value::{at_least_one, below_one, not_negative, positive};
use crate::{
    Augment, ColorJitter, Config, Decoding, ExifOrientation, Fit, InvalidValue, OnBadImage, Precision, RankParams,
    Stage, Target, Verify, Work,
};

/// The SGD optimizer of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeightOptimizer {
    /// Initial learning rate; it decays to 0 over the epochs with a cosine schedule.
    pub lr: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay (L2 penalty).
    pub weight_decay: f64,
    /// Maximum norm for gradient clipping; 0 disables clipping.
    pub grad_clip: f64,
}

impl Default for WeightOptimizer {
    fn default() -> Self {
        Self { lr: 0.025, momentum: 0.9, weight_decay: 1e-5, grad_clip: 5.0 }
    }
}

/// The Adam optimizer of the architecture parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchitectureOptimizer {
    /// Constant learning rate.
    pub lr: f64,
    /// Decay rates of the first and second moment estimates.
    pub betas: [f64; 2],
    /// Weight decay (L2 penalty).
    pub weight_decay: f64,
    /// Maximum norm for gradient clipping; 0 disables clipping.
    pub grad_clip: f64,
    /// Number of weight steps per architecture step.
    pub every: usize,
}

impl Default for ArchitectureOptimizer {
    fn default() -> Self {
        Self { lr: 0.01, betas: [0.5, 0.999], weight_decay: 5e-4, grad_clip: 5.0, every: 2 }
    }
}

/// `search:` in the configuration. The defaults are the published values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSection {
    /// Checkpoint of an earlier search to start from instead of random weights: search.safetensors, or a
    /// searched_model_NN.pth.tar of the original implementation. Relative to the folder of the configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Path of the weights within that file: nested keys joined by dots. By default the weights are found by the names of the
    /// space's tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_key: Option<String>,
    /// Target latency: predicted latency in milliseconds, or a percentage of the range that the table can reach, such as 40%.
    #[schemars(with = "f64")]
    pub target_lat_ms: Target,
    /// How to fit the architecture to the target latency after each epoch that follows the warm-up: exact always meets the
    /// target, published may miss it. Default: published for the published space (imagenet), exact for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Which latency of the network found must meet the target: predicted, the table's; or measured, that of the
    /// complete network, measured here by `parse`, which then corrects the target and fits the network again, at most
    /// three times.
    #[serde(skip_serializing_if = "Verify::is_predicted")]
    #[schemars(extend("default" = "predicted"))]
    pub verify: Verify,
    /// Number of epochs.
    pub epochs: usize,
    /// Number of initial epochs in which only the weights are trained.
    pub warmup_epochs: usize,
    /// Batch size.
    pub batch: usize,
    /// SGD optimizer of the weights.
    pub weights: WeightOptimizer,
    /// Adam optimizer of the architecture parameters.
    pub architecture: ArchitectureOptimizer,
    /// Initial temperature of the Gumbel softmax.
    pub temperature: f64,
    /// Factor by which the temperature is multiplied after each epoch that follows the warm-up.
    pub temperature_decay: f64,
    /// Weight of `|latency / target - 1|` in the loss of the architecture steps.
    pub lambda_lat: f64,
    /// Number of final epochs after which the supernet is validated.
    pub validate_last: usize,
    /// Augmentation of the images that train the weights.
    pub augment: Augment,
    /// Split every batch over the processes of `ranks:` or of a Slurm job, and average their gradients. Each process
    /// normalizes with the statistics of its own part, so their number is part of the cache key. With false, one process runs
    /// the search.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub data_parallel: bool,
    /// Number format of the forward passes of weight and architecture steps. Weights, optimizers, latencies and validation
    /// use f32; with tf32, validation uses tf32 too.
    pub precision: Precision,
}

impl Default for SearchSection {
    fn default() -> Self {
        Self {
            from: None,
            from_key: None,
            target_lat_ms: Target::Ms(15.0),
            fit: None,
            verify: Verify::default(),
            epochs: 90,
            warmup_epochs: 10,
            batch: 32,
            weights: WeightOptimizer::default(),
            architecture: ArchitectureOptimizer::default(),
            temperature: 5.0,
            temperature_decay: 0.96,
            lambda_lat: 0.1,
            validate_last: 5,
            augment: Augment::default(),
            data_parallel: false,
            precision: Precision::default(),
        }
    }
}

impl SearchSection {
    /// Returns `fit`, or its default for this space.
    pub fn fit_in(&self, space: &SpaceDefinition) -> Fit {
        self.fit.unwrap_or_else(|| Fit::default_in(space))
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        self.target_lat_ms.validate().map_err(|message| InvalidValue::new("target_lat_ms", message))?;
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch", self.batch)?;
        at_least_one("architecture.every", self.architecture.every)?;
        positive("temperature", self.temperature)?;
        positive("temperature_decay", self.temperature_decay)?;
        not_negative("lambda_lat", self.lambda_lat)?;
        positive("weights.lr", self.weights.lr)?;
        not_negative("weights.momentum", self.weights.momentum)?;
        not_negative("weights.weight_decay", self.weights.weight_decay)?;
        not_negative("weights.grad_clip", self.weights.grad_clip)?;
        positive("architecture.lr", self.architecture.lr)?;
        not_negative("architecture.weight_decay", self.architecture.weight_decay)?;
        not_negative("architecture.grad_clip", self.architecture.grad_clip)?;
        for beta in self.architecture.betas {
            below_one("architecture.betas", beta)?;
        }
        self.augment.validate().map_err(|invalid| invalid.within("augment"))?;
        if self.from_key.is_some() && self.from.is_none() {
            return Err(InvalidValue::new("from_key", "requires search.from"));
        }
        Ok(())
    }
}

/// Parameters of `search`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// The search space.
    pub space: SpaceDefinition,
    /// Seed for all random numbers.
    pub seed: u64,
    /// What to do about an image that cannot be read.
    pub on_bad_image: OnBadImage,
    /// How to treat the EXIF orientation of photos.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// How training images are decoded.
    #[serde(default, skip_serializing_if = "Decoding::is_exact")]
    pub decode: Decoding,
    /// Where the color jitter of training images is computed.
    #[serde(default, skip_serializing_if = "ColorJitter::is_workers")]
    pub color_jitter: ColorJitter,
    /// Length of the short side after the evaluation resize, in pixels.
    pub resize: usize,
    /// The configuration section. `fit` is `None` if it is `published`, also by default; `data_parallel` is false.
    pub search: SearchSection,
    /// The processes of a data-parallel search, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RankParams>,
    /// Version of the computation in bf16, if that is the precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_revision: Option<u32>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl SearchParams {
    /// Returns how to fit architectures to the target latency.
    pub fn fit(&self) -> Fit {
        self.search.fit.unwrap_or(Fit::Published)
    }
}

/// The input port for the checkpoint of an earlier search.
pub const WARM_START: &str = "start";

/// The stage `search`.
pub(super) struct Search;

impl StageSpec for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn about(&self) -> &'static str {
        "searches for operations, depth and width under the target latency"
    }

    fn revision(&self) -> u32 {
        7
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let start = config.search.from.as_ref().map(|_| InputPort::external(Source::SearchFile));
        let ports = [
            InputPort::external(Source::TrainImages),
            InputPort::output(Stage::Split, "train.list"),
            InputPort::output(Stage::Split, "val.list"),
            InputPort::output(Stage::Split, "classes.txt"),
            InputPort::output(Stage::Lookup, "latency.table"),
        ];
        ports.into_iter().chain(start).collect()
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["search.json", "history.json", "search.safetensors"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        // Parameters without `fit` mean the published fit, independent of the default of the space.
        let fit = Some(config.search.fit_in(space)).filter(|fit| *fit != Fit::Published);
        let processes = config.processes(Stage::Search);
        to_params(SearchParams {
            space: space.clone(),
            seed: config.seed,
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            decode: config.data.decode,
            color_jitter: config.data.color_jitter,
            resize: config.data.evaluation_resize(space.resolution),
            // The file is an input, whose path does not matter; `verify` is a parameter of `parse`.
            search: SearchSection {
                from: None,
                fit,
                verify: Verify::default(),
                data_parallel: false,
                ..config.search.clone()
            },
            ranks: (processes > 1).then_some(RankParams { processes }),
            bf16_revision: config.search.precision.bf16_revision(),
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.search.validate()
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        // The weights of the supernet are large; only their digest is published.
        (output != "search.safetensors").then(|| format!("search/{output}"))
    }

    fn memory_hint(&self) -> &'static str {
        "lower search.batch, or set search.precision: bf16"
    }

    fn is_profiled(&self) -> bool {
        true
    }

    fn precision(&self, config: &Config) -> Option<(&'static str, Precision)> {
        Some(("search.precision", config.search.precision))
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let search = from_params::<SearchParams>(params)?.search;
        Some(Work::of_search(search.epochs, search.warmup_epochs, search.architecture.every))
    }

    fn runs_on_ranks(&self, config: &Config) -> bool {
        config.search.data_parallel
    }
}
