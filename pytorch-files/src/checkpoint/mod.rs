//! Files of weights: PyTorch's `.pth.tar`, read without executing the pickle, and safetensors. Input and output are
//! bytes.
//!
//! `torch.save` writes a pickle and raw storages. In the pickle a tensor is a call (`torch._utils._rebuild_tensor_v2`)
//! with sizes, strides and a reference to a storage. The calls are interpreted as data. Everything outside the
//! vocabulary of tensors (arguments, schedulers, configurations) is an opaque value, which is an error only if a tensor
//! depends on it (see [`crate::pickle`]). There are two containers for the pickle and the storages:
//!
//! * since PyTorch 1.6 a zip archive with `NAME/data.pkl` and `NAME/data/KEY`, all stored without compression
//!   (`archive`);
//! * before that, one stream: a magic number, a version, the byte order, the pickle, the list of keys, the storages
//!   (`legacy`).
//!
//! Sizes in a file never determine allocations alone: storages are slices of the input, a tensor has at most as many
//! elements as its storage, and all tensors together have at most a few times the bytes of the file.
//!
//! # Modules
//!
//! * [`Checkpoint`]: a `.pth.tar`, its tensors, its other fields, and the search in it ([`SearchCheckpoint`]).
//! * `find`: chooses the dictionary with the [`Wanted`] tensors; `prefix`: removes the prefixes of wrappers; `convert`:
//!   converts to the dtypes of a network ([`StateDict::fit`]).
//! * [`WeightsFile`]: the named tensors of either format, which can be compared with those of a network
//!   ([`StateDictMismatch`]); [`PlainTensor`], [`Dtype`]: a tensor and its type.
//! * [`write_pth`], [`to_safetensors`]: write both formats.
//! * `archive`, `legacy`: the containers; `storages`: resolves references; `rebuild`: converts calls to tensors;
//!   `fields`: numbers and strings other than the tensors; `archive_writer`, `writer`, `safetensors`: files.
//!
//! Features that networks of this method do not use are not supported: sparse, quantized and complex tensors,
//! big-endian files, and complete modules (which are code).

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
    /// Parses a file of `torch.save`, in either container.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the bytes are damaged or not a checkpoint.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CheckpointError> {
        let (format, (pickle, storages)) = match WeightsFormat::of(bytes) {
            Some(format @ WeightsFormat::PthZip) => (format, archive::read(bytes)?),
            Some(format @ WeightsFormat::PthLegacy) => (format, legacy::read(bytes)?),
            Some(WeightsFormat::Safetensors) => return Err(CheckpointError::Unknown("it is a safetensors file")),
            None => return Err(CheckpointError::unknown(bytes)),
        };
        Ok(Self { format, pickle, storages, length: bytes.len() })
    }

    /// The container.
    pub fn format(&self) -> WeightsFormat {
        self.format
    }
}
