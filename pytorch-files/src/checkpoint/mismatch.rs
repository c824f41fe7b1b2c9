//! The differences between the tensors of a file and those of a network.

use std::collections::HashMap;
use std::fmt;

use tfnas::state_shapes::TensorShape;

use super::state_dict::StateDict;

/// One difference between the tensors of a file and those of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorMismatch {
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

/// All mismatches of a file, one a line, the first of very many.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tensors do not fit the network:{}", Lines(.0))]
pub struct StateDictMismatch(pub Vec<TensorMismatch>);

struct Lines<'a>(&'a [TensorMismatch]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Several times the tensors of the largest network.
        const PRINTED: usize = 2000;
        for mismatch in self.0.iter().take(PRINTED) {
            write!(f, "\n  {mismatch}")?;
        }
        match self.0.len().saturating_sub(PRINTED) {
            0 => Ok(()),
            rest => write!(f, "\n  and {rest} more"),
        }
    }
}

impl StateDict<'_> {
    /// Checks that names, shapes and dtypes match a network ([`fit`](Self::fit) converts dtypes), and that all values
    /// are finite.
    ///
    /// # Errors
    /// Returns [`StateDictMismatch`] with all differences, in the order of the network, then of the file.
    pub fn check(&self, network: &[TensorShape]) -> Result<(), StateDictMismatch> {
        let mut found: HashMap<&str, _> = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let mut mismatches = Vec::new();
        for TensorShape { name, shape, dtype } in network {
            let name = name.clone();
            let Some(tensor) = found.remove(name.as_str()) else {
                mismatches.push(TensorMismatch::Missing { name });
                continue;
            };
            if tensor.shape() != shape {
                mismatches.push(TensorMismatch::Shape {
                    name,
                    found: tensor.shape().to_vec(),
                    expected: shape.clone(),
                });
            } else if tensor.dtype() != *dtype {
                mismatches.push(TensorMismatch::Dtype { name, found: tensor.dtype().name(), expected: dtype.name() });
            } else if let count @ 1.. = tensor.not_finite() {
                mismatches.push(TensorMismatch::NotFinite { name, count });
            }
        }
        let rest = self.tensors.iter().filter(|(name, _)| found.contains_key(name.as_str()));
        mismatches.extend(rest.map(|(name, _)| TensorMismatch::Unexpected { name: name.clone() }));
        if mismatches.is_empty() { Ok(()) } else { Err(StateDictMismatch(mismatches)) }
    }
}
