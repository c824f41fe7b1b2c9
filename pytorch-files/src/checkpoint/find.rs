//! Finds the tensors of a network in a checkpoint by the content of its dictionaries, whatever their keys are.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use tfnas::state_shapes::TensorShape;

use super::Checkpoint;
use super::error::{CheckpointError, printed, printed_names};
use super::prefix;
use super::rebuild::{is_tensor, tensor};
use super::state_dict::{STATE_DICT, StateDict, name};
use crate::pickle::{Value, ValueId};

/// Maximum depth of tensors in dictionaries and lists.
const DEPTH: usize = 16;
/// Maximum number of entries in all dictionaries together. A pickle can use the same list of entries in many dictionaries.
const MAX_ENTRIES: usize = 4_000_000;
/// Maximum number of other dictionaries of tensors that are listed.
const MAX_OTHERS: usize = 1000;
/// Maximum number of top-level values that may be a complete module.
const MAX_MODULES: usize = 100;
/// Maximum number of additional keys for a dictionary that is reachable under another key.
const ALIASES: usize = 8;
/// Among equal candidates, or if the network is unknown, the first of these keys is chosen.
const USUAL_KEYS: [&str; 12] = [
    STATE_DICT,
    "model",
    "model_state_dict",
    "model_state",
    "net",
    "network",
    "net_state_dict",
    "module",
    "weights",
    "params",
    "parameters",
    "state",
];
/// Words in the keys of averaged weights, which are used only if nothing else fits.
const AVERAGES: [&str; 5] = ["ema", "swa", "avg", "averaged", "shadow"];

/// Which of a file's tensors are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'w> {
    /// The keys from the outermost on, separated by dots.
    pub key: Option<&'w str>,
    /// The tensors of the network, if known.
    pub network: Option<&'w [TensorShape]>,
}

/// A dictionary or list somewhere in a checkpoint.
struct Node<'c> {
    id: ValueId,
    /// The index of the parent.
    parent: Option<usize>,
    key: Key<'c>,
    depth: usize,
}

#[derive(Clone, Copy)]
enum Key<'c> {
    Name(&'c str),
    Index(usize),
}

/// A dictionary of names and tensors.
struct Candidate<'c> {
    node: usize,
    entries: Vec<(&'c str, ValueId)>,
}

/// How well a candidate fits. Smaller is better.
type Fit = (Reverse<usize>, usize, bool, usize);

