//! SGD and Adam, with the semantics and the order of operations of PyTorch's.
//!
//! A parameter without a gradient in a step is not changed, and neither is its state: no momentum, no weight decay. The
//! state can be saved and restored as named tensors, so that a resumed run gives the same bytes as an uninterrupted
//! one.

mod adam;
mod sgd;

pub use adam::{Adam, AdamSettings};
pub use sgd::{Sgd, SgdSettings};

use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// Updates parameters from their gradients.
pub trait Optimizer {
    /// The parameters, in the order of the gradients of [`step`](Optimizer::step).
    fn parameters(&self) -> &NamedTensors;

    /// Updates each parameter that has a gradient.
    fn step(&mut self, gradients: &Gradients);

    /// Returns the state to save, for each parameter that has been updated; shared, not copied.
    fn state(&self) -> NamedTensors;

    /// Restores a saved state.
    ///
    /// # Errors
    /// Returns an [`OptimizerStateError`] for a state of other parameters; the optimizer is not changed then.
    fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStateError>;
}

/// Why a saved optimizer state cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizerStateError {
    /// A tensor of an unknown parameter.
    #[error("the saved optimizer state has '{name}', but the network has no such parameter")]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor whose shape differs from that of its parameter.
    #[error("the saved optimizer state has '{name}' of shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The expected shape.
        expected: Vec<i64>,
    },
    /// Part of the state of a parameter is missing.
    #[error("the saved optimizer state lacks '{name}', but has other state of the same parameter")]
    Missing {
        /// Name of the missing tensor.
        name: String,
    },
}

/// Checks that each saved tensor is named `<parameter>.<slot>` for a known parameter and slot.
fn check_names(parameters: &NamedTensors, saved: &NamedTensors, slots: &[&str]) -> Result<(), OptimizerStateError> {
    for (name, _) in saved.iter() {
        let known = name
            .rsplit_once('.')
            .is_some_and(|(parameter, slot)| slots.contains(&slot) && parameters.get(parameter).is_some());
        if !known {
            return Err(OptimizerStateError::Unexpected { name: name.to_owned() });
        }
    }
    Ok(())
}

/// Returns a copy of the saved tensor of this name, or `None` if there is none. Returns an error if its shape differs
/// from that of `like`.
fn take(saved: &NamedTensors, name: &str, like: &tch::Tensor) -> Result<Option<tch::Tensor>, OptimizerStateError> {
    let Some(tensor) = saved.get(name) else {
        return Ok(None);
    };
    if tensor.size() != like.size() {
        return Err(OptimizerStateError::Shape { name: name.to_owned(), found: tensor.size(), expected: like.size() });
    }
    Ok(Some(tensor.to_kind(like.kind()).to_device(like.device()).copy()))
}
