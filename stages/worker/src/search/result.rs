use serde::{Deserialize, Serialize};
use tfnas::parse::parse;
use tfnas::{Architecture, Choice, Space, Widths};

use crate::error::{Context as _, StageError};

/// `search.json`: what an architecture is parsed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchResult {
    /// Log probabilities of the operations, `[block][K]`.
    pub log_alphas: Vec<Vec<f32>>,
    /// Weights of the depths before the softmax, `[group][block]`.
    pub betas: Vec<Vec<f32>>,
    /// Widths, `[block][K]`.
    pub widths: Vec<Vec<usize>>,
    /// The architecture, `[group][kept block]`, where it was fitted exactly: its operations and depths may be others than
    /// the probabilities prefer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Vec<Vec<Choice>>>,
}

impl SearchResult {
    /// Returns the architecture that the probabilities prefer.
    ///
    /// # Errors
    /// Returns an error if the probabilities or the widths are not of this space.
    pub fn preferred(&self, space: &Space) -> Result<Architecture, StageError> {
        let widths = Widths::new(space, self.widths.clone()).context("search.json")?;
        parse(space, &self.log_alphas, &self.betas, &widths).context("search.json")
    }

    /// Returns the architecture that the search hands on.
    ///
    /// # Errors
    /// As [`Self::preferred`], and if the architecture is not of this space.
    pub fn architecture(&self, space: &Space) -> Result<Architecture, StageError> {
        let preferred = self.preferred(space)?;
        match &self.architecture {
            Some(fitted) => Architecture::new(space, fitted.clone()).context("search.json"),
            None => Ok(preferred),
        }
    }
}
