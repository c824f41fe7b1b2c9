//! Reads the file that a search starts from: the result of an earlier search, or a checkpoint of the authors' code.

use std::path::Path;

use tch::Device;
use tfnas::{Space, Widths};
use tfnas_pytorch_files::checkpoint::{Checkpoint, SearchCheckpointError, Wanted, WeightsFile, WeightsFormat};

use crate::supernet::Supernet;
use crate::supernet_state::{SupernetState, SupernetStateError, insert_kept};
use crate::weights::{WeightsError, notes, read_file_bytes, shapes_of, tensors_of};

/// Why a search state cannot be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum SearchFileError {
    /// The file or its tensors are invalid.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The search in a checkpoint of the authors' code is invalid.
    #[error(transparent)]
    Search(#[from] SearchCheckpointError),
    /// The tensors do not form a valid state.
    #[error(transparent)]
    State(#[from] SupernetStateError),
}

/// A file to start a search from.
#[derive(Clone, Copy, Debug)]
pub struct SearchFile<'f> {
    /// `search.safetensors`, or `searched_model_NN.pth.tar` of the authors' code.
    pub path: &'f Path,
    /// Key of the tensors in the file. By default the tensors that match the space are used.
    pub key: Option<&'f str>,
}

impl SearchFile<'_> {
    /// Reads the full-width state of a search. Also returns notes on how the file was read.
    ///
    /// # Errors
    /// Returns a [`SearchFileError`] if the file is not a search state, or is one of another space or number of
    /// classes.
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
        // Mismatches are reported when the state is restored, together with the lists of channels.
        let conversions = file.state_dict.convert(&network);
        let notes = notes(&file.state_dict, &conversions);
        let mut tensors = tensors_of(file.state_dict)?;
        if file.format != WeightsFormat::Safetensors {
            let checkpoint = Checkpoint::parse(&bytes).map_err(SearchCheckpointError::from)?;
            let search = checkpoint.search_under(space, self.key)?;
            insert_kept(&mut tensors, space, &search.kept);
        }
        Ok((SupernetState::load(space, classes, &tensors, device)?, notes))
    }
}