impl<'a> Checkpoint<'a> {
    /// Returns the wanted tensors: those under a key, or those that fit a network best, or the largest group.
    ///
    /// # Errors
    /// Returns [`CheckpointError`] if the checkpoint has no such tensors, or one of them is invalid.
    pub fn find(&self, wanted: &Wanted<'_>) -> Result<StateDict<'a>, CheckpointError> {
        let nodes = self.nodes()?;
        let candidates = self.candidates(&nodes);
        if let Some(key) = wanted.key {
            return self.under(key, &nodes, &candidates, wanted);
        }
        let Some(best) = self.best(&nodes, &candidates, wanted) else { return self.no_candidate(wanted) };
        let mut state = self.tensors(&candidates[best].entries, wanted)?;
        let others = candidates.iter().enumerate().filter(|(at, _)| *at != best);
        let mut others: Vec<&Candidate<'_>> = others.map(|(_, other)| other).collect();
        others.sort_by_key(|other| Reverse(other.entries.len()));
        others.truncate(MAX_OTHERS);
        state.others = others.into_iter().map(|other| (path(&nodes, other.node), other.entries.len())).collect();
        state.key = path(&nodes, candidates[best].node);
        Ok(state)
    }

    /// Returns the shallowest entry of this name.
    pub(super) fn entry_anywhere(&self, wanted: &str) -> Option<ValueId> {
        self.entry(wanted).or_else(|| {
            let nodes = self.nodes().ok()?;
            let found = nodes.iter().find(|node| matches!(node.key, Key::Name(name) if name == wanted));
            found.map(|node| node.id)
        })
    }

    /// Returns all dictionaries and lists that are reachable by names, each once, from the outermost on.
    ///
    /// # Errors
    /// Returns [`CheckpointError::RepeatedEntries`] if they have more than [`MAX_ENTRIES`] entries.
    fn nodes(&self) -> Result<Vec<Node<'_>>, CheckpointError> {
        let pickle = &self.pickle;
        let is_container = |id: ValueId| match pickle.value(id) {
            Value::Dict(_) | Value::List(_) | Value::Tuple(_) => true,
            Value::Call(_) => pickle.made_by(id).is_some_and(|(module, _)| module == "collections"),
            _ => false,
        };
        let mut seen = HashSet::from([pickle.root()]);
        let mut nodes = vec![Node { id: pickle.root(), parent: None, key: Key::Index(0), depth: 0 }];
        let mut next = 0;
        let mut aliases = 0;
        let mut entries = 0;
        while let Some(&Node { id, depth, .. }) = nodes.get(next) {
            let mut child = |key, id| {
                if depth >= DEPTH || !is_container(id) {
                    return;
                }
                let is_new = seen.insert(id);
                // The same dictionary under another top-level key, which may be the usual one.
                let is_alias = !is_new && depth == 0 && id != pickle.root() && aliases < ALIASES;
                aliases += usize::from(is_alias);
                if is_new || is_alias {
                    nodes.push(Node { id, parent: Some(next), key, depth: depth + 1 });
                }
            };
            if let Some(pairs) = pickle.mapping(id) {
                entries += pairs.len();
                if entries > MAX_ENTRIES {
                    return Err(CheckpointError::RepeatedEntries { limit: MAX_ENTRIES });
                }
                for (key, value) in pairs {
                    if let Some(key) = name(pickle, key) {
                        child(Key::Name(key), value);
                    }
                }
            } else if let Some(values) = pickle.sequence(id) {
                values.iter().enumerate().for_each(|(index, value)| child(Key::Index(index), *value));
            }
            next += 1;
        }
        Ok(nodes)
    }

