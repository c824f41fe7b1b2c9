//! The outputs of `search`: its result and its history.

use serde::{Deserialize, Serialize};
use tfnas::exact_fit::Change;
use tfnas::parse::{ParseError, parse};
use tfnas::{Architecture, ArchitectureError, Choice, Space, WidthError, Widths};

use super::number::{missing, nullable, nullable_rows};

/// `search.json`: the result of a search, from which `parse` derives an architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchResult {
    /// Log probabilities of the operations, `[block][K]`.
    #[serde(deserialize_with = "nullable_rows")]
    pub log_alphas: Vec<Vec<f32>>,
    /// Logits of the depths, `[group][block]`.
    #[serde(deserialize_with = "nullable_rows")]
    pub betas: Vec<Vec<f32>>,
    /// Width of each operation, `[block][K]`.
    pub widths: Vec<Vec<usize>>,
    /// The fitted architecture, `[group][kept block]`, of a search with `fit: exact`. Its operations and depths may differ from
    /// the most probable ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Vec<Vec<Choice>>>,
}

/// Why a search result does not match the search space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchResultError {
    /// The widths do not match the space.
    #[error(transparent)]
    Widths(#[from] WidthError),
    /// The probabilities do not match the space, or the search diverged.
    #[error(transparent)]
    Probabilities(#[from] ParseError),
    /// The fitted architecture does not match the space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
}

impl SearchResult {
    /// Returns the architecture with the most probable operations and depths.
    ///
    /// # Errors
    /// Returns an error if the probabilities or the widths do not match the space, or are not finite.
    pub fn preferred(&self, space: &Space) -> Result<Architecture, SearchResultError> {
        let widths = Widths::new(space, self.widths.clone())?;
        Ok(parse(space, &self.log_alphas, &self.betas, &widths)?)
    }

    /// Returns the result of the search: the fitted architecture if there is one, otherwise [`Self::preferred`].
    ///
    /// # Errors
    /// Returns the errors of [`Self::preferred`], and an error if the fitted architecture does not match the space.
    pub fn architecture(&self, space: &Space) -> Result<Architecture, SearchResultError> {
        let preferred = self.preferred(space)?;
        match &self.architecture {
            Some(fitted) => Ok(Architecture::new(space, fitted.clone())?),
            None => Ok(preferred),
        }
    }
}

/// Returns the softmax of each row, rounded to four decimals to keep `history.json` small. Rows with values that are not finite
/// become NaN.
pub fn probabilities(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let of_row = |row: &Vec<f32>| {
        let max = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let shares: Vec<f64> = row.iter().map(|value| (f64::from(*value) - max).exp()).collect();
        let sum: f64 = shares.iter().sum();
        shares.iter().map(|share| (1e4 * share / sum).round() / 1e4).collect()
    };
    rows.iter().map(of_row).collect()
}

/// One epoch of `history.json`: the state of the search after each epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchEpoch {
    /// Number of the epoch, from 0.
    pub epoch: usize,
    /// Learning rate of the weight steps.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lr: f64,
    /// Temperature of the Gumbel softmax.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub temperature: f64,
    /// Mean loss of the weight steps; after the warm-up, of the sum over two sampled paths.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_loss: f64,
    /// Top-1 accuracy of the weight steps, along the Gumbel path.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top1: f64,
    /// Mean cross-entropy of the architecture steps; `None` in the warm-up.
    #[serde(default)]
    pub architecture_loss: Option<f64>,
    /// Mean expected latency of the architecture steps; `None` in the warm-up.
    #[serde(default)]
    pub expected_lat_ms: Option<f64>,
    /// Top-1 accuracy on the images that train the architecture; only in the last `search.validate_last` epochs.
    #[serde(default)]
    pub val_top1: Option<f64>,
    /// Entropy of the operation probabilities, averaged over blocks and relative to its maximum.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub operation_entropy: f64,
    /// Operation probabilities after this epoch, `[block][K]`, rounded to four decimals; empty in files of releases that did
    /// not record them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable_rows")]
    pub operations: Vec<Vec<f64>>,
    /// Depth probabilities after this epoch, `[group][depth - 1]`, rounded to four decimals; empty in files of releases that
    /// did not record them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable_rows")]
    pub depths: Vec<Vec<f64>>,
    /// The architecture that would be parsed after this epoch, `[group][kept block]`.
    #[serde(default)]
    pub architecture: Vec<Vec<Choice>>,
    /// Predicted latency of the architecture before the fit.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub before_lat_ms: f64,
    /// Predicted latency of the architecture after the fit.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub after_lat_ms: f64,
    /// Changes to operations and depths that the fit made to meet the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Number of images for the weight steps that could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// Share of blocks with the same choice as after the previous epoch (kept or dropped, and the operation); `None` in the
    /// first epoch.
    #[serde(default)]
    pub agreement: Option<f64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::StageOutput as _;

    #[test]
    fn the_fitted_architecture_takes_precedence_over_the_preferred_one() {
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
        assert!(!result.to_json().unwrap().contains("architecture"), "a published fit writes no architecture");

        let mut groups = preferred.groups().to_vec();
        groups[2].truncate(1);
        result.architecture = Some(groups.clone());
        let read = SearchResult::from_json(result.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(read.architecture(&space).unwrap().groups(), groups);
        result.architecture.as_mut().unwrap()[0][0].width = 1;
        assert!(result.architecture(&space).is_err());
    }

    #[test]
    fn probabilities_that_are_not_finite_are_read_and_rejected() {
        let space = Space::small();
        let mut result = SearchResult {
            log_alphas: vec![vec![0.0; 4]; 6],
            betas: vec![vec![0.0], vec![0.0, 1.0], vec![0.0, 0.0, 1.0]],
            widths: Widths::initial(&space).rows().to_vec(),
            architecture: None,
        };
        result.log_alphas[1][2] = f32::NEG_INFINITY;
        let read = SearchResult::from_json(result.to_json().unwrap().as_bytes()).unwrap();
        assert!(read.log_alphas[1][2].is_nan());
        let error = read.preferred(&space).unwrap_err().to_string();
        assert!(error.contains("the search has diverged"), "{error}");
    }

    #[test]
    fn probabilities_are_a_softmax_and_nan_after_divergence() {
        assert_eq!(probabilities(&[vec![0.0, 0.0, 0.0], vec![1000.0]]), [vec![0.3333; 3], vec![1.0]]);
        let logs = vec![0.75f32.ln(), 0.25f32.ln()];
        assert_eq!(probabilities(&[logs]), [[0.75, 0.25]]);
        assert!(probabilities(&[vec![f32::NAN, 0.0]])[0][1].is_nan());
        assert!(probabilities(&[vec![f32::INFINITY, 0.0]])[0][0].is_nan());
        assert!(probabilities(&[Vec::new()])[0].is_empty());
    }

    #[test]
    fn missing_fields_of_older_files_get_defaults() {
        let read = Vec::<SearchEpoch>::from_json(br#"[{"epoch": 3, "train_loss": null, "unknown": 1}]"#).unwrap();
        assert!(read[0].train_loss.is_nan() && read[0].lr.is_nan() && read[0].architecture.is_empty());
        for bytes in [&b"[{}]"[..], b"{}", b"", b"[{\"epoch\": 1", b"\xff"] {
            assert!(Vec::<SearchEpoch>::from_json(bytes).is_err(), "{bytes:?}");
        }
    }
}
