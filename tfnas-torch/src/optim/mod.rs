//! The two optimizers, with the semantics and the order of operations of PyTorch's.
//!
//! A parameter without a gradient in a step is left alone, and so is its state: no momentum, no weight decay. The whole
//! state can be taken out as named tensors and put back, so that a resumed run goes on as if it had not stopped.

mod adam;
mod sgd;

pub use adam::{Adam, AdamSettings};
pub use sgd::{Sgd, SgdSettings};

use crate::gradient::Gradients;
use crate::named_tensors::NamedTensors;

/// What moves some parameters along their gradients.
pub trait Optimizer {
    /// The parameters, in the order in which [`step`](Optimizer::step) wants their gradients.
    fn parameters(&self) -> &NamedTensors;

    /// Moves each parameter that has a gradient.
    fn step(&mut self, gradients: &Gradients);

    /// The state to save, of each parameter that has been moved; shared, not copied.
    fn state(&self) -> NamedTensors;

    /// Puts a saved state back.
    ///
    /// # Errors
    /// [`OptimizerStateError`] for a state that is not of these parameters; the optimizer is as before then.
    fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStateError>;
}

/// Why a saved state is not one of this optimizer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizerStateError {
    /// A tensor of a parameter that the optimizer does not have.
    #[error("the saved optimiser state has '{name}', which belongs to no parameter here")]
    Unexpected {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor of another shape than its parameter.
    #[error("the saved optimiser state has '{name}' of shape {found:?}, where {expected:?} is needed")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape it should have.
        expected: Vec<i64>,
    },
    /// One of the tensors that belong together is missing.
    #[error("the saved optimiser state has no '{name}', but others of that parameter")]
    Missing {
        /// Name of the missing tensor.
        name: String,
    },
}

/// Checks that each saved tensor is `<parameter>.<slot>` for a parameter and one of the slots.
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

/// A copy of the saved tensor of this name, if there is one; it must have this shape.
fn take(saved: &NamedTensors, name: &str, like: &tch::Tensor) -> Result<Option<tch::Tensor>, OptimizerStateError> {
    let Some(tensor) = saved.get(name) else {
        return Ok(None);
    };
    if tensor.size() != like.size() {
        return Err(OptimizerStateError::Shape { name: name.to_owned(), found: tensor.size(), expected: like.size() });
    }
    Ok(Some(tensor.to_kind(like.kind()).to_device(like.device()).copy()))
}
