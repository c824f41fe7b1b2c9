//! The results of a candidate's training.

use serde::{Deserialize, Serialize};

/// The result of one epoch of a candidate's training.
///
/// JSON has no non-finite numbers, so a non-finite loss is written as a string such as `"NaN"`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochScore {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean loss of the training images.
    #[serde(with = "number")]
    pub train_loss: f64,
    /// Mean loss on the validation images, in the last epoch of each rung.
    #[serde(default, with = "optional_number", skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Top-1 accuracy on the validation images, in the last epoch of each rung.
    #[serde(default, with = "optional_number", skip_serializing_if = "Option::is_none")]
    pub val_top1: Option<f64>,
}

/// Returns whether a training diverged, that is, has a non-finite loss.
pub(crate) fn diverged(scores: &[EpochScore]) -> bool {
    scores.iter().any(|score| !score.train_loss.is_finite() || score.val_loss.is_some_and(|loss| !loss.is_finite()))
}

/// A number, or the string of a number that JSON cannot represent.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Text(String),
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        if value.is_finite() { Self::Finite(value) } else { Self::Text(value.to_string()) }
    }
}

impl TryFrom<Number> for f64 {
    type Error = String;

    fn try_from(number: Number) -> Result<Self, String> {
        match number {
            Number::Finite(value) => Ok(value),
            Number::Text(text) => match text.as_str() {
                "NaN" => Ok(Self::NAN),
                "inf" => Ok(Self::INFINITY),
                "-inf" => Ok(Self::NEG_INFINITY),
                _ => Err(format!("{text:?} is not a number: it must be a number, \"NaN\", \"inf\" or \"-inf\"")),
            },
        }
    }
}

mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        super::Number::from(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        super::Number::deserialize(deserializer)?.try_into().map_err(D::Error::custom)
    }
}

mod optional_number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(super::Number::from).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let number = Option::<super::Number>::deserialize(deserializer)?;
        number.map(TryInto::try_into).transpose().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn non_finite_losses_round_trip_through_json() {
        for loss in [0.1 + 0.2, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let score = EpochScore { epoch: 1, train_loss: loss, val_loss: Some(loss), val_top1: None };
            let read: EpochScore = serde_json::from_str(&serde_json::to_string(&score).unwrap()).unwrap();
            assert_eq!(read.train_loss.to_bits(), loss.to_bits());
            assert_eq!(read.val_loss.unwrap().to_bits(), loss.to_bits());
            assert_eq!(read.val_top1, None);
            assert_eq!(diverged(&[read]), !loss.is_finite());
        }
    }

    #[test]
    fn other_strings_are_rejected() {
        let error = serde_json::from_str::<EpochScore>("{\"epoch\": 1, \"train_loss\": \"fast\"}").unwrap_err();
        assert!(error.to_string().contains("\"fast\" is not a number"), "{error}");
    }
}
