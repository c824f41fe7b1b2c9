//! The one way in which a publication's JSON is written.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes a value: indented by two blanks, fields in the order of the type, a line feed at the end.
pub fn canonical(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("what is published has text keys and finite numbers");
    text.push('\n');
    text
}

/// Reads a value that is written as [`canonical`] writes it: nothing doubled, nothing unknown, no other spelling.
///
/// # Errors
/// What is wrong, for people.
pub fn parse_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, String> {
    let value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if canonical(&value).as_bytes() == bytes {
        Ok(value)
    } else {
        Err("it says the same as a publication would, but is not written so".to_owned())
    }
}
