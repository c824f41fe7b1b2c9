//! The container before PyTorch 1.6: five pickles and the storages, one after another.
//!
//! In order: a magic number; a version; a dictionary with the byte order; the checkpoint; the list of the storages'
//! keys; and for each key, in that order, the number of its elements (8 bytes) and its bytes. The keys are memory
//! addresses of the machine that wrote them.

use std::collections::HashMap;

use super::error::CheckpointError;
use super::storages::{Reference, Storages, pickle_limits};
use crate::pickle::{Limits, Pickle, Value, parse};

/// How the stream begins, in the protocols that PyTorch writes: the pickled magic number 0x1950a86a20f9469cfc6c.
const BEGINNINGS: [&[u8]; 2] = [
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
    b"\x80\x03\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.",
];
/// The only version there ever was.
const VERSION: i64 = 1001;
/// Bytes of the number of elements before a storage.
const COUNT_LENGTH: usize = 8;

/// Whether bytes begin as this container does.
pub(super) fn is_format_of(bytes: &[u8]) -> bool {
    BEGINNINGS.iter().any(|beginning| bytes.starts_with(beginning))
}

/// Reads pickle and storages of a checkpoint that is recognized.
pub(super) fn read(bytes: &[u8]) -> Result<(Pickle, Storages<'_>), CheckpointError> {
    let mut stream = Stream { rest: bytes };
    stream.pickle("the magic number", &Limits::default())?;
    let version = stream.pickle("the version", &Limits::default())?;
    if version.int(version.root()) != Some(VERSION) {
        return Err(CheckpointError::Legacy("its version is not 1001, the only one that exists"));
    }
    let system = stream.pickle("the description of the system", &Limits::default())?;
    if !is_little_endian(&system)? {
        return Err(CheckpointError::BigEndian);
    }
    let pickle = stream.pickle("the checkpoint's pickle", &pickle_limits())?;
    let keys = stream.pickle("the list of storages", &Limits::default())?;
    let storages = stream.storages(&pickle, &keys)?;
    let storages = Storages::of(&pickle, |key| {
        let missing = || CheckpointError::storage(key, "the list of storages does not have it");
        storages.get(key).copied().ok_or_else(missing)
    })?;
    Ok((pickle, storages))
}

fn is_little_endian(system: &Pickle) -> Result<bool, CheckpointError> {
    let entries = system.mapping(system.root()).unwrap_or_default();
    let named = entries.into_iter().find(|(name, _)| system.text(*name) == Some("little_endian"));
    match named.map(|(_, value)| system.value(value)) {
        Some(Value::Bool(little)) => Ok(*little),
        _ => Err(CheckpointError::Legacy("it does not say its byte order")),
    }
}

/// The remaining bytes.
struct Stream<'a> {
    rest: &'a [u8],
}

impl<'a> Stream<'a> {
    fn pickle(&mut self, part: &'static str, limits: &Limits<'_>) -> Result<Pickle, CheckpointError> {
        let pickle = parse(self.rest, limits).map_err(|source| CheckpointError::Pickle { part, source })?;
        self.rest = &self.rest[pickle.length()..];
        Ok(pickle)
    }

    /// Reads the storages. The sizes of their elements come from the references in the checkpoint.
    fn storages<'k>(
        &mut self,
        checkpoint: &Pickle,
        keys: &'k Pickle,
    ) -> Result<HashMap<&'k str, &'a [u8]>, CheckpointError> {
        let mut sizes = HashMap::new();
        for reference in Reference::all(checkpoint) {
            let reference = reference?;
            sizes.insert(reference.key, reference.class.size);
        }
        let listed = keys.sequence(keys.root()).ok_or(CheckpointError::Legacy("its storage keys are not a list"))?;
        let mut storages = HashMap::new();
        for key in listed {
            let key = keys.text(*key).ok_or(CheckpointError::Legacy("a storage key is not a string"))?;
            let wrong = |problem: &str| CheckpointError::storage(key, problem);
            let size = *sizes.get(key).ok_or_else(|| wrong("it is listed, but nothing refers to it"))?;
            let storage = self.storage(size).ok_or_else(|| wrong("the file ends before it: it is truncated"))?;
            if storages.insert(key, storage).is_some() {
                return Err(wrong("it is listed twice"));
            }
        }
        Ok(storages)
    }

    /// Takes a storage of elements of `size` bytes.
    fn storage(&mut self, size: usize) -> Option<&'a [u8]> {
        let (count, rest) = self.rest.split_first_chunk::<COUNT_LENGTH>()?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(size)?;
        let (storage, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some(storage)
    }
}
