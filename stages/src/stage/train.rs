//! The stage `train`: trains the architecture from random weights.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{from_params, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec, TEST_LIST};
use crate::invalid_value::{at_least_one, below_one, not_negative, positive};
use crate::{
    Augment, ColorJitter, Config, Decoding, ExifOrientation, InvalidValue, OnBadImage, Precision, RankParams, Stage,
    Work,
};

/// Which images train the network, and which choose the best epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Train on all training images and choose the best epoch on the test images, as in the original implementation.
    #[default]
    Published,
    /// Train on `train.list` of the split and choose the best epoch on `val.list`. The test images are not used.
    HeldOut,
}

/// `train:` in the configuration. The defaults are the published values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSection {
    /// A `model.config` file to train instead of the architecture of the search. Relative to the folder of the configuration
    /// file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Which images train the network and which choose the best epoch: published or held_out.
    pub protocol: Protocol,
    /// Number of epochs.
    pub epochs: usize,
    /// Batch size, over all ranks.
    pub batch: usize,
    /// Learning rate after the warm-up; it decays to 0 over the epochs with a cosine schedule.
    pub lr: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay (L2 penalty), applied to all parameters.
    pub weight_decay: f64,
    /// Number of warm-up epochs of the learning rate; only used if the batch size is above 256.
    pub warmup_epochs: usize,
    /// Maximum norm for gradient clipping; 0 disables clipping.
    pub grad_clip: f64,
    /// Label smoothing, from 0 (none) to below 1.
    pub label_smoothing: f64,
    /// Dropout probability of the classifier's input.
    pub dropout: f64,
    /// Drop-connect probability of the last block's residual branch; it increases linearly over the blocks.
    pub drop_connect: f64,
    /// Augmentation of the training images.
    pub augment: Augment,
    /// Number format of the forward pass. Weights, optimizer and validation use f32; with tf32, validation uses tf32 too.
    pub precision: Precision,
    /// Synchronize batch norm statistics over all ranks, so that the result is that of one process. With false, each rank uses
    /// the statistics of its own images, as the original implementation does on several GPUs.
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
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("epochs", self.epochs)?;
        at_least_one("batch", self.batch)?;
        positive("lr", self.lr)?;
        not_negative("momentum", self.momentum)?;
        not_negative("weight_decay", self.weight_decay)?;
        not_negative("grad_clip", self.grad_clip)?;
        below_one("label_smoothing", self.label_smoothing)?;
        below_one("dropout", self.dropout)?;
        below_one("drop_connect", self.drop_connect)?;
        self.augment.validate().map_err(|invalid| invalid.within("augment"))
    }
}

/// Parameters of `train`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainParams {
    /// The search space, for its resolution and classes. The architecture itself is an input.
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
    /// The configuration section.
    pub train: TrainSection,
    /// The ranks, if there are several and `sync_bn` is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranks: Option<RankParams>,
    /// Version of the computation in bf16, if that is the precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_revision: Option<u32>,
}

impl Protocol {
    /// Returns the output of `split` that lists the classes of the derived network.
    pub const fn classes(self) -> &'static str {
        match self {
            Self::Published => "all_classes.txt",
            Self::HeldOut => "classes.txt",
        }
    }
}

impl TrainSection {
    /// Returns the input port for the architecture.
    pub(super) const fn architecture(&self) -> InputPort {
        match self.from {
            Some(_) => InputPort::external(Source::ArchitectureFile),
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
        "trains the architecture"
    }

    fn revision(&self) -> u32 {
        5
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let [training, validation] = match config.train.protocol {
            Protocol::Published if config.draws_test() => {
                [InputPort::output(Stage::Split, "all.list"), InputPort::output(Stage::Split, TEST_LIST)]
            }
            Protocol::Published => {
                [InputPort::output(Stage::Split, "all.list"), InputPort::external(Source::TestImages)]
            }
            Protocol::HeldOut => ["train.list", "val.list"].map(|list| InputPort::output(Stage::Split, list)),
        };
        vec![
            config.train.architecture(),
            InputPort::external(Source::TrainImages),
            training,
            validation,
            InputPort::output(Stage::Split, config.train.protocol.classes()),
        ]
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["best.safetensors", "last.safetensors", "train.json"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        // The file is an input: its content is part of the cache key, its path is not.
        let train = TrainSection { from: None, ..config.train.clone() };
        let processes = config.processes(Stage::Train);
        let ranks = (processes > 1 && !train.sync_bn).then_some(RankParams { processes });
        to_params(TrainParams {
            space: space.clone(),
            seed: config.seed,
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            decode: config.data.decode,
            color_jitter: config.data.color_jitter,
            resize: config.data.evaluation_resize(space.resolution),
            bf16_revision: train.precision.bf16_revision(),
            train,
            ranks,
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.train.validate()
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

    fn is_profiled(&self) -> bool {
        true
    }

    fn precision(&self, config: &Config) -> Option<(&'static str, Precision)> {
        Some(("train.precision", config.train.precision))
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let train = from_params::<TrainParams>(params)?.train;
        Some(match train.protocol {
            Protocol::Published => Work::of_published_training(train.epochs),
            Protocol::HeldOut => Work::of_held_out_training(train.epochs),
        })
    }

    fn runs_on_ranks(&self, _config: &Config) -> bool {
        true
    }
}
