//! Averages gradients over ranks during the backward pass.

use std::time::Duration;

use tch::Tensor;

use crate::failure::CollectiveError;
use crate::process_group::ProcessGroup;
use crate::raw::{self, Owned, RawReducer, make_tensors, tensor_pointer, tensor_pointers};

/// How a [`Reducer`] groups gradients. The defaults are those of PyTorch's `DistributedDataParallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReducerSettings {
    /// Bucket size: bytes of gradients that are transferred together.
    pub bucket_bytes: usize,
    /// Size of the first bucket in bytes: a small one lets the first transfer start early.
    pub first_bucket_bytes: usize,
    /// Whether a parameter may be unused in a rank's loss. If set, each backward pass traverses its graph first;
    /// otherwise an unused parameter is an error.
    pub find_unused: bool,
}

impl Default for ReducerSettings {
    fn default() -> Self {
        Self { bucket_bytes: 25 << 20, first_bucket_bytes: 1 << 20, find_unused: false }
    }
}

/// Averages the gradients of parameters over the ranks of a group, with c10d's `Reducer`.
///
/// Gradients are copied into buckets as they are computed. A full bucket is all-reduced while the backward pass
/// computes the others. The order of the buckets is that of the gradients in the first backward pass on rank 0.
///
/// The reducer shares the parameters with their network and has hooks on them until it is dropped. A parameter must
/// have at most one reducer at a time, and every backward pass through the parameters' own `grad` must go through the
/// reducer. (`Tensor::run_backward` does not call the hooks, so its gradients stay local.)
#[derive(Debug)]
pub struct Reducer {
    raw: Owned<RawReducer>,
    /// Which parameters require a gradient and are passed to the C++ reducer.
    trained: Vec<bool>,
    world: (usize, usize),
    timeout: Duration,
}

// SAFETY: c10d's reducer is not tied to a thread.
unsafe impl Send for Reducer {}

impl Reducer {
    /// Creates a reducer of these parameters, in the same order on all ranks. Parameters that require no gradient are
    /// ignored. All ranks of the group must call it.
    ///
    /// The values of the parameters are not changed: make them equal on all ranks with [`ProcessGroup::broadcast`]
    /// first.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails, or number, shapes or dtypes differ from those of rank 0.
    pub fn new(
        group: &ProcessGroup,
        parameters: &[Tensor],
        settings: ReducerSettings,
    ) -> Result<Self, CollectiveError> {
        let trained: Vec<bool> = parameters.iter().map(Tensor::requires_grad).collect();
        let pointers = tensor_pointers(parameters.iter().filter(|parameter| parameter.requires_grad()));
        let ReducerSettings { bucket_bytes, first_bucket_bytes, find_unused } = settings;
        // SAFETY: group and parameters outlive the call, and the C++ reducer shares them. `Owned` frees it with the
        // shim's function.
        let raw = unsafe {
            Owned::make(raw::c10d_reducer_free, |reducer, message| {
                raw::c10d_reducer_new(
                    group.as_ptr(),
                    pointers.as_ptr(),
                    pointers.len(),
                    first_bucket_bytes,
                    bucket_bytes,
                    find_unused,
                    reducer,
                    message,
                )
            })
        };
        let raw = raw.map_err(|failure| group.failed("reducer", failure))?;
        Ok(Self { raw, trained, world: (group.rank(), group.world_size()), timeout: group.timeout() })
    }

    /// Returns the gradients of a loss `[]`, averaged over the ranks, with the same bytes on all ranks. There is one
    /// per parameter, in order; `None` if it requires no gradient or no rank's loss depends on it.
    ///
    /// All ranks must call it equally often. The parameters' own `grad` is empty before and after.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the backward pass or a collective fails. The reducer cannot be used any more
    /// then.
    pub fn backward(&mut self, loss: &Tensor) -> Result<Vec<Option<Tensor>>, CollectiveError> {
        let count = self.trained.iter().filter(|&&trained| trained).count();
        // SAFETY: the loss outlives the call, and the shim writes one tensor per parameter that it was given.
        let gradients = unsafe {
            make_tensors(count, |gradients, message| {
                raw::c10d_reducer_backward(self.raw.as_ptr(), tensor_pointer(loss), gradients, message)
            })
        };
        let gradients =
            gradients.map_err(|failure| CollectiveError::new(self.world, "backward", self.timeout, failure))?;
        let mut gradients = gradients.into_iter().map(|gradient| gradient.defined().then_some(gradient));
        Ok(self.trained.iter().map(|&trained| trained.then(|| gradients.next().flatten()).flatten()).collect())
    }
}
