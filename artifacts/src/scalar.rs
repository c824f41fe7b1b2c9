//! The values a parameter can have in an action key, and their one encoding.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

/// One value of a parameter, in canonical form.
///
/// A list or map is stored as one parameter per element (`operations[0].kernel`). Only an empty one is a value, so that
/// it differs from an absent one. Equality, and with it the key, distinguishes `1` from `1.0`, and compares floats bit
/// by bit.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// No value, which is not the same as an absent parameter.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer below zero.
    Signed(i64),
    /// An integer from zero on.
    Unsigned(u64),
    /// A finite float other than -0.0.
    Float(f64),
    /// A text.
    Text(String),
    /// A list without elements.
    EmptyList,
    /// A map without entries.
    EmptyMap,
}

/// A value that a key cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// -0.0, which is equal to 0.0 but has other bits.
    #[error("-0.0 has the value of 0.0 but other bits: write 0.0")]
    NegativeZero,
    /// NaN or an infinity.
    #[error("{0} is not a finite number")]
    NotFinite(String),
    /// A list or map with elements.
    #[error("a list or map is not a scalar")]
    Composite,
}

impl Scalar {
    /// Appends the value's encoding: one byte for its kind, then its bytes (integers and float bits little-endian, a
    /// text after its length).
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Null => bytes.push(0),
            Self::Bool(false) => bytes.push(1),
            Self::Bool(true) => bytes.push(2),
            Self::Signed(value) => {
                bytes.push(3);
                bytes.extend(value.to_le_bytes());
            }
            Self::Unsigned(value) => {
                bytes.push(4);
                bytes.extend(value.to_le_bytes());
            }
            Self::Float(value) => {
                bytes.push(5);
                bytes.extend(value.to_bits().to_le_bytes());
            }
            Self::Text(value) => {
                bytes.push(6);
                encode_text(value, bytes);
            }
            Self::EmptyList => bytes.push(7),
            Self::EmptyMap => bytes.push(8),
        }
    }

    /// Returns the value as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Signed(value) => Value::from(*value),
            Self::Unsigned(value) => Value::from(*value),
            Self::Float(value) => Value::from(*value),
            Self::Text(value) => Value::from(value.as_str()),
            Self::EmptyList => Value::Array(Vec::new()),
            Self::EmptyMap => Value::Object(serde_json::Map::new()),
        }
    }
}

/// Appends a text: its length in bytes as 64-bit little-endian, then its UTF-8 bytes.
pub(crate) fn encode_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

impl TryFrom<f64> for Scalar {
    type Error = ScalarError;

    fn try_from(value: f64) -> Result<Self, ScalarError> {
        if !value.is_finite() {
            Err(ScalarError::NotFinite(value.to_string()))
        } else if value == 0.0 && value.is_sign_negative() {
            Err(ScalarError::NegativeZero)
        } else {
            Ok(Self::Float(value))
        }
    }
}

impl TryFrom<&Value> for Scalar {
    type Error = ScalarError;

    fn try_from(value: &Value) -> Result<Self, ScalarError> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Bool(value) => Ok(Self::Bool(*value)),
            Value::String(value) => Ok(Self::Text(value.clone())),
            Value::Array(list) if list.is_empty() => Ok(Self::EmptyList),
            Value::Object(map) if map.is_empty() => Ok(Self::EmptyMap),
            Value::Array(_) | Value::Object(_) => Err(ScalarError::Composite),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(value), _, _) => Ok(Self::Unsigned(value)),
                (None, Some(value), _) => Ok(Self::Signed(value)),
                (None, None, Some(value)) => Self::try_from(value),
                (None, None, None) => Err(ScalarError::NotFinite(number.to_string())),
            },
        }
    }
}

/// Writes the value as JSON.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}

impl Serialize for Scalar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::try_from(&value).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_round_trip_through_json() {
        for value in [
            json!(null),
            json!(true),
            json!(-3),
            json!(u64::MAX),
            json!(0.1),
            json!(1.0),
            json!("a"),
            json!([]),
            json!({}),
        ] {
            let scalar = Scalar::try_from(&value).unwrap();
            let text = serde_json::to_string(&scalar).unwrap();
            assert_eq!(serde_json::from_str::<Scalar>(&text).unwrap(), scalar, "{text}");
        }
    }

    #[test]
    fn floats_round_trip_bit_for_bit() {
        for bits in (0..2000u64).map(|i| 0x3f00_0000_0000_0000 + i * 0x0001_2345_6789_abcd) {
            let value = f64::from_bits(bits);
            let text = serde_json::to_string(&Scalar::try_from(value).unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Scalar>(&text).unwrap(), Scalar::Float(value));
        }
    }

    #[test]
    fn negative_zero_nan_and_infinity_are_rejected() {
        assert_eq!(Scalar::try_from(-0.0), Err(ScalarError::NegativeZero));
        assert!(Scalar::try_from(f64::NAN).is_err());
        assert!(Scalar::try_from(f64::NEG_INFINITY).is_err());
        assert_eq!(Scalar::try_from(&json!(-0.0)), Err(ScalarError::NegativeZero));
    }
}
