use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::{shared_config_key, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec, TEST_LIST};
use crate::{Config, ExifOrientation, OnBadImage, PerImage, Protocol, Stage, Work};

/// Which weights are tested: `best`, `last`, or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum WeightsChoice {
    /// The training's epoch of the best validation.
    #[default]
    Best,
    /// The training's last epoch.
    Last,
    /// A `.pth.tar` or safetensors file, relative to the configuration's own folder.
    File(PathBuf),
}

impl WeightsChoice {
    /// Returns the file, where it is one.
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

/// `test:` in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestSection {
    /// Images a forward pass.
    pub batch: usize,
    /// Which weights are tested: the training's best or last epoch, or a .pth.tar or safetensors file.
    #[schemars(with = "String")]
    pub weights: WeightsChoice,
    /// Where the weights stand in that file: keys from the outermost on, joined by dots, as model_ema.module. Without it they
    /// are found by what the network has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights_key: Option<String>,
}

impl Default for TestSection {
    fn default() -> Self {
        Self { batch: 256, weights: WeightsChoice::default(), weights_key: None }
    }
}

impl TestSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        if self.batch == 0 {
            return Some(("batch", "must be at least 1, not 0".to_owned()));
        }
        let alone = self.weights_key.is_some() && self.weights.file().is_none();
        alone.then(|| ("weights_key", "is of a file that test.weights names, and it names none".to_owned()))
    }
}

/// What identifies the work of `test`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestParams {
    /// Side of the square crop, in pixels.
    pub resolution: usize,
    /// Short side that evaluation resizes to, in pixels.
    pub resize: usize,
    /// What an image that cannot be read does.
    pub on_bad_image: OnBadImage,
    /// What is done about the orientation that the metadata of photos state.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// Which classes the network knows: the split's, or all of the training images.
    pub protocol: Protocol,
    /// The section.
    pub test: TestSection,
}

impl WeightsChoice {
    /// Returns the input that holds these weights: an output of the training, or a file of the user's.
    pub const fn port(&self) -> InputPort {
        match self {
            Self::Best => InputPort::output(Stage::Train, "best.safetensors"),
            Self::Last => InputPort::output(Stage::Train, "last.safetensors"),
            Self::File(_) => InputPort::given(Source::WeightsFile),
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
            ports.extend([InputPort::given(Source::TrainImages), InputPort::output(Stage::Split, TEST_LIST)]);
        } else {
            ports.push(InputPort::given(Source::TestImages));
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
            // The file is an input; its path says nothing of the work.
            test.weights = WeightsChoice::File(Source::WeightsFile.port().into());
        }
        to_params(TestParams {
            resolution: space.resolution,
            resize: config.data.evaluation_resize(space.resolution),
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            protocol: config.train.protocol,
            test,
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        config.test.problem()
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

    fn work(&self, _params: &Value) -> Option<Work> {
        Some(Work { test: PerImage { passes: 1.0, reads: 1.0 }, ..Work::default() })
    }
}
