//! The stage `test`: tests the trained network on the test images.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{shared_config_key, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec, TEST_LIST};
use crate::invalid_value::at_least_one;
use crate::{Config, ExifOrientation, InvalidValue, OnBadImage, PerImage, Precision, Protocol, Stage, Work};

/// Which weights to test: `best`, `last`, or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WeightsChoice {
    /// The epoch of the training with the best validation accuracy.
    #[default]
    Best,
    /// The last epoch of the training.
    Last,
    /// A `.pth.tar` or safetensors file, relative to the folder of the configuration file.
    File(PathBuf),
}

impl WeightsChoice {
    /// Returns the path if the choice is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Best | Self::Last => None,
        }
    }
}

impl From<String> for WeightsChoice {
    fn from(text: String) -> Self {
        match text.as_str() {
            "best" => Self::Best,
            "last" => Self::Last,
            file => Self::File(file.into()),
        }
    }
}

impl From<WeightsChoice> for String {
    fn from(choice: WeightsChoice) -> Self {
        match choice {
            WeightsChoice::Best => "best".to_owned(),
            WeightsChoice::Last => "last".to_owned(),
            WeightsChoice::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

/// `test:` in the configuration: how the trained network is tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestSection {
    /// Batch size.
    pub batch: usize,
    /// Weights to test: best (the epoch with the best validation accuracy), last (the last epoch), or the path of a .pth.tar
    /// or safetensors file.
    #[schemars(with = "String")]
    pub weights: WeightsChoice,
    /// Path of the weights within that file: nested keys joined by dots, such as model_ema.module. By default the weights are
    /// found by the names of the network's tensors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
    /// Number format of the network; f32 by default. A lower precision changes a few predictions; the accuracy of a published
    /// result should be that of f32.
    #[serde(skip_serializing_if = "Precision::is_f32")]
    #[schemars(extend("default" = "f32"))]
    pub precision: Precision,
}

impl Default for TestSection {
    fn default() -> Self {
        Self { batch: 256, weights: WeightsChoice::default(), weights_key: None, precision: Precision::default() }
    }
}

impl TestSection {
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        at_least_one("batch", self.batch)?;
        if self.weights_key.is_some() && self.weights.file().is_none() {
            return Err(InvalidValue::new("weights_key", "requires that test.weights names a file"));
        }
        Ok(())
    }
}

/// Parameters of `test`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestParams {
    /// Side length of the center crop, in pixels.
    pub resolution: usize,
    /// Length of the short side after the evaluation resize, in pixels.
    pub resize: usize,
    /// What to do about an image that cannot be read.
    pub on_bad_image: OnBadImage,
    /// How to treat the EXIF orientation of photos.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// Determines the classes of the network: those of the split, or all classes of the training images.
    pub protocol: Protocol,
    /// The configuration section.
    pub test: TestSection,
    /// Version of the computation in bf16, if that is the precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_revision: Option<u32>,
}

impl WeightsChoice {
    /// Returns the input port for these weights: an output of `train`, or a file.
    pub const fn port(&self) -> InputPort {
        match self {
            Self::Best => InputPort::output(Stage::Train, "best.safetensors"),
            Self::Last => InputPort::output(Stage::Train, "last.safetensors"),
            Self::File(_) => InputPort::external(Source::WeightsFile),
        }
    }
}

/// The stage `test`.
pub(super) struct Test;

impl StageSpec for Test {
    fn name(&self) -> &'static str {
        "test"
    }

    fn about(&self) -> &'static str {
        "tests the trained network: top-1, top-5, per class"
    }

    fn revision(&self) -> u32 {
        5
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let mut ports = vec![config.train.architecture(), config.test.weights.port()];
        if config.draws_test() {
            ports.extend([InputPort::external(Source::TrainImages), InputPort::output(Stage::Split, TEST_LIST)]);
        } else {
            ports.push(InputPort::external(Source::TestImages));
        }
        ports.push(InputPort::output(Stage::Split, config.train.protocol.classes()));
        ports
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["test.json", "predictions.csv"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        let mut test = config.test.clone();
        if let WeightsChoice::File(_) = test.weights {
            // The file is an input: its content is part of the cache key, its path is not.
            test.weights = WeightsChoice::File(Source::WeightsFile.port().into());
        }
        to_params(TestParams {
            resolution: space.resolution,
            resize: config.data.evaluation_resize(space.resolution),
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            protocol: config.train.protocol,
            bf16_revision: test.precision.bf16_revision(),
            test,
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.test.validate()
    }

    fn config_key(&self, param: &str) -> String {
        match param {
            "resolution" => "space.resolution".to_owned(),
            "protocol" => "train.protocol".to_owned(),
            _ => shared_config_key(param),
        }
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        Some(format!("metrics/{output}"))
    }

    fn memory_hint(&self) -> &'static str {
        "lower test.batch"
    }

    fn is_profiled(&self) -> bool {
        true
    }

    fn precision(&self, config: &Config) -> Option<(&'static str, Precision)> {
        Some(("test.precision", config.test.precision))
    }

    fn work(&self, _params: &Value) -> Option<Work> {
        Some(Work { test: PerImage { passes: 1.0, reads: 1.0 }, ..Work::default() })
    }
}
