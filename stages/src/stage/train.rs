use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec, TEST_LIST};
use crate::{Augment, Config, ExifOrientation, OnBadImage, Precision, RankParams, Stage, Work};

/// Which images train the network found, and which choose its best epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// All training images train; the test images choose the best epoch, as in the original.
    #[default]
    Published,
    /// The split's first list trains, its second chooses the best epoch; the test images are not looked at.
    HeldOut,
}

/// `train:` in the configuration; the defaults are the published values (SPEC: section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSection {
    /// A `model.config` to train instead of the architecture that the search found, relative to the configuration's
    /// own folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Which images train and which choose.
    pub protocol: Protocol,
    /// Epochs.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Learning rate after the warm-up; a cosine takes it to 0 over the epochs.
    pub lr: f64,
    /// Momentum.
    pub momentum: f64,
    /// Weight decay, of all parameters.
    pub weight_decay: f64,
    /// Epochs over which the learning rate rises, when the batch is above 256.
    pub warmup_epochs: usize,
    /// Largest norm of the gradient; 0 leaves it as it is.
    pub grad_clip: f64,
    /// Label smoothing.
    pub label_smoothing: f64,
    /// Share of the classifier's inputs dropped.
    pub dropout: f64,
    /// Share of the last block's residual branches dropped; earlier blocks in proportion.
    pub drop_connect: f64,
    /// Augmentation.
    pub augment: Augment,
    /// What the forward pass computes in; weights, their optimizer and evaluation stay f32.
    pub precision: Precision,
    /// On several ranks: batch norm over all ranks' images of a step, as one process has it; false takes those of each rank,
    /// as the original does with several GPUs.
    pub sync_bn: bool,
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            from: None,
            protocol: Protocol::default(),
            epochs: 250,
            batch: 512,
            lr: 0.2,
            momentum: 0.9,
            weight_decay: 1e-5,
            warmup_epochs: 5,
            grad_clip: 5.0,
            label_smoothing: 0.1,
            dropout: 0.2,
            drop_connect: 0.2,
            augment: Augment::default(),
            precision: Precision::default(),
            sync_bn: true,
        }
    }
}

impl TrainSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let at_least_one = |key, value: usize| (value == 0).then(|| (key, "must be at least 1, not 0".to_owned()));
        let not_negative = |key, value: f64| {
            (!(value >= 0.0 && value.is_finite())).then(|| (key, format!("must be 0 or above, not {value}")))
        };
        let share = |key, value: f64| {
            (!(0.0..1.0).contains(&value)).then(|| (key, format!("must lie in 0 to 1 (1 left out), not {value}")))
        };
        at_least_one("epochs", self.epochs)
            .or_else(|| at_least_one("batch", self.batch))
            .or_else(|| (self.lr <= 0.0 || !self.lr.is_finite()).then(|| ("lr", "must be above 0".to_owned())))
            .or_else(|| not_negative("momentum", self.momentum))
            .or_else(|| not_negative("weight_decay", self.weight_decay))
            .or_else(|| not_negative("grad_clip", self.grad_clip))
            .or_else(|| share("label_smoothing", self.label_smoothing))
            .or_else(|| share("dropout", self.dropout))
            .or_else(|| share("drop_connect", self.drop_connect))
            .or_else(|| self.augment.problem().map(|(_, message)| ("augment", message)))
    }
}

/// What identifies the work of `train`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainParams {
    /// The space, for its resolution and classes; the architecture itself is an input.
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
    /// The section.
    pub train: TrainSection,
    /// The ranks, where each has batch norms of its own: several, without `sync_bn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RankParams>,
}

impl Protocol {
    /// Returns the split's output that names the classes which the derived network knows.
    pub const fn classes(self) -> &'static str {
        match self {
            Self::Published => "all_classes.txt",
            Self::HeldOut => "classes.txt",
        }
    }
}

impl TrainSection {
    /// Returns where the architecture to train comes from.
    pub(super) const fn architecture(&self) -> InputPort {
        match self.from {
            Some(_) => InputPort::given(Source::ArchitectureFile),
            None => InputPort::output(Stage::Parse, "model.config"),
        }
    }
}

/// The stage `train`.
pub(super) struct Train;

impl StageSpec for Train {
    fn name(&self) -> &'static str {
        "train"
    }

    fn about(&self) -> &'static str {
        "trains the architecture found"
    }

    fn revision(&self) -> u32 {
        4
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let [training, validation] = match config.train.protocol {
            Protocol::Published if config.draws_test() => {
                [InputPort::output(Stage::Split, "all.list"), InputPort::output(Stage::Split, TEST_LIST)]
            }
            Protocol::Published => [InputPort::output(Stage::Split, "all.list"), InputPort::given(Source::TestImages)],
            Protocol::HeldOut => ["train.list", "val.list"].map(|list| InputPort::output(Stage::Split, list)),
        };
        vec![
            config.train.architecture(),
            InputPort::given(Source::TrainImages),
            training,
            validation,
            InputPort::output(Stage::Split, config.train.protocol.classes()),
        ]
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["best.safetensors", "last.safetensors", "train.json"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        // The file is an input; its path says nothing of the work.
        let train = TrainSection { from: None, ..config.train.clone() };
        let processes = config.processes(Stage::Train);
        let ranks = (processes > 1 && !train.sync_bn).then_some(RankParams { processes });
        to_params(TrainParams {
            space: space.clone(),
            seed: config.seed,
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            resize: config.data.evaluation_resize(space.resolution),
            train,
            ranks,
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        config.train.problem()
    }

    fn published_file(&self, output: &str, weights: &str) -> Option<String> {
        match output {
            "train.json" => Some(format!("metrics/{output}")),
            output => (output == weights).then(|| "weights.safetensors".to_owned()),
        }
    }

    fn memory_hint(&self) -> &'static str {
        "lower train.batch, or set train.precision: bf16"
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let train = from_params::<TrainParams>(params)?.train;
        Some(match train.protocol {
            Protocol::Published => Work::of_published_training(train.epochs),
            Protocol::HeldOut => Work::of_held_out_training(train.epochs),
        })
    }

    fn runs_on_ranks(&self) -> bool {
        true
    }
}
