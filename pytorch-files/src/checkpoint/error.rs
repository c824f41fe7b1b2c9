//! Errors of reading a checkpoint.

use super::archive::ArchiveError;
use crate::pickle::PickleError;

/// How many names an error prints.
const PRINTED_NAMES: usize = 8;
/// How many characters of a name an error prints.
const PRINTED_CHARACTERS: usize = 100;

/// The reason why bytes are not a usable checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// Neither of the two containers.
    #[error("this is not a checkpoint of torch.save: {0}")]
    Unknown(&'static str),
    /// The zip archive.
    #[error("the zip archive of the checkpoint: {0}")]
    Archive(#[from] ArchiveError),
    /// A pickle in the checkpoint.
    #[error("{part}: {source}")]
    Pickle {
        /// Which one.
        part: &'static str,
        /// The problem.
        source: PickleError,
    },
    /// The file was written on a big-endian machine.
    #[error("the checkpoint is big-endian, which is not supported: load and save it again on another machine")]
    BigEndian,
    /// The older container is damaged, or has an unknown version.
    #[error("the older container of the checkpoint: {0}")]
    Legacy(&'static str),
    /// A storage differs from its description in the pickle.
    #[error("storage '{key}': {problem}")]
    Storage {
        /// Its key.
        key: String,
        /// The problem.
        problem: String,
    },
    /// The dictionaries have more entries than a stream without repetitions can have.
    #[error(
        "the dictionaries of the checkpoint have more than {limit} entries together, because it repeats the same entries: \
         no program saves such a file"
    )]
    RepeatedEntries {
        /// The limit.
        limit: usize,
    },
    /// The checkpoint holds no dictionary of tensors.
    #[error(
        "the checkpoint has no 'state_dict', no other dictionary of names and tensors, and is not one itself: it \
         contains {found}. Save model.state_dict(), alone or under that key"
    )]
    NoStateDict {
        /// The content found.
        found: String,
    },
    /// A network that was saved as an object instead of its tensors.
    #[error(
        "the checkpoint contains a complete module ({class}), which is code and was not run: load it where its class \
         is defined, and save model.state_dict()"
    )]
    WholeModule {
        /// Its class.
        class: String,
    },
    /// There are no tensors under the given key.
    #[error("the checkpoint has no tensors under '{key}': {places}")]
    NoKey {
        /// The given key.
        key: String,
        /// Where there are some, in words.
        places: String,
    },
    /// An entry of the state dict is not a valid tensor.
    #[error("'{name}': {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// The problem.
        problem: String,
    },
    /// A name is not a string.
    #[error("the state dict has {found} as a name: names must be strings")]
    Name {
        /// The type found.
        found: &'static str,
    },
    /// A name occurs twice.
    #[error("the state dict has '{name}' twice")]
    RepeatedName {
        /// The name.
        name: String,
    },
    /// Tensors that have the same storage so often that they would fill any disk.
    #[error("the tensors would have {bytes} bytes, in a file of {file}: they use the same storages repeatedly")]
    Repeating {
        /// Bytes of all tensors.
        bytes: usize,
        /// Bytes of the file.
        file: usize,
    },
}

impl CheckpointError {
    /// Returns the error for bytes that are neither of the containers.
    pub(super) fn unknown(bytes: &[u8]) -> Self {
        /// The position of the magic of a tar archive.
        const TAR: std::ops::Range<usize> = 257..262;
        Self::Unknown(match bytes {
            [] => "it is empty",
            _ if bytes.get(TAR) == Some(b"ustar") => {
                "it is a tar archive, as PyTorch wrote before 0.1.10: load and save it with a later one"
            }
            [0x80, ..] => "it is a pickle alone, without the storages of tensors",
            [0x1f, 0x8b, ..] => "it is compressed with gzip: unpack it first",
            _ => "it begins neither as a zip archive nor with the older format's magic number",
        })
    }

    /// An error in the pickle that holds the checkpoint.
    pub(super) fn in_pickle(source: PickleError) -> Self {
        Self::Pickle { part: "the checkpoint's pickle", source }
    }

    pub(super) fn storage(key: &str, problem: impl Into<String>) -> Self {
        Self::Storage { key: printed(key), problem: problem.into() }
    }

    pub(super) fn tensor(name: &str, problem: impl Into<String>) -> Self {
        Self::Tensor { name: printed(name), problem: problem.into() }
    }
}

/// Formats a name from a file for an error.
pub(super) fn printed(name: &str) -> String {
    name.escape_debug().take(PRINTED_CHARACTERS).collect()
}

/// The first of many names.
pub(super) fn printed_names<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let rest = names.len().saturating_sub(PRINTED_NAMES);
    let mut first: Vec<String> = names.take(PRINTED_NAMES).map(|name| format!("'{}'", printed(name))).collect();
    if rest > 0 {
        first.push(format!("{rest} more"));
    }
    first.join(", ")
}
