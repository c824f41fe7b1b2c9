//! Reading JSON that is signed: limited in size, and without duplicate keys in an object.
//!
//! Some readers take the first of two equal keys and others the last. The verifier of a document and its user must not
//! see different values.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A text that is not the JSON that is expected.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is larger than anything of its kind.
    #[error("it has {bytes} bytes, more than the maximum of {most}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// The text is not valid JSON, has a duplicate key, or has other fields than expected.
    #[error("{0}")]
    Text(#[from] serde_json::Error),
}

/// Reads a value from at most `most` bytes of JSON.
///
/// # Errors
/// Returns [`JsonError`] if the bytes are too long or not valid JSON, or if an object at any depth has a duplicate key.
pub fn read<T: DeserializeOwned>(bytes: &[u8], most: usize) -> Result<T, JsonError> {
    if bytes.len() > most {
        return Err(JsonError::TooLarge { bytes: bytes.len(), most });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Unique.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(serde_json::from_value(value)?)
}

/// Returns a value as JSON on one line, without a line feed. Fields are in the order of their declaration.
pub(crate) fn to_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these are plain structs, and maps with text keys")
}

/// Returns a value as indented JSON with a newline at its end.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("these are plain structs, and maps with text keys");
    text.push('\n');
    text
}

/// Accepts any value without duplicate keys.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Unique)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} appears twice")));
            }
            let value = entries.next_value_seed(Unique)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> String {
        read::<Value>(text.as_bytes(), 1000).unwrap_err().to_string()
    }

    #[test]
    fn value_round_trips() {
        let text = r#"{"b":[1,-2,0.1,true,null,"\u00e4"],"a":{"b":{}}}"#;
        let value: Value = read(text.as_bytes(), text.len()).unwrap();
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn duplicate_keys_are_rejected_at_any_depth() {
        assert!(error(r#"{"a":1,"a":1}"#).contains("\"a\" appears twice"));
        assert!(error(r#"[{"b":[{"a":1,"\u0061":2}]}]"#).contains("\"a\" appears twice"));
    }

    #[test]
    fn oversized_deep_and_trailing_input_is_rejected() {
        assert!(error(&" ".repeat(1001)).contains("1001 bytes, more than the maximum of 1000"));
        assert!(error(&"[".repeat(500)).contains("recursion"));
        assert!(error("{} {}").contains("trailing"));
        assert!(error("").contains("EOF"));
    }
}
