//! The record of a result on a remote.

use serde::Deserialize;

use super::RemoteError;
use crate::attempt_file::AttemptFile;
use crate::{Attempt, Outcome, Purpose};

/// The common prefix of the format tags of all versions.
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

/// Parses the output of [`to_bytes`]. `place` is used in the error.
///
/// # Errors
/// Returns [`RemoteError::Record`] if the record is invalid, [`RemoteError::NewerRecord`] if a newer version wrote it,
/// and [`RemoteError::OtherRecord`] if the attempt has no result.
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
        let what = "it is the record of an attempt without a result".to_owned();
        return Err(RemoteError::OtherRecord { place: place.to_owned(), what });
    }
    Ok(Attempt { run: None, remote: None, ..attempt })
}
