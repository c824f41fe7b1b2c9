//! Ordered map from names to tensors (a state dict).

use std::collections::HashMap;

use tch::Tensor;

/// The role of a tensor in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Updated by the weight optimizer.
    Weight,
    /// `log_alphas` or `betas`, updated by the architecture optimizer.
    Architecture,
    /// Running statistics, updated by a forward pass.
    Buffer,
}

/// Receives each tensor of a network with its full name and role.
pub type Visitor<'a> = dyn FnMut(String, &Tensor, Role) + 'a;

/// A module whose tensors have the names and the order of the `state_dict` of the corresponding module of the authors'
/// code.
pub trait Module {
    /// Calls `visitor` for each tensor, with its name prefixed by `prefix` and a dot (no dot if the prefix is empty).
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>);

    /// Returns all tensors. They share memory with the module, so writing to them changes the module.
    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.visit("", &mut |name, tensor, _| {
            state.insert(name, tensor.shallow_clone());
        });
        state
    }

    /// Returns the tensors of one role; shared like those of [`state`](Module::state).
    fn tensors(&self, wanted: Role) -> NamedTensors {
        let mut tensors = NamedTensors::new();
        self.visit("", &mut |name, tensor, role| {
            if role == wanted {
                tensors.insert(name, tensor.shallow_clone());
            }
        });
        tensors
    }
}

/// Returns `prefix.name`, or `name` if the prefix is empty.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        return name.to_owned();
    }
    format!("{prefix}.{name}")
}

/// An ordered map from names to tensors.
#[derive(Debug, Default)]
pub struct NamedTensors {
    entries: Vec<(String, Tensor)>,
    positions: HashMap<String, usize>,
}

impl NamedTensors {
    /// Creates an empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a tensor. An existing tensor of the same name is replaced and keeps its position.
    pub fn insert(&mut self, name: String, tensor: Tensor) {
        match self.positions.get(&name) {
            Some(&position) => self.entries[position].1 = tensor,
            None => {
                self.positions.insert(name.clone(), self.entries.len());
                self.entries.push((name, tensor));
            }
        }
    }

    /// Appends all tensors of another map, with names prefixed by `prefix` and a dot.
    pub fn insert_all(&mut self, prefix: &str, tensors: NamedTensors) {
        for (name, tensor) in tensors.entries {
            self.insert(join(prefix, &name), tensor);
        }
    }

    /// Returns the tensors whose names start with `prefix` and a dot, without that prefix.
    pub fn under(&self, prefix: &str) -> NamedTensors {
        let mut tensors = NamedTensors::new();
        for (name, tensor) in self.iter() {
            let rest = name.strip_prefix(prefix);
            if let Some(rest) = rest.and_then(|rest| rest.strip_prefix('.')) {
                tensors.insert(rest.to_owned(), tensor.shallow_clone());
            }
        }
        tensors
    }

    /// Looks up a tensor by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let position = *self.positions.get(name)?;
        Some(&self.entries[position].1)
    }

    /// Iterates over names and tensors in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Returns the tensors in order; shared, not copied.
    pub fn to_vec(&self) -> Vec<Tensor> {
        self.iter().map(|(_, tensor)| tensor.shallow_clone()).collect()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the map has no tensors.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl FromIterator<(String, Tensor)> for NamedTensors {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(entries: I) -> Self {
        let mut tensors = Self::new();
        for (name, tensor) in entries {
            tensors.insert(name, tensor);
        }
        tensors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tensors: &NamedTensors) -> Vec<&str> {
        tensors.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn insert_preserves_order_and_replaces_in_place() {
        let mut tensors = NamedTensors::new();
        for name in ["b", "a", "b"] {
            tensors.insert(name.to_owned(), Tensor::from(tensors.len() as i64));
        }
        assert_eq!(names(&tensors), ["b", "a"]);
        assert_eq!(tensors.get("b").map(|t| t.int64_value(&[])), Some(2));
    }

    #[test]
    fn insert_all_and_under_are_inverse() {
        let inner: NamedTensors =
            [("x.y".to_owned(), Tensor::from(1)), ("z".to_owned(), Tensor::from(2))].into_iter().collect();
        let mut outer = NamedTensors::new();
        outer.insert("part".to_owned(), Tensor::from(0));
        outer.insert("partial.q".to_owned(), Tensor::from(0));
        outer.insert_all("part", inner);
        assert_eq!(names(&outer.under("part")), ["x.y", "z"]);
    }
}
