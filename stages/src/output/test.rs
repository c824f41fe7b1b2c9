use serde::{Deserialize, Serialize};

use super::number::nullable;

/// `test.json`: how the trained network does on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Share of test images whose first guess is right.
    #[serde(deserialize_with = "nullable")]
    pub top1: f64,
    /// Share of test images with the right class among the first five guesses.
    #[serde(deserialize_with = "nullable")]
    pub top5: f64,
    /// Mean cross-entropy.
    #[serde(default = "super::number::missing", deserialize_with = "nullable")]
    pub loss: f64,
    /// Test images that were read.
    pub images: usize,
    /// Test images that could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// Classes without test images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// The classes, in the order of their labels.
    #[serde(default)]
    pub classes: Vec<ClassReport>,
}

/// One class of a test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Its test images.
    pub images: usize,
    /// Share of them whose first guess is right; `None` without images.
    #[serde(default)]
    pub top1: Option<f64>,
}
