//! Tensors with names, in order: a state dict.

use std::collections::HashMap;

use tch::Tensor;

/// What a tensor of a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Moved by the optimizer of the weights.
    Weight,
    /// `log_alphas` or `betas`: moved by the optimizer of the architecture.
    Architecture,
    /// Running statistics: moved by a forward pass.
    Buffer,
}

/// Receives each tensor of a network with its full name and role.
pub type Visitor<'a> = dyn FnMut(String, &Tensor, Role) + 'a;

/// Something whose tensors have the names and the order of PyTorch's `state_dict` of the original's module.
pub trait Module {
    /// Calls `visitor` for each tensor, its name beginning with `prefix` and a dot (nothing for an empty prefix).
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>);

    /// All tensors. They share memory with the module: what is written into them, the module has.
    fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        self.visit("", &mut |name, tensor, _| {
            state.insert(name, tensor.shallow_clone());
        });
        state
    }

    /// The tensors of one role; shared as those of [`state`](Module::state).
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

/// `prefix.name`, or `name` alone where the prefix is empty.
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
    /// No tensors.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a tensor; one of the same name is replaced where it stands.
    pub fn insert(&mut self, name: String, tensor: Tensor) {
        match self.positions.get(&name) {
            Some(&position) => self.entries[position].1 = tensor,
            None => {
                self.positions.insert(name.clone(), self.entries.len());
                self.entries.push((name, tensor));
            }
        }
    }

    /// Appends all tensors of another map, their names beginning with `prefix` and a dot.
    pub fn insert_all(&mut self, prefix: &str, tensors: NamedTensors) {
        for (name, tensor) in tensors.entries {
            self.insert(join(prefix, &name), tensor);
        }
    }

    /// The tensors whose names begin with `prefix` and a dot, under the rest of their names.
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

    /// The tensor of this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let position = *self.positions.get(name)?;
        Some(&self.entries[position].1)
    }

    /// Names and tensors, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.entries.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The tensors alone, in order; shared, not copied.
    pub fn to_vec(&self) -> Vec<Tensor> {
        self.iter().map(|(_, tensor)| tensor.shallow_clone()).collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
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
    fn names_keep_their_order_and_a_repeated_name_its_place() {
        let mut tensors = NamedTensors::new();
        for name in ["b", "a", "b"] {
            tensors.insert(name.to_owned(), Tensor::from(tensors.len() as i64));
        }
        assert_eq!(names(&tensors), ["b", "a"]);
        assert_eq!(tensors.get("b").map(|t| t.int64_value(&[])), Some(2));
    }

    #[test]
    fn a_map_under_a_prefix_comes_back_as_it_was() {
        let inner: NamedTensors =
            [("x.y".to_owned(), Tensor::from(1)), ("z".to_owned(), Tensor::from(2))].into_iter().collect();
        let mut outer = NamedTensors::new();
        outer.insert("part".to_owned(), Tensor::from(0));
        outer.insert("partial.q".to_owned(), Tensor::from(0));
        outer.insert_all("part", inner);
        assert_eq!(names(&outer.under("part")), ["x.y", "z"]);
    }
}
