use serde::{Deserialize, Serialize};
use tfnas::exact_fit::Change;
use tfnas::parse::{ParseError, parse};
use tfnas::{Architecture, ArchitectureError, Choice, Space, WidthError, Widths};

use super::number::{missing, nullable, nullable_rows};

/// `search.json`: what an architecture is parsed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchResult {
    /// Log probabilities of the operations, `[block][K]`.
    #[serde(deserialize_with = "nullable_rows")]
    pub log_alphas: Vec<Vec<f32>>,
    /// Weights of the depths before the softmax, `[group][block]`.
    #[serde(deserialize_with = "nullable_rows")]
    pub betas: Vec<Vec<f32>>,
    /// Widths, `[block][K]`.
    pub widths: Vec<Vec<usize>>,
    /// The architecture, `[group][kept block]`, if it was fitted exactly: its operations and depths may differ from those
    /// that the probabilities prefer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<Vec<Vec<Choice>>>,
}

/// Why a search's result is not one of its space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchResultError {
    /// The widths are those of another space.
    #[error(transparent)]
    Widths(#[from] WidthError),
    /// The probabilities are those of another space, or the search diverged.
    #[error(transparent)]
    Probabilities(#[from] ParseError),
    /// The fitted architecture is one of another space.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
}

impl SearchResult {
    /// Returns the architecture that the probabilities prefer.
    ///
    /// # Errors
    /// Returns an error if the probabilities or the widths are not of this space, or are not finite.
    pub fn preferred(&self, space: &Space) -> Result<Architecture, SearchResultError> {
        let widths = Widths::new(space, self.widths.clone())?;
        Ok(parse(space, &self.log_alphas, &self.betas, &widths)?)
    }

    /// Returns the architecture that the search hands on.
    ///
    /// # Errors
    /// As [`Self::preferred`], and if the architecture is not of this space.
    pub fn architecture(&self, space: &Space) -> Result<Architecture, SearchResultError> {
        let preferred = self.preferred(space)?;
        match &self.architecture {
            Some(fitted) => Ok(Architecture::new(space, fitted.clone())?),
            None => Ok(preferred),
        }
    }
}

/// Returns the softmax of each row, to four decimals: enough to draw, and few bytes for each epoch of a history. Rows that
/// are not finite give NaN.
pub fn probabilities(rows: &[Vec<f32>]) -> Vec<Vec<f64>> {
    let of_row = |row: &Vec<f32>| {
        let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let shares: Vec<f64> = row.iter().map(|value| (f64::from(*value) - most).exp()).collect();
        let sum: f64 = shares.iter().sum();
        shares.iter().map(|share| (1e4 * share / sum).round() / 1e4).collect()
    };
    rows.iter().map(of_row).collect()
}

/// One epoch of `history.json`: what a search did, so that its choice can be judged afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchEpoch {
    /// The epoch, from 0.
    pub epoch: usize,
    /// Learning rate of the weights.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub lr: f64,
    /// Temperature of the Gumbel softmax.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub temperature: f64,
    /// Mean loss of the weight steps: after the warm-up, the sum over two sampled paths.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_loss: f64,
    /// Top-1 of the weight steps' Gumbel paths.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub train_top1: f64,
    /// Mean cross-entropy of the architecture steps; `None` in the warm-up.
    #[serde(default)]
    pub architecture_loss: Option<f64>,
    /// Mean expected latency of the architecture steps; `None` in the warm-up.
    #[serde(default)]
    pub expected_lat_ms: Option<f64>,
    /// Top-1 on the images that train the architecture; in the last epochs only.
    #[serde(default)]
    pub val_top1: Option<f64>,
    /// Mean entropy of the operations' probabilities over the blocks, as a share of its maximum.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub operation_entropy: f64,
    /// Probabilities of the operations after this epoch, `[block][K]`, to four decimals; empty in files of releases that
    /// did not record them.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable_rows")]
    pub operations: Vec<Vec<f64>>,
    /// Probabilities of the depths after this epoch, `[group][depth - 1]`, to four decimals; empty likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable_rows")]
    pub depths: Vec<Vec<f64>>,
    /// The architecture that would be parsed after this epoch, `[group][kept block]`.
    #[serde(default)]
    pub architecture: Vec<Vec<Choice>>,
    /// Its latency before the widths were refitted.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub before_lat_ms: f64,
    /// Its latency after.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub after_lat_ms: f64,
    /// The operations and depths that the fit changed, so that the target is met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Images that train the weights and could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// Blocks that the epoch before parsed alike (kept or not, and the operation), as a share of all blocks; `None` in
    /// the first.
    #[serde(default)]
    pub agreement: Option<f64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::StageOutput as _;

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
        assert!(!result.to_json().unwrap().contains("architecture"), "as published searches write it");

        let mut groups = preferred.groups().to_vec();
        groups[2].truncate(1);
        result.architecture = Some(groups.clone());
        let read = SearchResult::from_json(result.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(read.architecture(&space).unwrap().groups(), groups);
        result.architecture.as_mut().unwrap()[0][0].width = 1;
        assert!(result.architecture(&space).is_err());
    }

    #[test]
    fn probabilities_that_are_not_numbers_are_read_and_refused() {
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
    fn probabilities_add_up_and_diverged_ones_are_not_numbers() {
        assert_eq!(probabilities(&[vec![0.0, 0.0, 0.0], vec![1000.0]]), [vec![0.3333; 3], vec![1.0]]);
        let logs = vec![0.75f32.ln(), 0.25f32.ln()];
        assert_eq!(probabilities(&[logs]), [[0.75, 0.25]]);
        assert!(probabilities(&[vec![f32::NAN, 0.0]])[0][1].is_nan());
        assert!(probabilities(&[vec![f32::INFINITY, 0.0]])[0][0].is_nan());
        assert!(probabilities(&[Vec::new()])[0].is_empty());
    }

    #[test]
    fn an_epoch_of_an_older_file_lacks_what_was_not_written_then() {
        let read = Vec::<SearchEpoch>::from_json(br#"[{"epoch": 3, "train_loss": null, "unknown": 1}]"#).unwrap();
        assert!(read[0].train_loss.is_nan() && read[0].lr.is_nan() && read[0].architecture.is_empty());
        for bytes in [&b"[{}]"[..], b"{}", b"", b"[{\"epoch\": 1", b"\xff"] {
            assert!(Vec::<SearchEpoch>::from_json(bytes).is_err(), "{bytes:?}");
        }
    }
}
