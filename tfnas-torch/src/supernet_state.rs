//! The supernet's weights at full width. Each epoch trains a part of them.
//!
//! Widths change from epoch to epoch, and channels that are unused now may be used again later with their old weights.
//! So each epoch slices every operation to its current channels, trains the slices, and scatters them back.

use tch::{Device, Kind, Tensor, no_grad};
use tfnas::channels::kept_channels;
use tfnas::{Block, Space, WidthError, Widths};
use tfnas_pytorch_files::checkpoint::KeptChannels;

use crate::initialize::initialize;
use crate::layers::MbConv;
use crate::named_tensors::{Module, NamedTensors};
use crate::supernet::Supernet;
use crate::weights::{WeightsError, load, load_unfinished};

/// The tensors of an operation that depend on its width, and their width dimension.
const WIDTH_AXIS: [(&str, i64); 6] = [
    ("inverted_bottleneck.conv.weight", 0),
    ("depth_conv.conv.weight", 0),
    ("squeeze_excite.conv_reduce.weight", 1),
    ("squeeze_excite.conv_expand.weight", 0),
    ("squeeze_excite.conv_expand.bias", 0),
    ("point_linear.conv.weight", 1),
];

/// Suffix of the names of the kept channels in a saved state.
const KEPT: &str = "kept_channels";

/// Full-width weights, architecture parameters, and the channels in use.
#[derive(Debug)]
pub struct SupernetState {
    space: Space,
    classes: usize,
    full: Supernet,
    kept: KeptChannels,
}

/// Why a saved state does not match a space.
#[derive(Debug, thiserror::Error)]
pub enum SupernetStateError {
    /// The weights do not match.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A list of channels is missing, is not ascending, or has a channel that the operation lacks.
    #[error("'{name}': {problem}")]
    Kept {
        /// Name of the list.
        name: String,
        /// What is wrong with the list.
        problem: String,
    },
    /// The number of kept channels is not a valid width of the operation.
    #[error(transparent)]
    Width(#[from] WidthError),
}

impl SupernetState {
    /// Creates the state before the first epoch: initial weights, equal probabilities, and of each operation the first
    /// channels up to its initial width.
    pub fn new(space: &Space, classes: usize, seed: u64, device: Device) -> Self {
        let full = Supernet::new(space, &Widths::max(space), classes, device);
        initialize(&full, seed);
        let first_channels = |&width: &usize| (0..width).collect();
        let widths = Widths::initial(space);
        let rows = widths.rows().iter();
        Self {
            space: space.clone(),
            classes,
            full,
            kept: rows.map(|row| row.iter().map(first_channels).collect()).collect(),
        }
    }

    /// The full-width supernet, for reading; its tensors are shared.
    pub fn full(&self) -> &Supernet {
        &self.full
    }

    /// The channels in use.
    pub fn kept(&self) -> &KeptChannels {
        &self.kept
    }

    /// The current widths: the number of kept channels of each operation.
    pub fn widths(&self) -> Widths {
        widths_of(&self.space, &self.kept).expect("kept channels are checked when they are set")
    }

    /// Returns a supernet of the current widths with a copy of the weights in use.
    pub fn slice(&self) -> Supernet {
        let sliced = Supernet::new(&self.space, &self.widths(), self.classes, self.full.device());
        self.for_each_pair(&sliced, |full, mut part, kept| {
            let source = match kept {
                Some((axis, channels)) => full.index_select(axis, channels),
                None => full,
            };
            part.copy_(&source);
        });
        sliced
    }

    /// Copies the tensors of a supernet made by [`slice`](SupernetState::slice) back; unused channels are not changed.
    pub fn scatter(&mut self, sliced: &Supernet) {
        self.for_each_pair(sliced, |mut full, part, kept| match kept {
            Some((axis, channels)) => {
                let _ = full.index_copy_(axis, channels, &part);
            }
            None => full.copy_(&part),
        });
    }

