//! The canonical JSON format of a publication.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Formats a value: indented by two spaces, fields in the order of the type, with a newline at the end.
pub fn canonical(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("what is published has text keys and finite numbers");
    text.push('\n');
    text
}

/// Parses a value that must be in the format of [`canonical`]: no duplicate or unknown fields, no other formatting.
///
/// # Errors
/// Returns a message if the text is not valid or not canonical.
pub fn parse_canonical<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, String> {
    let value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if canonical(&value).as_bytes() == bytes {
        Ok(value)
    } else {
        Err("it has the content of a publication, but not its format".to_owned())
    }
}