    /// Returns the dictionaries that mainly contain named tensors.
    fn candidates<'c>(&'c self, nodes: &[Node<'c>]) -> Vec<Candidate<'c>> {
        let pickle = &self.pickle;
        let candidate = |(node, at): (usize, &Node<'c>)| {
            let pairs = pickle.mapping(at.id)?;
            let tensors = pairs.iter().filter(|(_, value)| is_tensor(pickle, *value)).count();
            if tensors == 0 || 2 * tensors <= pairs.len() {
                return None;
            }
            let entries = pairs.into_iter().map(|(key, value)| Some((name(pickle, key)?, value)));
            Some(Candidate { node, entries: entries.collect::<Option<_>>()? })
        };
        nodes.iter().enumerate().filter_map(candidate).collect()
    }

    /// The candidate that is meant.
    fn best(&self, nodes: &[Node<'_>], candidates: &[Candidate<'_>], wanted: &Wanted<'_>) -> Option<usize> {
        let shapes: Option<HashMap<&str, &[usize]>> = wanted
            .network
            .map(|network| network.iter().map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice())).collect());
        let fits: Vec<Fit> = candidates
            .iter()
            .map(|candidate| {
                let count = candidate.entries.len();
                let (is_average, rank) = preference(nodes, candidate.node);
                match &shapes {
                    None => (Reverse(count), 0, is_average, rank),
                    Some(shapes) => {
                        let fitting = self.fitting(candidate, shapes, wanted);
                        (Reverse(fitting), count - fitting, is_average, rank)
                    }
                }
            })
            .collect();
        // An average may have one counter more than its source.
        let most = fits.iter().filter(|fit| !fit.2).map(|fit| fit.0.0).max();
        let is_needless = |fit: &Fit| fit.2 && shapes.is_none() && most.is_some_and(|most| fit.0.0 <= most + 1);
        let eligible = fits.iter().enumerate().filter(|(_, fit)| !is_needless(fit));
        eligible.min_by_key(|(_, fit)| **fit).map(|(at, _)| at)
    }

    /// How many of a candidate's tensors have name and shape of one of the network.
    fn fitting(&self, candidate: &Candidate<'_>, shapes: &HashMap<&str, &[usize]>, wanted: &Wanted<'_>) -> usize {
        let names: Vec<&str> = candidate.entries.iter().map(|(name, _)| *name).collect();
        let prefix = prefix::common(&names, wanted);
        let fits = |(name, id): &&(&str, ValueId)| {
            let shape = name.strip_prefix(prefix).and_then(|name| shapes.get(name));
            shape.is_some_and(|shape| {
                tensor(&self.pickle, &self.storages, *id, name).is_ok_and(|tensor| tensor.shape() == *shape)
            })
        };
        candidate.entries.iter().filter(fits).count()
    }

    /// Returns the tensors under a key, including those whose names begin with the end of the key.
    fn under(
        &self,
        key: &str,
        nodes: &[Node<'_>],
        candidates: &[Candidate<'_>],
        wanted: &Wanted<'_>,
    ) -> Result<StateDict<'a>, CheckpointError> {
        let entries = match self.resolve(self.pickle.root(), key) {
            Some(id) => Some(self.entries(id).unwrap_or_else(|| {
                Err(CheckpointError::tensor(key, format!("it is {}, not a dictionary of tensors", self.described(id))))
            })?),
            None => candidates.iter().find_map(|candidate| named_under(key, &path(nodes, candidate.node), candidate)),
        };
        let entries = entries.ok_or_else(|| {
            let places: Vec<String> = candidates.iter().map(|candidate| path(nodes, candidate.node)).collect();
            CheckpointError::NoKey { key: printed(key), places: places_in_words(&places) }
        })?;
        let mut state = self.tensors(&entries, wanted)?;
        key.clone_into(&mut state.key);
        Ok(state)
    }

    /// Returns the value reached from another one by keys. A key may itself contain dots.
    fn resolve(&self, from: ValueId, keys: &str) -> Option<ValueId> {
        if keys.is_empty() {
            return Some(from);
        }
        let pickle = &self.pickle;
        let child = |key: &str| match pickle.mapping(from) {
            Some(pairs) => pairs.into_iter().rev().find(|pair| name(pickle, pair.0) == Some(key)).map(|pair| pair.1),
            None => pickle.sequence(from)?.get(key.parse::<usize>().ok()?).copied(),
        };
        let ends = keys.match_indices('.').map(|(at, _)| at).rev();
        std::iter::once(keys.len()).chain(ends).find_map(|end| {
            let rest = keys.get(end + 1..).unwrap_or_default();
            self.resolve(child(&keys[..end])?, rest)
        })
    }

    /// Returns the entries of a dictionary by name, or `None` for another value.
    fn entries(&self, id: ValueId) -> Option<Result<Vec<(&str, ValueId)>, CheckpointError>> {
        let pickle = &self.pickle;
        let named = |(key, value)| match name(pickle, key) {
            Some(key) => Ok((key, value)),
            None => Err(CheckpointError::Name { found: pickle.kind(key) }),
        };
        Some(pickle.mapping(id)?.into_iter().map(named).collect())
    }

    /// Returns the error for a checkpoint without named tensors, or the error of its `state_dict` if it has one.
    fn no_candidate(&self, wanted: &Wanted<'_>) -> Result<StateDict<'a>, CheckpointError> {
        if let Some((module, name)) = self.whole_module() {
            return Err(CheckpointError::WholeModule { class: format!("{}.{}", printed(module), printed(name)) });
        }
        let entries = self.entry(STATE_DICT).and_then(|entry| self.entries(entry));
        let entries = entries.ok_or_else(|| CheckpointError::NoStateDict { found: self.contents() })??;
        self.tensors(&entries, wanted)
    }

    /// Returns the class of a module that was pickled as a whole: an object whose state has `_parameters` and
    /// `_modules`.
    fn whole_module(&self) -> Option<(&str, &str)> {
        let pickle = &self.pickle;
        let is_module = |id: ValueId| {
            let Value::Call(call) = pickle.value(id) else { return false };
            let pairs = call.state.and_then(|state| pickle.mapping(state)).unwrap_or_default();
            let has = |wanted| pairs.iter().any(|(key, _)| name(pickle, *key) == Some(wanted));
            has("_parameters") && has("_modules")
        };
        let top = pickle.mapping(pickle.root()).unwrap_or_default();
        let values = std::iter::once(pickle.root()).chain(top.into_iter().map(|(_, value)| value));
        let module = values.into_iter().take(MAX_MODULES).find(|id| is_module(*id))?;
        Some(self.class_of(module).unwrap_or(("torch.nn", "Module")))
    }

    /// Returns the class of an object, also if its source is stored with it, as in the older container.
    fn class_of(&self, object: ValueId) -> Option<(&str, &str)> {
        let pickle = &self.pickle;
        if let Some(name) = pickle.made_by(object) {
            return Some(name);
        }
        let Value::Call(call) = pickle.value(object) else { return None };
        let Value::Persistent(source) = pickle.value(call.function) else { return None };
        pickle.made_by(*pickle.sequence(*source)?.get(1)?)
    }

    /// Describes the content of the checkpoint.
    fn contents(&self) -> String {
        let pickle = &self.pickle;
        let pairs = pickle.mapping(pickle.root()).unwrap_or_default();
        let names: Vec<&str> = pairs.iter().filter_map(|(key, _)| name(pickle, *key)).collect();
        match names.as_slice() {
            [] => self.described(pickle.root()),
            names => printed_names(names.iter().copied()),
        }
    }

    /// Describes a value by its type, or by the name of its constructor.
    pub(super) fn described(&self, id: ValueId) -> String {
        match self.pickle.made_by(id) {
            Some(_) if self.pickle.mapping(id).is_some() => "a dict".to_owned(),
            Some((module, name)) => format!("{}.{}, which was not run", printed(module), printed(name)),
            None => self.pickle.kind(id).to_owned(),
        }
    }
}

/// Returns the entries of a candidate whose names begin with the end of a key, if the key begins with the candidate's
/// own.
fn named_under<'c>(key: &str, place: &str, candidate: &Candidate<'c>) -> Option<Vec<(&'c str, ValueId)>> {
    let rest = if place.is_empty() { key } else { key.strip_prefix(place)?.strip_prefix('.')? };
    let inner = |(name, id): &(&'c str, ValueId)| Some((name.strip_prefix(rest)?.strip_prefix('.')?, *id));
    let entries: Vec<(&str, ValueId)> = candidate.entries.iter().filter_map(inner).collect();
    (!entries.is_empty()).then_some(entries)
}

/// Returns whether tensors are an average according to their keys, and how usual the keys are. Smaller is better.
fn preference(nodes: &[Node<'_>], node: usize) -> (bool, usize) {
    let mut is_average = false;
    let mut rank = if node == 0 { 0 } else { USUAL_KEYS.len() };
    let mut at = Some(node);
    while let Some(node) = at.map(|at| &nodes[at]) {
        if let Key::Name(key) = node.key {
            let key = key.to_lowercase();
            is_average |= key.split(['_', '-', '.']).any(|word| AVERAGES.contains(&word));
            rank = rank.min(USUAL_KEYS.iter().position(|usual| *usual == key).unwrap_or(USUAL_KEYS.len()));
        }
        at = node.parent;
    }
    (is_average, rank)
}

/// The keys that lead to a node, from the outermost on, with a dot between them.
fn path(nodes: &[Node<'_>], node: usize) -> String {
    let mut parts = Vec::new();
    let mut at = node;
    while let Some(parent) = nodes[at].parent {
        parts.push(match nodes[at].key {
            Key::Name(name) => name.to_owned(),
            Key::Index(index) => index.to_string(),
        });
        at = parent;
    }
    parts.reverse();
    parts.join(".")
}

/// Describes where tensors are, for an error.
pub(super) fn places_in_words(places: &[String]) -> String {
    match places {
        [] => "it has no tensors under names".to_owned(),
        [place] if place.is_empty() => "its tensors are not under a key".to_owned(),
        places => format!("its tensors are under {}", printed_names(places.iter().map(String::as_str))),
    }
}