    /// Changes widths. An operation whose width changes keeps the channels with the largest L1 norm of its full-width
    /// depthwise kernel; the others keep their channels.
    pub fn set_widths(&mut self, widths: &Widths) {
        let kept = self.kept.iter_mut().flatten();
        let widths = widths.rows().iter().flatten();
        for (operation, (kept, &width)) in self.full.operations().zip(kept.zip(widths)) {
            if kept.len() != width {
                *kept = largest_channels(operation, width);
            }
        }
    }

    /// Replaces the channels in use.
    ///
    /// # Errors
    /// Returns a [`SupernetStateError`] if a list is not ascending or its length is not a valid width; nothing is changed
    /// then.
    pub fn set_kept(&mut self, kept: KeptChannels) -> Result<(), SupernetStateError> {
        widths_of(&self.space, &kept)?;
        for (block, row) in self.space.blocks().iter().zip(&kept) {
            for (operation, channels) in row.iter().enumerate() {
                let max = block.max_width(&self.space.operations()[operation]);
                check_channels(channels, max)
                    .map_err(|problem| SupernetStateError::Kept { name: list_name(block, operation), problem })?;
            }
        }
        self.kept = kept;
        Ok(())
    }

    /// Returns the tensors to save: those of the supernet under the names of the authors' search checkpoints, and
    /// `kept_channels` (i64) of each operation. Shared, not copied.
    pub fn state(&self) -> NamedTensors {
        let mut state = self.full.state();
        insert_kept(&mut state, &self.space, &self.kept);
        state
    }

    /// Restores the [`state`](SupernetState::state) of an unfinished search, whose values may be infinite or NaN because it
    /// diverges.
    ///
    /// # Errors
    /// Returns a [`SupernetStateError`] for a state of another space or number of classes.
    pub fn restore(
        space: &Space,
        classes: usize,
        saved: &NamedTensors,
        device: Device,
    ) -> Result<Self, SupernetStateError> {
        Self::load_with(load_unfinished, space, classes, saved, device)
    }

    /// Loads the [`state`](SupernetState::state) of a finished search.
    ///
    /// # Errors
    /// Returns a [`SupernetStateError`] for a state of another space or number of classes, or with values that are infinite
    /// or NaN.
    pub fn load(
        space: &Space,
        classes: usize,
        saved: &NamedTensors,
        device: Device,
    ) -> Result<Self, SupernetStateError> {
        Self::load_with(load, space, classes, saved, device)
    }

    fn load_with(
        load: impl FnOnce(&Supernet, &NamedTensors) -> Result<(), WeightsError>,
        space: &Space,
        classes: usize,
        saved: &NamedTensors,
        device: Device,
    ) -> Result<Self, SupernetStateError> {
        let mut tensors = NamedTensors::new();
        let mut lists = NamedTensors::new();
        for (name, tensor) in saved.iter() {
            let is_list = name.ends_with(KEPT);
            let into = if is_list { &mut lists } else { &mut tensors };
            into.insert(name.to_owned(), tensor.shallow_clone());
        }
        let full = Supernet::new(space, &Widths::max(space), classes, device);
        load(&full, &tensors)?;
        let mut state = Self { space: space.clone(), classes, full, kept: Vec::new() };
        state.set_kept(read_kept(space, &lists)?)?;
        Ok(state)
    }

