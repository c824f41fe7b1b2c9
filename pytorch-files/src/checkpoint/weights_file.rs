//! Weights in either file format.

use std::fmt;

use super::error::CheckpointError;
use super::find::Wanted;
use super::safetensors::SafetensorsError;
use super::state_dict::StateDict;
use super::{Checkpoint, archive, legacy, safetensors};

/// The format of a file with weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsFormat {
    /// `torch.save` since PyTorch 1.6: a zip archive.
    PthZip,
    /// `torch.save` before it: pickles and storages one after another.
    PthLegacy,
    /// safetensors.
    Safetensors,
}

impl WeightsFormat {
    /// Returns the format of a file by its first bytes, or `None` for another file.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(archive::MAGIC) {
            Some(Self::PthZip)
        } else if legacy::is_format_of(bytes) {
            Some(Self::PthLegacy)
        } else {
            safetensors::is_format_of(bytes).then_some(Self::Safetensors)
        }
    }
}

impl fmt::Display for WeightsFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PthZip => "pth.tar (zip archive)",
            Self::PthLegacy => "pth.tar (before PyTorch 1.6)",
            Self::Safetensors => "safetensors",
        })
    }
}

/// The reason why bytes are not a file of weights.
#[derive(Debug, thiserror::Error)]
pub enum WeightsFileError {
    /// Neither format.
    #[error("this is neither a safetensors file nor a checkpoint of torch.save: {0}")]
    Unknown(&'static str),
    /// A `.pth.tar`.
    #[error(transparent)]
    Checkpoint(CheckpointError),
    /// A safetensors file.
    #[error(transparent)]
    Safetensors(#[from] SafetensorsError),
}

impl From<CheckpointError> for WeightsFileError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Unknown(why) => Self::Unknown(why),
            error => Self::Checkpoint(error),
        }
    }
}

/// The named tensors of a `.pth.tar` or a safetensors file.
#[derive(Clone, Debug)]
pub struct WeightsFile<'a> {
    /// The format.
    pub format: WeightsFormat,
    /// The tensors.
    pub state_dict: StateDict<'a>,
}

impl<'a> WeightsFile<'a> {
    /// Reads a file in either format, detected by its first bytes. If the tensors are in several places, it returns the
    /// largest group.
    ///
    /// # Errors
    /// Returns [`WeightsFileError`] if the bytes are not a file of weights.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WeightsFileError> {
        Self::find(bytes, &Wanted::default())
    }

    /// Reads the wanted tensors of a file in either format. Their dtypes are unchanged ([`StateDict::fit`] converts
    /// them).
    ///
    /// # Errors
    /// Returns [`WeightsFileError`] if the bytes are not a file of weights, or do not contain the wanted tensors.
    pub fn find(bytes: &'a [u8], wanted: &Wanted<'_>) -> Result<Self, WeightsFileError> {
        match WeightsFormat::of(bytes) {
            Some(format @ WeightsFormat::Safetensors) => {
                Ok(Self { format, state_dict: safetensors::read(bytes, wanted)? })
            }
            _ => {
                let checkpoint = Checkpoint::parse(bytes)?;
                Ok(Self { format: checkpoint.format(), state_dict: checkpoint.find(wanted)? })
            }
        }
    }
}
