//! In what the tensors of a file are not those of a network.

use std::collections::HashMap;
use std::fmt;

use tfnas::state_shapes::TensorShape;

use super::state_dict::StateDict;

/// One way in which tensors are not those of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The network has it, the file does not.
    #[error("missing: {name}")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// The file has it, the network does not.
    #[error("unexpected: {}", .name.escape_debug())]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// The shapes differ.
    #[error("{name}: shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape in the network.
        expected: Vec<usize>,
    },
    /// The dtypes differ.
    #[error("{name}: dtype {found}, expected {expected}")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Dtype in the file, as PyTorch calls it.
        found: &'static str,
        /// Dtype in the network.
        expected: &'static str,
    },
    /// Not all values are finite.
    #[error("{name}: {count} values are NaN or infinite")]
    NotFinite {
        /// Name of the tensor.
        name: String,
        /// How many.
        count: usize,
    },
    /// Values that the network's dtype cannot hold.
    #[error("{name}: {count} values are too large for {expected} ({found} in the file)")]
    TooLarge {
        /// Name of the tensor.
        name: String,
        /// How many.
        count: usize,
        /// Dtype in the file, as PyTorch calls it.
        found: &'static str,
        /// Dtype in the network.
        expected: &'static str,
    },
}

/// All misfits of a file, one a line, the first of very many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tensors do not fit the network:{}", Lines(.0))]
pub struct Misfits(pub Vec<Misfit>);

struct Lines<'a>(&'a [Misfit]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Several times the tensors of the largest network.
        const PRINTED: usize = 2000;
        for misfit in self.0.iter().take(PRINTED) {
            write!(f, "\n  {misfit}")?;
        }
        match self.0.len().saturating_sub(PRINTED) {
            0 => Ok(()),
            rest => write!(f, "\n  and {rest} more"),
        }
    }
}

impl StateDict<'_> {
    /// Checks that these are the tensors of a network, to the dtype ([`fit`](Self::fit) converts), and that their values are finite.
    ///
    /// # Errors
    /// [`Misfits`]: all of them, in the order of the network, then of the file.
    pub fn check(&self, network: &[TensorShape]) -> Result<(), Misfits> {
        let mut found: HashMap<&str, _> = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut misfits = Vec::new();
        for TensorShape { name, shape, dtype } in network {
            let name = name.clone();
            let Some(tensor) = found.remove(name.as_str()) else {
                misfits.push(Misfit::Missing { name });
                continue;
            };
            if tensor.shape() != shape {
                misfits.push(Misfit::Shape { name, found: tensor.shape().to_vec(), expected: shape.clone() });
            } else if tensor.dtype() != *dtype {
                misfits.push(Misfit::Dtype { name, found: tensor.dtype().name(), expected: dtype.name() });
            } else if let count @ 1.. = tensor.not_finite() {
                misfits.push(Misfit::NotFinite { name, count });
            }
        }
        let rest = self.tensors.iter().filter(|(name, _)| found.contains_key(name.as_str()));
        misfits.extend(rest.map(|(name, _)| Misfit::Unexpected { name: name.clone() }));
        if misfits.is_empty() { Ok(()) } else { Err(Misfits(misfits)) }
    }
}
