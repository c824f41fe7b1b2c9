//! Named tensors of a checkpoint.

use std::collections::HashSet;

use super::Checkpoint;
use super::error::{CheckpointError, printed};
use super::find::Wanted;
use super::prefix;
use super::rebuild::tensor;
use super::tensor::PlainTensor;
use crate::pickle::{Pickle, Value, ValueId};

/// The entry that the original's checkpoints have their tensors in.
pub(super) const STATE_DICT: &str = "state_dict";
/// The longest name of a tensor, in bytes: several times that of any.
const LONGEST_NAME: usize = 1000;
/// Maximum ratio of the bytes of all tensors to those of the file. Tensors may share a storage.
const SHARING: usize = 4;

/// The named tensors of a file, in its order.
#[derive(Clone, Debug)]
pub struct StateDict<'a> {
    /// Names without the prefixes of wrappers, and tensors. Names are unique.
    pub tensors: Vec<(String, PlainTensor<'a>)>,
    /// The removed prefix: `module.` of `DataParallel`, `_orig_mod.` of `torch.compile`, or another one.
    pub prefix: String,
    /// The location of the tensors in the file: the keys from the outermost on, separated by dots. Empty for a file
    /// that contains nothing else.
    pub key: String,
    /// The locations of other tensors in the file, and their numbers.
    pub others: Vec<(String, usize)>,
    /// Whether the caller gave the location of the tensors.
    pub(super) is_named: bool,
}

impl<'a> StateDict<'a> {
    /// Tensors as they are, of no file.
    pub fn of(tensors: Vec<(String, PlainTensor<'a>)>) -> Self {
        Self { tensors, prefix: String::new(), key: String::new(), others: Vec::new(), is_named: false }
    }

    /// Removes the common prefix of wrappers from the names. Returns a name that would then occur twice as an error.
    pub(super) fn new(mut tensors: Vec<(String, PlainTensor<'a>)>, wanted: &Wanted<'_>) -> Result<Self, String> {
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name.as_str()).collect();
        let prefix = prefix::common(&names, wanted).to_owned();
        tensors.retain(|(name, _)| name.starts_with(&prefix));
        for (name, _) in &mut tensors {
            name.drain(..prefix.len());
        }
        let mut names = HashSet::new();
        match tensors.iter().find(|(name, _)| !names.insert(name.as_str())).map(|(name, _)| name.clone()) {
            Some(repeated) => Err(repeated),
            None => Ok(Self { prefix, is_named: wanted.key.is_some(), ..Self::of(tensors) }),
        }
    }

    /// Whether every name began with the `module.` that `DataParallel` writes.
    pub fn module_prefix(&self) -> bool {
        self.prefix.split_inclusive('.').any(|part| part == prefix::MODULE)
    }

    /// Describes which of the file's tensors were chosen, if there was a choice.
    pub fn choice(&self) -> Option<String> {
        /// How many other places a message names.
        const PRINTED: usize = 4;
        let counted = |key: &str, count: usize| match key {
            "" => format!("at the top level ({count} tensors)"),
            key => format!("under '{}' ({count} tensors)", printed(key)),
        };
        if self.is_named || (self.others.is_empty() && matches!(self.key.as_str(), "" | STATE_DICT)) {
            return None;
        }
        let mut text = format!("uses the weights {}", counted(&self.key, self.tensors.len()));
        if !self.others.is_empty() {
            let others = self.others.iter().take(PRINTED).map(|(key, count)| counted(key, *count));
            text.push_str(&format!("; others are {}", others.collect::<Vec<_>>().join(", ")));
        }
        match self.others.len().saturating_sub(PRINTED) {
            0 => {}
            rest => text.push_str(&format!(" and in {rest} more places")),
        }
        Some(text)
    }
}

impl<'a> Checkpoint<'a> {
    /// Returns the tensors of the checkpoint, at any location.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the checkpoint has no tensors, or an invalid one.
    pub fn state_dict(&self) -> Result<StateDict<'a>, CheckpointError> {
        self.find(&Wanted::default())
    }

    /// The tensors of a dictionary's entries.
    pub(super) fn tensors(
        &self,
        entries: &[(&str, ValueId)],
        wanted: &Wanted<'_>,
    ) -> Result<StateDict<'a>, CheckpointError> {
        let mut names = HashSet::new();
        if let Some((name, _)) = entries.iter().find(|(name, _)| !names.insert(*name)) {
            return Err(CheckpointError::RepeatedName { name: printed(name) });
        }
        let mut tensors = Vec::with_capacity(entries.len());
        let mut bytes = 0usize;
        for (name, id) in entries {
            let tensor = tensor(&self.pickle, &self.storages, *id, name)?;
            bytes = bytes.saturating_add(tensor.byte_count());
            if bytes > self.length.saturating_mul(SHARING) {
                return Err(CheckpointError::Repeating { bytes, file: self.length });
            }
            tensors.push(((*name).to_owned(), tensor));
        }
        StateDict::new(tensors, wanted).map_err(|name| CheckpointError::RepeatedName { name: printed(&name) })
    }

    /// Returns the value of a top-level entry. As in Python, the last of several with the same name counts.
    pub(super) fn entry(&self, wanted: &str) -> Option<ValueId> {
        let pairs = self.pickle.mapping(self.pickle.root())?;
        let named = pairs.into_iter().rev().find(|(key, _)| name(&self.pickle, *key) == Some(wanted));
        named.map(|(_, value)| value)
    }
}

/// Returns the name in a key, if its length is within the limit.
pub(super) fn name(pickle: &Pickle, key: ValueId) -> Option<&str> {
    // A pickle may refer to its longest string many times.
    let length = match pickle.value(key) {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => return None,
    };
    (length <= LONGEST_NAME).then(|| pickle.text(key)).flatten()
}
