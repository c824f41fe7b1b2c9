//! Weights in files: PyTorch's `.pth.tar`, read without executing a pickle, and safetensors; plain bytes in and out.
//!
//! What `torch.save` writes is a pickle beside raw storages. In the pickle a tensor is a call
//! (`torch._utils._rebuild_tensor_v2`) with sizes, strides and a reference to a storage; the calls are looked at as
//! data. Whatever is not in the vocabulary of tensors (arguments, schedulers, configurations) is an opaque value, which
//! matters only where a tensor would be made of it (see [`crate::pickle`]). Two containers hold pickle and storages:
//!
//! * since PyTorch 1.6 a zip archive, `NAME/data.pkl` and `NAME/data/KEY`, all stored without compression (`archive`);
//! * before it, one stream: a magic number, a version, the byte order, the pickle, the list of keys, the storages
//!   (`legacy`).
//!
//! Nothing is allocated on the word of a file alone: storages are pieces of the bytes at hand, a tensor has no more
//! elements than its storage, and all tensors together have a few times the bytes of the file at most.
//!
//! # The pieces
//!
//! * [`Checkpoint`]: a `.pth.tar`, its tensors, its other fields, and the search in it ([`SearchCheckpoint`]).
//! * `find`: which of its dictionaries holds the tensors that are [`Wanted`]; `prefix`: what wrappers put before their names;
//!   `convert`: from other dtypes to a network's ([`StateDict::fit`]).
//! * [`WeightsFile`]: the named tensors of either format, which can be checked against those of a network ([`StateDictMismatch`]); [`PlainTensor`], [`Dtype`]: what they are.
//! * [`write_pth`], [`to_safetensors`]: both formats again.
//! * `archive`, `legacy`: the containers; `storages`: what references lead to; `rebuild`: from calls to tensors;
//!   `fields`: numbers and texts beside the tensors; `archive_writer`, `writer`, `safetensors`: files.
//!
//! Of the formats' features this leaves out what no network of this method has: sparse, quantised and complex
//! tensors, big-endian files, and whole modules (which are code).

mod archive;
mod archive_writer;
mod convert;
mod dtype;
mod error;
mod fields;
mod find;
#[cfg(test)]
mod found_tests;
mod legacy;
mod mismatch;
mod prefix;
mod rebuild;
mod safetensors;
mod search;
mod state_dict;
mod storages;
mod tensor;
#[cfg(test)]
mod tests;
mod weights_file;
mod writer;

pub use archive::ArchiveError;
pub use convert::Conversions;
pub use dtype::safetensors_dtype;
pub use error::CheckpointError;
pub use fields::Field;
pub use find::Wanted;
pub use mismatch::{StateDictMismatch, TensorMismatch};
pub use search::{KeptChannels, SearchCheckpoint, SearchCheckpointError};
pub use state_dict::StateDict;
pub use tensor::PlainTensor;
pub use tfnas::Dtype;
pub use weights_file::{WeightsFile, WeightsFileError, WeightsFormat};
pub use writer::{PthError, write_pth};

pub use self::safetensors::{SafetensorsError, to_safetensors};

use crate::pickle::Pickle;
use storages::Storages;

/// A `.pth.tar`, parsed: its pickle, and the storages that it refers to.
#[derive(Debug)]
pub struct Checkpoint<'a> {
    format: WeightsFormat,
    pickle: Pickle,
    storages: Storages<'a>,
    /// Bytes of the file.
    length: usize,
}

impl<'a> Checkpoint<'a> {
    /// Parses what `torch.save` wrote, in either container.
    ///
    /// # Errors
    /// [`CheckpointError`] for bytes that are none, or are damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CheckpointError> {
        let (format, (pickle, storages)) = match WeightsFormat::of(bytes) {
            Some(format @ WeightsFormat::PthZip) => (format, archive::read(bytes)?),
            Some(format @ WeightsFormat::PthLegacy) => (format, legacy::read(bytes)?),
            Some(WeightsFormat::Safetensors) | None => return Err(CheckpointError::unknown(bytes)),
        };
        Ok(Self { format, pickle, storages, length: bytes.len() })
    }

    /// The container.
    pub fn format(&self) -> WeightsFormat {
        self.format
    }
}
