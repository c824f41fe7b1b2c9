//! Gradients averaged over ranks, while the backward pass goes on.

use std::time::Duration;

use tch::Tensor;

use crate::failure::CollectiveError;
use crate::process_group::ProcessGroup;
use crate::raw::{self, Owned, RawReducer, make_tensors, tensor_pointer, tensor_pointers};

/// How a [`Reducer`] groups gradients; the defaults are those of PyTorch's `DistributedDataParallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReducerSettings {
    /// Bytes of gradients that travel together.
    pub bucket_bytes: usize,
    /// Bytes of the first bucket: a small one lets the first transfer begin early.
    pub first_bucket_bytes: usize,
    /// Whether a parameter may have no part in a rank's loss. Each backward pass then looks through its graph first; without it,
    /// such a parameter is an error.
    pub find_unused: bool,
}

impl Default for ReducerSettings {
    fn default() -> Self {
        Self { bucket_bytes: 25 << 20, first_bucket_bytes: 1 << 20, find_unused: false }
    }
}

/// Averages the gradients of some parameters over the ranks of a group: c10d's `Reducer`.
///
/// As gradients come in, they are copied into buckets; a bucket that is full is all-reduced while the backward pass computes the
/// others. The order of buckets is that in which the first backward pass on rank 0 had its gradients.
///
/// It shares the parameters with their network, and has hooks on them until it is dropped: there must be one reducer of a
/// parameter at a time, and every backward pass through its parameters' own `grad` must be its own. (Gradients by
/// `Tensor::run_backward` do not call the hooks, and so stay those of the rank.)
#[derive(Debug)]
pub struct Reducer {
    raw: Owned<RawReducer>,
    /// Which of the parameters require a gradient, and so are the C++ reducer's.
    trained: Vec<bool>,
    world: (usize, usize),
    timeout: Duration,
}

// SAFETY: c10d's reducer has no tie to a thread.
unsafe impl Send for Reducer {}

impl Reducer {
    /// A reducer of these parameters, in an order that is the same on all ranks. Those that require no gradient take no
    /// part. All ranks of the group must make it together.
    ///
    /// The parameters' values are not touched: give all ranks the same by [`ProcessGroup::broadcast`] first.
    ///
    /// # Errors
    /// [`CollectiveError`]; also where number, shapes or dtypes are not those of rank 0.
    pub fn new(
        group: &ProcessGroup,
        parameters: &[Tensor],
        settings: ReducerSettings,
    ) -> Result<Self, CollectiveError> {
        let trained: Vec<bool> = parameters.iter().map(Tensor::requires_grad).collect();
        let pointers = tensor_pointers(parameters.iter().filter(|parameter| parameter.requires_grad()));
        let ReducerSettings { bucket_bytes, first_bucket_bytes, find_unused } = settings;
        // SAFETY: group and parameters outlive the call, and the C++ reducer shares them; it is freed as the shim says.
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

    /// The gradients of a loss `[]`, each the mean of the ranks' own, the same bytes on all ranks: one for each parameter, in
    /// their order; none for one that takes no part, or that no rank's loss depends on.
    ///
    /// Every rank must call it as often as the others. The parameters' own `grad` is empty before and after.
    ///
    /// # Errors
    /// [`CollectiveError`]; the reducer is of no more use then.
    pub fn backward(&mut self, loss: &Tensor) -> Result<Vec<Option<Tensor>>, CollectiveError> {
        let count = self.trained.iter().filter(|&&trained| trained).count();
        // SAFETY: the loss outlives the call; the shim writes one tensor for each parameter that it was given.
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
