//! The marker file of a folder of generated pictures.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{GeneratedError, GeneratedSet, failed};
use crate::bounded_read::read_bounded;

const FILE: &str = "generated.json";

/// Much larger than the file.
const MAX_BYTES: u64 = 1 << 16;

/// Version of the drawing code. Increase it if the same parameters give other pictures.
const DRAWING: u32 = 1;

/// The content of the marker file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Marker {
    drawing: u32,
    size: usize,
    train_per_class: usize,
    test_per_class: usize,
    seed: u64,
    /// BLAKE3 over the BLAKE3 of each picture.
    pub(super) digest: String,
}

impl Marker {
    pub(super) fn new(set: &GeneratedSet, digest: &str) -> Self {
        let GeneratedSet { size, train_per_class, test_per_class, seed } = *set;
        Self { drawing: DRAWING, size, train_per_class, test_per_class, seed, digest: digest.to_owned() }
    }

    /// The parameters, for a message.
    pub(super) fn parameters(&self) -> String {
        let Self { drawing, size, train_per_class, test_per_class, seed, digest: _ } = self;
        format!(
            "size {size}, train_per_class {train_per_class}, test_per_class {test_per_class}, seed {seed}, drawing {drawing}"
        )
    }
}

pub(super) fn write(root: &Path, marker: &Marker) -> Result<(), GeneratedError> {
    let path = root.join(FILE);
    let mut text = serde_json::to_string_pretty(marker).expect("numbers and a string are JSON");
    text.push('\n');
    std::fs::write(&path, text).map_err(failed(&path))
}

/// Reads the marker. Returns `None` if it does not exist or is another file of that name.
pub(super) fn read(root: &Path) -> Result<Option<Marker>, GeneratedError> {
    let path = root.join(FILE);
    let mut bytes = Vec::new();
    match read_bounded(&path, MAX_BYTES, &mut bytes) {
        Ok(()) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(GeneratedError::File { path, source }),
    }
}
