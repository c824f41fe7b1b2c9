//! A search of the original: `searched_model_NN.pth.tar`, a `state_dict` at full width and the masks of the channels in
//! use, `mc_mask_dddict`.

use tfnas::Dtype;
use tfnas::architecture::Architecture;
use tfnas::parse::{ParseError, parse};
use tfnas::space::{Block, Space};
use tfnas::state_shapes::TensorShape;
use tfnas::widths::{WidthError, Widths};

use super::Checkpoint;
use super::error::{CheckpointError, printed};
use super::find::Wanted;
use super::rebuild::tensor;
use super::state_dict::StateDict;
use super::tensor::PlainTensor;
use crate::pickle::ValueId;

/// The entry with the masks.
const MASKS: &str = "mc_mask_dddict";

/// The channels that each operation keeps, `[block][operation]`, ascending.
pub type KeptChannels = Vec<Vec<Vec<usize>>>;

/// The state of a search, from a checkpoint of the original.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchCheckpoint {
    /// Log-probabilities of the operations, `[block][K]`.
    pub log_alphas: Vec<Vec<f32>>,
    /// Weights of the depths before the softmax, `[group][block]`.
    pub betas: Vec<Vec<f32>>,
    /// The channels in use.
    pub kept: KeptChannels,
    /// The number of kept channels.
    pub widths: Widths,
}

/// The reason why a checkpoint is not a search of a space.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SearchCheckpointError {
    /// The checkpoint itself.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint has weights but no masks.
    #[error(
        "the checkpoint has no '{MASKS}': it is not a search checkpoint (their names are searched_model_NN.pth.tar)"
    )]
    NoMasks,
    /// Another group, block or operation than the space has, or one less.
    #[error("'{MASKS}' {problem}: the checkpoint belongs to another space")]
    SpaceMismatch {
        /// The problem.
        problem: String,
    },
    /// A mask does not match its operation.
    #[error("the mask of {place}: {problem}")]
    Mask {
        /// Which one, as `stage1.block2, operation 3`.
        place: String,
        /// The problem.
        problem: String,
    },
    /// Architecture parameters that are missing, or no vector of f32.
    #[error("'{name}': {problem}")]
    Parameters {
        /// Their name.
        name: String,
        /// The problem.
        problem: String,
    },
    /// A number of channels is not an allowed width of its operation.
    #[error(transparent)]
    Width(#[from] WidthError),
}

impl SearchCheckpoint {
    /// Returns the architecture that the search currently prefers.
    ///
    /// # Errors
    /// Returns [`ParseError`] for parameters of another space, and for parameters that are not finite.
    pub fn architecture(&self, space: &Space) -> Result<Architecture, ParseError> {
        parse(space, &self.log_alphas, &self.betas, &self.widths)
    }
}

impl<'a> Checkpoint<'a> {
    /// Returns the search in the checkpoint.
    ///
    /// # Errors
    /// Returns [`SearchCheckpointError`] if the checkpoint has no search, or a search of another space.
    pub fn search(&self, space: &Space) -> Result<SearchCheckpoint, SearchCheckpointError> {
        self.search_under(space, None)
    }

    /// Returns the search in the checkpoint, with its tensors under a key, or those that fit the space best.
    ///
    /// # Errors
    /// Returns [`SearchCheckpointError`] if the checkpoint has no search, or a search of another space.
    pub fn search_under(&self, space: &Space, key: Option<&str>) -> Result<SearchCheckpoint, SearchCheckpointError> {
        let kept = self.kept(space)?;
        let widths = kept.iter().map(|row| row.iter().map(Vec::len).collect());
        let widths = Widths::new(space, widths.collect())?;
        let state = self.find(&Wanted { key, network: Some(&parameters(space)) })?;
        let log_alphas = space.blocks().iter().map(|block| vector(&state, format!("{}.log_alphas", block.name())));
        let betas = (1..=space.groups().len()).map(|group| vector(&state, format!("stage{group}.betas")));
        Ok(SearchCheckpoint {
            log_alphas: log_alphas.collect::<Result<_, _>>()?,
            betas: betas.collect::<Result<_, _>>()?,
            kept,
            widths,
        })
    }