    /// Calls `transfer(full, part, kept)` for each tensor of the full-width supernet and its counterpart in a sliced
    /// one. `kept` is set if the tensor depends on a width: the dimension and the kept channels, `[E]` i64.
    fn for_each_pair(&self, sliced: &Supernet, mut transfer: impl FnMut(Tensor, Tensor, Kept<'_>)) {
        let device = self.full.device();
        no_grad(|| {
            for (_, full, part) in pairs(&self.full.stem, &sliced.stem) {
                transfer(full, part, None);
            }
            for (full, part) in self.full.architecture().into_iter().zip(sliced.architecture()) {
                transfer(full.shallow_clone(), part.shallow_clone(), None);
            }
            let kept = self.kept.iter().flatten();
            for ((full, part), channels) in self.full.operations().zip(sliced.operations()).zip(kept) {
                let channels = index_tensor(channels).to_device(device);
                for (name, full, part) in pairs(full, part) {
                    let axis = WIDTH_AXIS.iter().find(|(width_name, _)| *width_name == name);
                    transfer(full, part, axis.map(|&(_, axis)| (axis, &channels)));
                }
            }
            for (_, full, part) in pairs(&self.full.head, &sliced.head) {
                transfer(full, part, None);
            }
        });
    }
}

/// The width dimension, and the kept channels.
type Kept<'a> = Option<(i64, &'a Tensor)>;

/// The tensors of two modules of the same structure in pairs, with their names.
fn pairs(full: &impl Module, part: &impl Module) -> Vec<(String, Tensor, Tensor)> {
    let parts = part.state().to_vec().into_iter();
    full.state().iter().zip(parts).map(|((name, full), part)| (name.to_owned(), full.shallow_clone(), part)).collect()
}

/// Returns the channels with the largest L1 norm of an operation's depthwise kernel at full width, ascending.
fn largest_channels(operation: &MbConv, width: usize) -> Vec<usize> {
    let kernel = operation.depthwise.conv.weight.detach();
    let mut values = vec![0f32; kernel.numel()];
    kernel.copy_data(&mut values, kernel.numel());
    kept_channels(&values, kernel.size()[0] as usize, width)
}

fn widths_of(space: &Space, kept: &KeptChannels) -> Result<Widths, WidthError> {
    let row = |row: &Vec<Vec<usize>>| row.iter().map(Vec::len).collect();
    Widths::new(space, kept.iter().map(row).collect())
}

/// Checks that channels are ascending and below `max`.
fn check_channels(channels: &[usize], max: usize) -> Result<(), String> {
    if !channels.is_sorted_by(|a, b| a < b) {
        return Err("the channels do not ascend".to_owned());
    }
    match channels.last() {
        Some(&last) if last >= max => Err(format!("channel {last} is out of range: there are {max} channels")),
        _ => Ok(()),
    }
}

/// Adds the lists of kept channels to the tensors of a supernet.
pub(crate) fn insert_kept(state: &mut NamedTensors, space: &Space, kept: &KeptChannels) {
    for (block, row) in space.blocks().iter().zip(kept) {
        for (operation, channels) in row.iter().enumerate() {
            state.insert(list_name(block, operation), index_tensor(channels));
        }
    }
}

fn list_name(block: &Block, operation: usize) -> String {
    format!("{}.m_ops.{operation}.{KEPT}", block.name())
}

fn index_tensor(channels: &[usize]) -> Tensor {
    let channels: Vec<i64> = channels.iter().map(|&channel| channel as i64).collect();
    Tensor::from_slice(&channels)
}

/// Reads the saved lists of channels. Returns an error unless they match the space.
fn read_kept(space: &Space, lists: &NamedTensors) -> Result<KeptChannels, SupernetStateError> {
    let read = |name: String| {
        let problem = |problem: &str| SupernetStateError::Kept { name: name.clone(), problem: problem.to_owned() };
        let list = lists.get(&name).ok_or_else(|| problem("missing"))?;
        if list.kind() != Kind::Int64 || list.dim() != 1 {
            return Err(problem("not a list of i64"));
        }
        let mut channels = vec![0i64; list.numel()];
        list.copy_data(&mut channels, list.numel());
        let channel = |channel| usize::try_from(channel).map_err(|_| problem("a negative channel"));
        channels.into_iter().map(channel).collect()
    };
    let operations = space.operations().len();
    let row = |block: &Block| (0..operations).map(|k| read(list_name(block, k))).collect();
    let kept: KeptChannels = space.blocks().iter().map(row).collect::<Result<_, _>>()?;
    if lists.len() != space.blocks().len() * operations {
        return Err(SupernetStateError::Kept {
            name: KEPT.to_owned(),
            problem: format!("{} lists, but the space has {}", lists.len(), kept.len() * operations),
        });
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> SupernetState {
        SupernetState::new(&Space::small(), 4, 1, Device::Cpu)
    }

    fn differing(a: &NamedTensors, b: &NamedTensors) -> Vec<String> {
        let pairs = a.iter().zip(b.iter());
        let unequal = pairs.filter(|((_, a), (_, b))| !a.equal(b));
        unequal.map(|((name, _), _)| name.to_owned()).collect()
    }

    #[test]
    fn the_initial_state_keeps_the_first_channels() {
        let state = state();
        assert_eq!(state.widths(), Widths::initial(&Space::small()));
        assert_eq!(state.kept()[0][0], (0..24).collect::<Vec<_>>());
    }

    #[test]
    fn scattering_an_unchanged_slice_changes_nothing() {
        let mut state = state();
        let before = SupernetState::new(&Space::small(), 4, 1, Device::Cpu);
        let sliced = state.slice();
        state.scatter(&sliced);
        assert_eq!(differing(&before.state(), &state.state()), Vec::<String>::new());
    }

    #[test]
    fn unused_channels_keep_their_weights() {
        let mut state = state();
        let sliced = state.slice();
        no_grad(|| {
            for tensor in sliced.state().to_vec() {
                let _ = tensor.shallow_clone().fill_(7);
            }
        });
        state.scatter(&sliced);
        let depthwise = &state.full().groups[0].blocks[0].operations[0].depthwise.conv.weight;
        let is_seven = |channel| depthwise.get(channel).eq(7.0).all().int64_value(&[]) == 1;
        assert!((0..24).all(is_seven));
        assert!(!(24..32).any(is_seven));
    }

    #[test]
    fn changing_a_width_keeps_the_channels_with_the_largest_norm() {
        let mut state = state();
        let space = Space::small();
        let mut widths = state.widths();
        widths.set(&space, 0, 0, 20).expect("20 of 32 is allowed");
        let before = state.kept().clone();
        state.set_widths(&widths);
        assert_eq!(state.widths(), widths);
        assert_eq!(state.kept()[0][0].len(), 20);
        assert_eq!(state.kept()[0][1..], before[0][1..]);
        assert_eq!(state.kept()[1..], before[1..]);
        assert_eq!(state.slice().groups[0].blocks[0].operations[0].depthwise.conv.weight.size()[0], 20);
    }

    #[test]
    fn a_saved_state_is_restored() {
        let mut state = state();
        let mut widths = state.widths();
        widths.set(&Space::small(), 2, 3, 70).expect("70 of 128 is allowed");
        state.set_widths(&widths);
        let back = SupernetState::restore(&Space::small(), 4, &state.state(), Device::Cpu);
        let back = back.expect("the saved state is valid");
        assert_eq!(differing(&state.state(), &back.state()), Vec::<String>::new());
        assert_eq!(back.kept(), state.kept());
    }

    #[test]
    fn state_of_a_diverging_search_is_restored_but_not_loaded() {
        let mut saved = state().state();
        let name = "classifier.linear.bias";
        let not_a_number = saved.get(name).expect("the classifier has a bias").full_like(f64::NAN);
        saved.insert(name.to_owned(), not_a_number);
        assert!(SupernetState::restore(&Space::small(), 4, &saved, Device::Cpu).is_ok());
        let refused = SupernetState::load(&Space::small(), 4, &saved, Device::Cpu).map(|_| ());
        assert!(refused.is_err_and(|error| error.to_string().contains("NaN")));
    }

    #[test]
    fn invalid_kept_channels_are_rejected_with_their_name() {
        let name = "stage1.block1.m_ops.0.kept_channels";
        for list in [vec![-1i64], vec![3, 3], vec![5, 99], (0..3).collect()] {
            let mut saved = state().state();
            let mut channels: Vec<i64> = (0..24).collect();
            channels.splice(0..list.len(), list.clone());
            if list.len() == 3 {
                channels.truncate(3);
            }
            saved.insert(name.to_owned(), Tensor::from_slice(&channels));
            let refused = SupernetState::restore(&Space::small(), 4, &saved, Device::Cpu);
            let text = refused.map(|_| ()).map_err(|error| error.to_string());
            assert!(text.is_err_and(|text| text.contains("stage1.block1")), "{list:?}");
        }
        let lists = NamedTensors::new();
        let missing = read_kept(&Space::small(), &lists).map_err(|error| error.to_string());
        assert!(missing.is_err_and(|text| text.contains("missing")));
    }
}
