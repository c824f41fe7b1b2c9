//! Where a search may start from: what an earlier one left, this project's or the original's.

use std::path::Path;

use tch::Device;
use tfnas::Space;
use tfnas::checkpoint::{Checkpoint, SearchCheckpointError, WeightsFormat};

use crate::full_state::{FullState, FullStateError, insert_kept};
use crate::named_tensors::NamedTensors;
use crate::weights::{WeightsError, from_bytes, read_file_bytes};

/// Why a file is no state of a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchFileError {
    /// The file, or its tensors.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The search in a checkpoint of the original.
    #[error(transparent)]
    Search(#[from] SearchCheckpointError),
    /// The state as a whole.
    #[error(transparent)]
    State(#[from] FullStateError),
}

/// Reads the full-width state of a search: `search.safetensors`, or the original's `searched_model_NN.pth.tar`.
///
/// # Errors
/// [`SearchFileError`] for a file that is none, or is one of another space or number of classes.
pub fn read_search(path: &Path, space: &Space, classes: usize, device: Device) -> Result<FullState, SearchFileError> {
    let bytes = read_file_bytes(path)?;
    let state = match WeightsFormat::of(&bytes) {
        Some(WeightsFormat::PthZip | WeightsFormat::PthLegacy) => with_masks(&bytes, space)?,
        Some(WeightsFormat::Safetensors) | None => from_bytes(&bytes)?,
    };
    Ok(FullState::restore(space, classes, &state, device)?)
}

/// The tensors of a checkpoint of the original, and as lists of channels the masks beside them.
fn with_masks(bytes: &[u8], space: &Space) -> Result<NamedTensors, SearchFileError> {
    let checkpoint = Checkpoint::parse(bytes).map_err(SearchCheckpointError::from)?;
    let search = checkpoint.search(space)?;
    let mut state = from_bytes(bytes)?;
    insert_kept(&mut state, space, &search.kept);
    Ok(state)
}
