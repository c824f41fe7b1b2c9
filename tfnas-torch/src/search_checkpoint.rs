//! Where a search may start from: what an earlier one left, this project's or the original's.

use std::path::Path;

use tch::Device;
use tfnas::{Space, Widths};
use tfnas_pytorch_files::checkpoint::{Checkpoint, SearchCheckpointError, Wanted, WeightsFile, WeightsFormat};

use crate::supernet::Supernet;
use crate::supernet_state::{FullStateError, SupernetState, insert_kept};
use crate::weights::{WeightsError, notes, read_file_bytes, shapes_of, tensors_of};

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

/// A file that a search may start from.
#[derive(Clone, Copy, Debug)]
pub struct SearchFile<'f> {
    /// The file: `search.safetensors`, or the original's `searched_model_NN.pth.tar`.
    pub path: &'f Path,
    /// Where its tensors stand; without it they are found by what the space has.
    pub key: Option<&'f str>,
}

impl SearchFile<'_> {
    /// Reads the full-width state of a search, and what there is to say about how it was read.
    ///
    /// # Errors
    /// [`SearchFileError`] for a file that is none, or is one of another space or number of classes.
    pub fn read(
        &self,
        space: &Space,
        classes: usize,
        device: Device,
    ) -> Result<(SupernetState, Vec<String>), SearchFileError> {
        let bytes = read_file_bytes(self.path)?;
        let network = shapes_of(&Supernet::new(space, &Widths::max(space), classes, Device::Cpu));
        let wanted = Wanted { key: self.key, network: Some(&network) };
        let mut file = WeightsFile::find(&bytes, &wanted).map_err(WeightsError::from)?;
        // What does not fit is named when the state is restored, with the lists of channels.
        let conversions = file.state_dict.convert(&network);
        let notes = notes(&file.state_dict, &conversions);
        let mut tensors = tensors_of(file.state_dict)?;
        if file.format != WeightsFormat::Safetensors {
            let checkpoint = Checkpoint::parse(&bytes).map_err(SearchCheckpointError::from)?;
            let search = checkpoint.search_under(space, self.key)?;
            insert_kept(&mut tensors, space, &search.kept);
        }
        Ok((SupernetState::restore(space, classes, &tensors, device)?, notes))
    }
}
