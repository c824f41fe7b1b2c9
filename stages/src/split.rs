use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The one list of classes that is known by name.
const IMAGENET100: &str = "imagenet100";

/// A split that was published, known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishedSplit {
    /// The 100 classes of ImageNet and the 80/20 lists of the original's search.
    Imagenet100,
}

/// `split:` in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitSection {
    /// Restricts the search to these classes: `imagenet100`, or a file with one class name a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<String>,
    /// Takes a published split instead of drawing one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedSplit>,
    /// Share of each class's images that trains the weights; the rest trains the architecture.
    pub train_share: f64,
    /// Takes at most this many images of a class, drawn by the seed; left out, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_class: Option<usize>,
    /// Share of each class's training images that is kept for the test and never used for anything else. Default: 0.15
    /// where there are no test images (`data.test` is null, or not set and the folder `val` does not exist).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_share: Option<f64>,
}

impl Default for SplitSection {
    fn default() -> Self {
        Self { classes: None, published: None, train_share: 0.8, per_class: None, test_share: None }
    }
}

impl SplitSection {
    /// Share of each class's images that is drawn for the test, where there are no test images and none is set.
    pub const TEST_SHARE: f64 = 0.15;

    /// Returns the file that `classes` names, where it names one.
    pub fn classes_file(&self) -> Option<&Path> {
        self.classes.as_deref().filter(|name| *name != IMAGENET100).map(Path::new)
    }

    /// Returns how test images are drawn from the training images, in words.
    ///
    /// * `share`: the share of each class, of 1.
    /// * `is_list`: whether a list file names the training images.
    pub fn describe_drawn_test(share: f64, seed: u64, is_list: bool) -> String {
        let from = if is_list { "list" } else { "folder" };
        let percent = (share * 1e4).round() / 1e2;
        format!("test images drawn from the training {from}: {percent} % of each class, seed {seed}")
    }

    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        if !(self.train_share > 0.0 && self.train_share < 1.0) {
            return Some(("train_share", format!("must lie between 0 and 1, not {}", self.train_share)));
        }
        if let Some(share) = self.test_share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
            let message =
                format!("must lie between 0 and 1, not {share}; name test images with `data.test` to draw none");
            return Some(("test_share", message));
        }
        if self.published.is_some() && self.test_share.is_some() {
            let message = "has fixed lists, from which no test images can be drawn: name test images with `data.test`";
            return Some(("published", message.to_owned()));
        }
        if self.published.is_some() && (self.classes.is_some() || self.per_class.is_some()) {
            return Some(("published", "names a whole split: remove `classes` and `per_class`".to_owned()));
        }
        if self.per_class.is_some_and(|count| count < 2) {
            return Some(("per_class", "must be at least 2: one image for each side of the split".to_owned()));
        }
        None
    }
}

/// What identifies the work of `split`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitParams {
    /// Seed of the draw.
    pub seed: u64,
    /// The section.
    pub split: SplitSection,
}

impl SplitParams {
    /// Returns whether these parameters are those of a split that draws the test images.
    pub fn draw_test(params: &serde_json::Value) -> bool {
        params.pointer("/split/test_share").is_some_and(|share| !share.is_null())
    }
}
