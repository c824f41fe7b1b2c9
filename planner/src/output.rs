//! Reads typed outputs of stages from the store.

use tfnas_artifacts::{Attempt, Cache};
use tfnas_stages::StageOutput;

/// Reads a JSON output of an attempt. Returns `None` if the attempt does not have it, or if it cannot be read.
pub fn read_output<O: StageOutput>(cache: &Cache, attempt: &Attempt) -> Option<O> {
    let digest = &attempt.output(O::FILE)?.digest;
    let path = cache.open_verified(digest).ok()?;
    O::from_json(&std::fs::read(path).ok()?).ok()
}
