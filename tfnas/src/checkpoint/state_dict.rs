use std::collections::HashSet;

use super::Checkpoint;
use super::error::{CheckpointError, printed, printed_names};
use super::rebuild::tensor;
use super::tensor::PlainTensor;
use crate::pickle::{Value, ValueId};

/// The entry that holds the tensors.
pub(super) const STATE_DICT: &str = "state_dict";
/// What `DataParallel` puts before every name.
const MODULE: &str = "module.";
/// Bytes of all tensors, for each byte of the file: tensors may share a storage.
const SHARING: usize = 4;

/// The named tensors of a file, in its order.
#[derive(Clone, Debug)]
pub struct StateDict<'a> {
    /// Names, without `module.`, and tensors; no name comes twice.
    pub tensors: Vec<(String, PlainTensor<'a>)>,
    /// Whether every name began with `module.` in the file.
    pub module_prefix: bool,
}

impl<'a> StateDict<'a> {
    /// Takes `module.` off the names where every one begins with it, as `DataParallel` writes them; none for a name that
    /// comes twice, which is returned.
    pub(super) fn new(mut tensors: Vec<(String, PlainTensor<'a>)>) -> Result<Self, String> {
        let module_prefix = !tensors.is_empty() && tensors.iter().all(|(name, _)| name.starts_with(MODULE));
        if module_prefix {
            for (name, _) in &mut tensors {
                name.drain(..MODULE.len());
            }
        }
        let mut names = HashSet::new();
        match tensors.iter().find(|(name, _)| !names.insert(name.as_str())).map(|(name, _)| name.clone()) {
            Some(repeated) => Err(repeated),
            None => Ok(Self { tensors, module_prefix }),
        }
    }
}

impl<'a> Checkpoint<'a> {
    /// The tensors of the checkpoint: its `state_dict`, or all of it where it is one.
    ///
    /// # Errors
    /// [`CheckpointError`] for a checkpoint without tensors, or with one that cannot be.
    pub fn state_dict(&self) -> Result<StateDict<'a>, CheckpointError> {
        let mut tensors = Vec::new();
        let mut bytes = 0usize;
        for (name, id) in self.state_dict_entries()? {
            let tensor = tensor(&self.pickle, &self.storages, id, name)?;
            bytes = bytes.saturating_add(tensor.byte_count());
            if bytes > self.length.saturating_mul(SHARING) {
                return Err(CheckpointError::Repeating { bytes, file: self.length });
            }
            tensors.push((name.to_owned(), tensor));
        }
        StateDict::new(tensors).map_err(|name| CheckpointError::RepeatedName { name: printed(&name) })
    }

    /// Names and values of the state dict.
    fn state_dict_entries(&self) -> Result<Vec<(&str, ValueId)>, CheckpointError> {
        let pickle = &self.pickle;
        let entries = match self.entry(STATE_DICT) {
            Some(entry) => pickle.mapping(entry),
            None => self.bare_state_dict(),
        };
        let entries = entries.ok_or_else(|| CheckpointError::NoStateDict { found: self.contents() })?;
        let named = |(name, value)| {
            let text = pickle.text(name);
            text.map(|text| (text, value)).ok_or_else(|| CheckpointError::Name { found: pickle.kind(name) })
        };
        entries.into_iter().map(named).collect()
    }

    /// The pairs of the whole checkpoint, if they look like tensors by name.
    fn bare_state_dict(&self) -> Option<Vec<(ValueId, ValueId)>> {
        let pairs = self.pickle.mapping(self.pickle.root())?;
        let tensors = pairs.iter().all(|(_, value)| matches!(self.pickle.value(*value), Value::Call(_)));
        (tensors && !pairs.is_empty()).then_some(pairs)
    }

    /// The value of an entry at the top; of several of one name the last, as in Python.
    pub(super) fn entry(&self, wanted: &str) -> Option<ValueId> {
        let pairs = self.pickle.mapping(self.pickle.root())?;
        let named = pairs.into_iter().rev().find(|(name, _)| self.pickle.text(*name) == Some(wanted));
        named.map(|(_, value)| value)
    }

    /// What the checkpoint holds, in words.
    fn contents(&self) -> String {
        let pickle = &self.pickle;
        let pairs = pickle.mapping(pickle.root()).unwrap_or_default();
        let names: Vec<&str> = pairs.iter().filter_map(|(name, _)| pickle.text(*name)).collect();
        match names.as_slice() {
            [] => pickle.kind(pickle.root()).to_owned(),
            names => printed_names(names.iter().copied()),
        }
    }
}
