//! The record of a result on a remote.

use serde::Deserialize;

use super::RemoteError;
use crate::attempt_file::AttemptFile;
use crate::{Attempt, Outcome, Purpose};

/// What the formats of records begin with, whatever their version.
const FORMATS: &str = "tfnas.attempt.v";
const FORMAT: &str = "tfnas.attempt.v1";

/// As much of a record as every version has.
#[derive(Deserialize)]
struct Tagged {
    format: String,
}

/// Returns the bytes of a record: the same whichever store has the result. A run's number means nothing in another one.
pub(super) fn to_bytes(result: &Attempt) -> Vec<u8> {
    let shared = Attempt { run: None, remote: None, ..result.clone() };
    AttemptFile::new(shared, None).to_text().into_bytes()
}

/// Reads what [`to_bytes`] wrote; `place` is for the error.
///
/// # Errors
/// [`RemoteError::Record`], [`RemoteError::NewerRecord`]; [`RemoteError::OtherRecord`] for an attempt without a result.
pub(super) fn from_bytes(bytes: &[u8], place: &str) -> Result<Attempt, RemoteError> {
    if let Ok(Tagged { format }) = serde_json::from_slice(bytes)
        && format.starts_with(FORMATS)
        && format != FORMAT
    {
        let found = format.chars().take(40).collect();
        return Err(RemoteError::NewerRecord { place: place.to_owned(), found });
    }
    let attempt = AttemptFile::from_bytes(bytes, place)?.attempt;
    if attempt.outcome != Some(Outcome::Done) || attempt.purpose != Purpose::Run {
        let what = "it is that of an attempt without a result".to_owned();
        return Err(RemoteError::OtherRecord { place: place.to_owned(), what });
    }
    Ok(Attempt { run: None, remote: None, ..attempt })
}
