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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_architecture_that_was_fitted_is_handed_on_in_place_of_the_preferred_one() {
        let space = Space::small();
        let mut result = SearchResult {
            log_alphas: vec![vec![0.0; 4]; 6],
            betas: vec![vec![0.0], vec![0.0, 1.0], vec![0.0, 0.0, 1.0]],
            widths: Widths::initial(&space).rows().to_vec(),
            architecture: None,
        };
        let preferred = result.preferred(&space).unwrap();
        assert_eq!(preferred.block_count(), 6);
        assert_eq!(result.architecture(&space).unwrap(), preferred);
        assert!(!serde_json::to_string(&result).unwrap().contains("architecture"), "as published searches write it");

        let mut groups = preferred.groups().to_vec();
        groups[2].truncate(1);
        result.architecture = Some(groups.clone());
        let read: SearchResult = serde_json::from_str(&serde_json::to_string(&result).unwrap()).unwrap();
        assert_eq!(read.architecture(&space).unwrap().groups(), groups);
        result.architecture.as_mut().unwrap()[0][0].width = 1;
        assert!(result.architecture(&space).is_err());
    }
}
