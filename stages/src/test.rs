use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{OnBadImage, Protocol};

/// Which of the training's two checkpoints is tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WeightsChoice {
    /// The epoch of the best validation.
    #[default]
    Best,
    /// The last epoch.
    Last,
}

/// `test:` in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestSection {
    /// Images a forward pass.
    pub batch: usize,
    /// Which checkpoint is tested.
    pub weights: WeightsChoice,
}

impl Default for TestSection {
    fn default() -> Self {
        Self { batch: 256, weights: WeightsChoice::default() }
    }
}

impl TestSection {
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        (self.batch == 0).then(|| ("batch", "must be at least 1, not 0".to_owned()))
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
    /// Which classes the network knows: the split's, or all of the training images.
    pub protocol: Protocol,
    /// The section.
    pub test: TestSection,
}