    /// The channels that the masks keep: a dictionary by `stage1`, of dictionaries by `block2`, of dictionaries by
    /// operation, of masks.
    fn kept(&self, space: &Space) -> Result<KeptChannels, SearchCheckpointError> {
        let masks = self.entry_anywhere(MASKS).ok_or(SearchCheckpointError::NoMasks)?;
        let groups = self.exactly(masks, space.groups().len(), "", "stage")?;
        let mut kept = Vec::with_capacity(space.blocks().len());
        for (group, blocks) in groups.into_iter().enumerate() {
            let place = format!("stage{}: ", group + 1);
            let blocks = self.exactly(blocks, space.blocks_of(group).len(), &place, "block")?;
            for (block, operations) in space.blocks_of(group).iter().zip(blocks) {
                let place = format!("{}: ", block.name());
                let operations = self.exactly(operations, space.operations().len(), &place, "")?;
                let masks = operations.into_iter().enumerate();
                let masks = masks.map(|(operation, mask)| self.kept_of(space, block, operation, mask));
                kept.push(masks.collect::<Result<_, _>>()?);
            }
        }
        Ok(kept)
    }

    /// Returns the values of a dictionary with the keys `word1`, `word2`, … up to `count`, or 0, 1, … without a word.
    fn exactly(
        &self,
        dictionary: ValueId,
        count: usize,
        place: &str,
        word: &str,
    ) -> Result<Vec<ValueId>, SearchCheckpointError> {
        let other = |problem: String| SearchCheckpointError::SpaceMismatch { problem: format!("{place}{problem}") };
        let pickle = &self.pickle;
        let pairs = pickle.mapping(dictionary);
        let pairs = pairs.ok_or_else(|| other(format!("is {}, not a dictionary", pickle.kind(dictionary))))?;
        let what = if word.is_empty() { "operation" } else { word };
        if pairs.len() != count {
            return Err(other(format!("has {} entries by {what}, but the space has {count}", pairs.len())));
        }
        let is_key = |key, index: usize| match word {
            "" => pickle.int(key) == Some(index as i64),
            word => pickle.text(key) == Some(&format!("{word}{}", index + 1)),
        };
        let value = |index| {
            let found = pairs.iter().find(|(key, _)| is_key(*key, index));
            found.map(|(_, value)| *value).ok_or_else(|| other(format!("lacks {what} {}", index + 1)))
        };
        (0..count).map(value).collect()
    }

    fn kept_of(
        &self,
        space: &Space,
        block: &Block,
        operation: usize,
        mask: ValueId,
    ) -> Result<Vec<usize>, SearchCheckpointError> {
        let place = format!("{}, operation {operation}", block.name());
        let mask = tensor(&self.pickle, &self.storages, mask, &place)?;
        let channels = block.max_width(&space.operations()[operation]);
        kept_channels(&mask, channels).map_err(|problem| SearchCheckpointError::Mask { place, problem })
    }
}

/// The architecture parameters of a search of the space.
fn parameters(space: &Space) -> Vec<TensorShape> {
    let vector = |name: String, length: usize| TensorShape { name, shape: vec![length], dtype: Dtype::F32 };
    let operations = space.operations().len();
    let log_alphas = space.blocks().iter().map(|block| vector(format!("{}.log_alphas", block.name()), operations));
    let groups = 0..space.groups().len();
    let betas = groups.map(|group| vector(format!("stage{}.betas", group + 1), space.blocks_of(group).len()));
    log_alphas.chain(betas).collect()
}

/// Returns the channels whose mask is 1. All other values must be 0.
fn kept_channels(mask: &PlainTensor<'_>, channels: usize) -> Result<Vec<usize>, String> {
    if *mask.shape() != [channels] {
        return Err(format!("shape {:?}, but the operation has {channels} channels", mask.shape()));
    }
    let values = mask.to_f32().ok_or_else(|| format!("dtype {}, expected floats", mask.dtype()))?;
    if let Some(value) = values.iter().find(|value| **value != 0.0 && **value != 1.0) {
        return Err(format!("it has {value}, but a mask has only 0 and 1"));
    }
    Ok((0..channels).filter(|channel| values[*channel] == 1.0).collect())
}

fn vector(state: &StateDict<'_>, name: String) -> Result<Vec<f32>, SearchCheckpointError> {
    let found = state.tensors.iter().find(|(found, _)| *found == name);
    let values = match found {
        None => Err("missing".to_owned()),
        Some((_, tensor)) if tensor.shape().len() != 1 => Err(format!("shape {:?}, expected one size", tensor.shape())),
        Some((_, tensor)) => tensor.to_f32().ok_or_else(|| format!("dtype {}, expected floats", tensor.dtype())),
    };
    values.map_err(|problem| SearchCheckpointError::Parameters { name: printed(&name), problem })
}
