//! The stage `split`: divides the training images for the search, and draws test images from them if needed.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use super::spec::to_params;
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::{Config, InvalidValue, PerImage, Work};

/// The built-in list of classes.
const IMAGENET100: &str = "imagenet100";

/// A published split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishedSplit {
    /// The 100 classes of ImageNet and the 80/20 lists of the original search.
    Imagenet100,
}

/// `split:` in the configuration: how the training images are divided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSection {
    /// Restrict the search to these classes: `imagenet100`, or a file with one class name per line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// Use a published split instead of a random one: imagenet100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedSplit>,
    /// Share of the images of each class that train the weights; the other images train the architecture.
    pub train_share: f64,
    /// Maximum number of images per class, drawn at random. Default: all images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class: Option<usize>,
    /// Share of the training images of each class that is reserved for the test. Default: 0.15 if there are no test images
    /// (`data.test` is null, or it is not set and the folder `val` does not exist).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
}

impl Default for SplitSection {
    fn default() -> Self {
        Self { classes: None, published: None, train_share: Self::TRAIN_SHARE, per_class: None, test_share: None }
    }
}

impl SplitSection {
    /// Default of `train_share`.
    pub const TRAIN_SHARE: f64 = 0.8;
    /// Default of `test_share` if there are no test images.
    pub const TEST_SHARE: f64 = 0.15;

    /// Returns the file that `classes` names, if it names a file.
    pub fn classes_file(&self) -> Option<&Path> {
        self.classes.as_deref().filter(|name| *name != IMAGENET100).map(Path::new)
    }

    /// Returns a description of how test images are drawn from the training images.
    ///
    /// * `share`: the share of each class, between 0 and 1.
    /// * `is_list`: whether a list file names the training images.
    pub fn describe_drawn_test(share: f64, seed: u64, is_list: bool) -> String {
        let from = if is_list { "list" } else { "folder" };
        let percent = (share * 1e4).round() / 1e2;
        format!("test images drawn from the training {from}: {percent} % of each class, seed {seed}")
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        let is_share = |share: f64| share > 0.0 && share < 1.0;
        InvalidValue::unless(is_share(self.train_share), "train_share", "be between 0 and 1", self.train_share)?;
        if let Some(share) = self.test_share.filter(|share| !is_share(*share)) {
            let message = format!("must be between 0 and 1, not {share}; set `data.test` to use separate test images");
            return Err(InvalidValue::new("test_share", message));
        }
        if self.published.is_some() && self.test_share.is_some() {
            let message = "has fixed lists, from which no test images can be drawn: set `data.test`";
            return Err(InvalidValue::new("published", message));
        }
        if self.published.is_some() && (self.classes.is_some() || self.per_class.is_some()) {
            let message = "cannot be combined with `classes` or `per_class`: remove them";
            return Err(InvalidValue::new("published", message));
        }
        if self.per_class.is_some_and(|count| count < 2) {
            return Err(InvalidValue::new("per_class", "must be at least 2: one image for each part of the split"));
        }
        Ok(())
    }
}

/// Parameters of `split`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitParams {
    /// Seed for drawing images.
    pub seed: u64,
    /// The configuration section.
    pub split: SplitSection,
}

impl SplitParams {
    /// Returns whether a split with these parameters draws the test images.
    pub fn draw_test(params: &serde_json::Value) -> bool {
        params.pointer("/split/test_share").is_some_and(|share| !share.is_null())
    }
}

/// Output of `split`, and input port of later stages: the list of test images that are drawn from the training images.
pub const TEST_LIST: &str = "test.list";

/// The stage `split`.
pub(super) struct Split;

impl StageSpec for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn about(&self) -> &'static str {
        "divides the training images, by class and seed"
    }

    fn revision(&self) -> u32 {
        2
    }

    fn inputs(&self, config: &Config) -> Vec<InputPort> {
        let classes = config.split.classes_file().map(|_| InputPort::external(Source::ClassesFile));
        [InputPort::external(Source::TrainImages)].into_iter().chain(classes).collect()
    }

    fn outputs(&self, draws_test: bool) -> &'static [&'static str] {
        const OUTPUTS: &[&str] =
            &["train.list", "val.list", "classes.txt", "all.list", "all_classes.txt", "split.json", TEST_LIST];
        if draws_test { OUTPUTS } else { OUTPUTS.split_at(OUTPUTS.len() - 1).0 }
    }

    fn params(&self, config: &Config, _space: &SpaceDefinition) -> Value {
        let mut split = config.split.clone();
        if split.classes_file().is_some() {
            // The file is an input: its content is part of the cache key, its path is not.
            split.classes = Some("classes".to_owned());
        }
        to_params(SplitParams { seed: config.seed, split })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::default()
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.split.validate()
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        Some(format!("lists/{output}"))
    }

    fn memory_hint(&self) -> &'static str {
        "free some memory"
    }

    fn work(&self, _params: &Value) -> Option<Work> {
        Some(Work { training: PerImage { passes: 0.0, reads: 1.0 }, ..Work::default() })
    }
}
