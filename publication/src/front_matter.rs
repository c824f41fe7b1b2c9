//! The front matter of a model card, which Hugging Face reads.

use serde::{Deserialize, Serialize};

/// The web page that describes the licenses of the SPDX list.
pub const LICENCES: &str = "https://spdx.org/licenses/";

/// The YAML front matter of a card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrontMatter {
    /// The model and its results.
    #[serde(rename = "model-index")]
    pub model_index: Vec<IndexedModel>,
    /// Web page of the license of the weights.
    #[serde(default)]
    license_link: Option<String>,
}

impl FrontMatter {
    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        self.model_index.first().map_or("", |model| &model.name)
    }

    /// Returns the SPDX identifier of the license of the weights, if given.
    pub fn license(&self) -> Option<&str> {
        self.license_link.as_deref()?.strip_prefix(LICENCES)
    }
}

/// A model and its results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedModel {
    /// Name of the model.
    pub name: String,
    /// One entry for each data set.
    pub results: Vec<IndexedResult>,
}

/// The results on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedResult {
    /// The metrics that were measured.
    pub metrics: Vec<IndexedMetric>,
}

/// A single metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IndexedMetric {
    /// Name of the metric.
    pub name: String,
    /// Value of the metric.
    pub value: f64,
}

/// Parses the front matter of a card.
///
/// # Errors
/// Returns a message if the front matter is missing or invalid.
pub fn front_matter(card: &str) -> Result<FrontMatter, String> {
    let head = card.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n")).map(|(head, _)| head);
    let head = head.ok_or("it does not begin with a header between lines of ---")?;
    serde_saphyr::from_str(head).map_err(|error| error.to_string())
}
