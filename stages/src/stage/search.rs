use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::{Augment, Config, ExifOrientation, Fit, OnBadImage, Precision, Stage, Target, Verify, Work};

/// SGD of the weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WeightOptimizer {
    /// Learning rate of epoch 0; a cosine takes it to 0 over the epochs.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 leaves it as it is.
    pub grad_clip: f64,
}

impl Default for WeightOptimizer {
    fn default() -> Self {
        Self { lr: 0.025, momentum: 0.9, weight_decay: 1e-5, grad_clip: 5.0 }
    }
}

/// Adam of the architecture parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ArchitectureOptimizer {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and second moments.
    pub betas: [f64; 2],
    /// Weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 leaves it as it is.
    pub grad_clip: f64,
    /// An architecture step follows every this many weight steps.
    pub every: usize,
}

impl Default for ArchitectureOptimizer {
    fn default() -> Self {
        Self { lr: 0.01, betas: [0.5, 0.999], weight_decay: 5e-4, grad_clip: 5.0, every: 2 }
    }
}

/// `search:` in the configuration; the defaults are the published values (SPEC: section 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSection {
    /// What an earlier search left, to start from instead of initial weights: search.safetensors, or the original's
    /// searched_model_NN.pth.tar. Relative to the configuration's own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Where the weights stand in that file: keys from the outermost on, joined by dots. Without it they are found by what
    /// the space has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_key: Option<String>,
    /// Latency that the network found must meet, in milliseconds of the table; or a share of the range that the table can
    /// reach, as 40%.
    #[schemars(with = "f64")]
    pub target_lat_ms: Target,
    /// How the architecture is fitted to the target after every epoch from the end of the warm-up on: exact always meets
    /// it, published may miss it. Default: published for the published space (imagenet), exact for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// Which latency of the network found must meet the target: predicted, the table's; or measured, that of the whole network,
    /// measured here by `parse`, which then corrects the target and fits the widths again, at most three times.
    #[serde(skip_serializing_if = "Verify::is_predicted")]
    pub verify: Verify,
    /// Epochs.
    pub epochs: usize,
    /// First epochs, in which only weights are trained.
    pub warmup_epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// SGD of the weights.
    pub weights: WeightOptimizer,
    /// Adam of the architecture parameters.
    pub architecture: ArchitectureOptimizer,
    /// Temperature of the Gumbel softmax at first.
    pub temperature: f64,
    /// Its factor after every epoch from the end of the warm-up on.
    pub temperature_decay: f64,
    /// Weight of `|latency / target - 1|` in the architecture's loss.
    pub lambda_lat: f64,
    /// Last epochs that also validate.
    pub validate_last: usize,
    /// Augmentation of the images that train the weights.
    pub augment: Augment,
    /// What the forward passes of weight and architecture steps compute in; weights, optimizers, latencies and validation
    /// stay f32.
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
            precision: Precision::default(),
        }
    }
}

impl SearchSection {
    /// Returns how architectures are fitted in this space.
    pub fn fit_in(&self, space: &SpaceDefinition) -> Fit {
        self.fit.unwrap_or_else(|| Fit::default_in(space))
    }

    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let positive = |key, value: f64| {
            (!(value > 0.0 && value.is_finite())).then(|| (key, format!("must be above 0, not {value}")))
        };
        let not_negative = |key, value: f64| {
            (!(value >= 0.0 && value.is_finite())).then(|| (key, format!("must be 0 or above, not {value}")))
        };
        let at_least_one = |key, value: usize| (value == 0).then(|| (key, "must be at least 1, not 0".to_owned()));
        self.target_lat_ms
            .problem()
            .map(|message| ("target_lat_ms", message))
            .or_else(|| at_least_one("epochs", self.epochs))
            .or_else(|| at_least_one("batch", self.batch))
            .or_else(|| at_least_one("architecture.every", self.architecture.every))
            .or_else(|| positive("temperature", self.temperature))
            .or_else(|| positive("temperature_decay", self.temperature_decay))
            .or_else(|| not_negative("lambda_lat", self.lambda_lat))
            .or_else(|| positive("weights.lr", self.weights.lr))
            .or_else(|| not_negative("weights.momentum", self.weights.momentum))
            .or_else(|| not_negative("weights.weight_decay", self.weights.weight_decay))
            .or_else(|| not_negative("weights.grad_clip", self.weights.grad_clip))
            .or_else(|| positive("architecture.lr", self.architecture.lr))
            .or_else(|| not_negative("architecture.weight_decay", self.architecture.weight_decay))
            .or_else(|| not_negative("architecture.grad_clip", self.architecture.grad_clip))
            .or_else(|| {
                let wrong = self.architecture.betas.iter().any(|beta| !(0.0..1.0).contains(beta));
                wrong.then(|| ("architecture.betas", "must lie in 0 to 1 (1 left out)".to_owned()))
            })
            .or_else(|| self.augment.problem().map(|(_, message)| ("augment", message)))
            .or_else(|| {
                let alone = self.from_key.is_some() && self.from.is_none();
                alone.then(|| ("from_key", "is of the file that search.from names, and it names none".to_owned()))
            })
    }
}

/// What identifies the work of `search`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchParams {
    /// The space.
    pub space: SpaceDefinition,
    /// Seed of every draw.
    pub seed: u64,
    /// What an image that cannot be read does.
    pub on_bad_image: OnBadImage,
    /// What is done about the orientation that the metadata of photos state.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// Short side that evaluation resizes to, in pixels.
    pub resize: usize,
    /// The section, whose `fit` is left out where it is `published`.
    pub search: SearchSection,
}

impl SearchParams {
    /// Returns how architectures are fitted.
    pub fn fit(&self) -> Fit {
        self.search.fit.unwrap_or(Fit::Published)
    }
}

/// The port of the earlier search that a search starts from.
pub const WARM_START: &str = "start";

/// The stage `search`.
pub(super) struct Search;

impl StageSpec for Search {
    fn name(&self) -> &'static str {
        "search"
    }

    fn about(&self) -> &'static str {
        "searches operations, depth and width under the latency target"
    }

    fn revision(&self) -> u32 {
        5
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let start = config.search.from.as_ref().map(|_| InputPort::given(Source::SearchFile));
        let ports = [
            InputPort::given(Source::TrainImages),
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
        // A key without `fit` is one of a search that fits as published, whatever the default of its space.
        let fit = Some(config.search.fit_in(space)).filter(|fit| *fit != Fit::Published);
        to_params(SearchParams {
            space: space.clone(),
            seed: config.seed,
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            resize: config.data.evaluation_resize(space.resolution),
            // The file is an input, whose path does not matter; `verify` is a parameter of `parse`.
            search: SearchSection { from: None, fit, verify: Verify::default(), ..config.search.clone() },
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        config.search.problem()
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        // The supernet's weights are large, and only their digest is published.
        (output != "search.safetensors").then(|| format!("search/{output}"))
    }

    fn memory_hint(&self) -> &'static str {
        "lower search.batch, or set search.precision: bf16"
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let search = from_params::<SearchParams>(params)?.search;
        Some(Work::of_search(search.epochs, search.warmup_epochs, search.architecture.every))
    }
}
