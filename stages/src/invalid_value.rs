//! Checks of configuration values.

/// A configuration value that is out of range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// Dotted configuration key, relative to the section that was checked.
    pub key: String,
    /// What is wrong with the value: `must be at least 1, not 0`.
    pub message: String,
    /// The full key whose value makes this one invalid, if a default can be invalid.
    pub because: Option<&'static str>,
}

impl InvalidValue {
    pub(crate) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), because: None }
    }

    /// Names the key whose value makes this one invalid.
    pub(crate) fn because_of(self, key: &'static str) -> Self {
        Self { because: Some(key), ..self }
    }

    /// Makes the key relative to the section that contains `section`.
    pub(crate) fn within(self, section: &str) -> Self {
        Self { key: format!("{section}.{}", self.key), ..self }
    }

    /// Returns an error if `is_valid` is false. `requirement` completes the sentence "KEY must …, not VALUE".
    pub(crate) fn unless(
        is_valid: bool,
        key: &str,
        requirement: &str,
        value: impl std::fmt::Display,
    ) -> Result<(), Self> {
        if is_valid { Ok(()) } else { Err(Self::new(key, format!("must {requirement}, not {value}"))) }
    }
}

pub(crate) fn at_least_one(key: &str, value: usize) -> Result<(), InvalidValue> {
    InvalidValue::unless(value > 0, key, "be at least 1", value)
}

pub(crate) fn positive(key: &str, value: f64) -> Result<(), InvalidValue> {
    InvalidValue::unless(value > 0.0 && value.is_finite(), key, "be above 0", value)
}

pub(crate) fn not_negative(key: &str, value: f64) -> Result<(), InvalidValue> {
    InvalidValue::unless(value >= 0.0 && value.is_finite(), key, "be 0 or above", value)
}

/// For probabilities and rates of which 1 makes no sense.
pub(crate) fn below_one(key: &str, value: f64) -> Result<(), InvalidValue> {
    InvalidValue::unless((0.0..1.0).contains(&value), key, "be at least 0 and below 1", value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Config, Stage};

    #[test]
    fn an_invalid_value_names_its_full_key() {
        let text = r#"{"data": {"root": "x"}, "train": {"augment": {"hue": 0.7}}, "ranks": {"processes": 0}}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        let invalid = |key, message| Err(InvalidValue::new(key, message));
        assert_eq!(config.validate(Stage::Train), invalid("train.augment.hue", "must be between 0 and 0.5, not 0.7"));
        assert_eq!(config.validate_shared(), invalid("ranks.processes", "must be at least 1, not 0"));
        assert_eq!(config.validate(Stage::Search), Ok(()));
    }
}
