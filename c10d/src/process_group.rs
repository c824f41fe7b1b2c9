//! Process groups: collective operations of several ranks.

use std::ffi::{CString, c_int};
use std::ptr::null;
use std::time::Duration;

use tch::{Tensor, no_grad};

use crate::environment::Environment;
use crate::failure::{Cause, CollectiveError};
use crate::raw::{
    self, Failure, Message, Owned, RawGroup, call, make_tensor, make_tensors, milliseconds, tensor_pointer,
    tensor_pointers,
};
use crate::store::Store;

/// Whether this build supports NCCL, that is, its libtorch supports CUDA.
pub const NCCL_COMPILED: bool = cfg!(nccl);

/// How an all-reduce combines the ranks' tensors, entry by entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceOperation {
    /// The sum.
    Sum,
    /// The mean. Only for floating-point tensors.
    Mean,
    /// The maximum.
    Max,
}

/// The tensors of a batch norm other than its input, all `[C]` f32.
#[derive(Clone, Copy, Debug)]
pub struct BatchNormTensors<'a> {
    /// Scale.
    pub weight: &'a Tensor,
    /// Shift.
    pub bias: &'a Tensor,
    /// Running mean, updated in place.
    pub running_mean: &'a Tensor,
    /// Running variance (unbiased), updated in place.
    pub running_variance: &'a Tensor,
    /// Weight of the batch in the running statistics: `running = (1 - momentum) * running + momentum * batch`.
    pub momentum: f64,
    /// Added to the variance.
    pub epsilon: f64,
}

/// The connected ranks of a store.
///
/// All ranks must call the same functions in the same order. Each function documents which arguments must be equal on
/// all ranks. Each call blocks until this rank's part is done or the timeout of the group expires.
#[derive(Debug)]
pub struct ProcessGroup {
    raw: Owned<RawGroup>,
    rank: usize,
    world_size: usize,
    timeout: Duration,
}

// SAFETY: c10d's groups are not tied to a thread.
unsafe impl Send for ProcessGroup {}

impl ProcessGroup {
    /// Creates a group on CPUs with gloo. All ranks of the environment must call it. `timeout` also applies to each
    /// collective.
    ///
    /// Gloo uses the network interface of this host's name, or the one named by GLOO_SOCKET_IFNAME. If the ranks
    /// rendezvous on the loopback address, it uses the loopback interface.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the ranks cannot be connected in time.
    pub fn gloo(store: &Store, environment: &Environment, timeout: Duration) -> Result<Self, CollectiveError> {
        let master = environment.master();
        let loopback = master.is_loopback().then(|| CString::new(master.host.as_str()).ok()).flatten();
        let address = loopback.as_deref().map_or(null(), std::ffi::CStr::as_ptr);
        Self::connect(environment, timeout, "process group (gloo)", |rank, size, group, message| {
            // SAFETY: store and address outlive the call, and the shim writes a group allocated with `new`.
            unsafe { raw::c10d_gloo_new(store.as_ptr(), rank, size, milliseconds(timeout), address, group, message) }
        })
    }

    /// Creates a group on GPUs with NCCL. Each rank uses the GPU of its local rank. Otherwise it behaves like
    /// [`gloo`](ProcessGroup::gloo), except that a collective returns when it has been queued on the GPU.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the ranks cannot be connected in time, or this build has no NCCL
    /// ([`NCCL_COMPILED`]).
    pub fn nccl(store: &Store, environment: &Environment, timeout: Duration) -> Result<Self, CollectiveError> {
        const NAME: &str = "process group (nccl)";
        #[cfg(nccl)]
        return Self::connect(environment, timeout, NAME, |rank, size, group, message| {
            // SAFETY: the store outlives the call, and the shim writes a group allocated with `new`.
            unsafe { raw::c10d_nccl_new(store.as_ptr(), rank, size, milliseconds(timeout), group, message) }
        });
        #[cfg(not(nccl))]
        {
            let _ = (store, timeout);
            let message = "this build does not support NCCL, because its libtorch does not support CUDA\nhint: use the CPU, or build with a CUDA libtorch";
            let (rank, world_size) = (environment.rank(), environment.world_size());
            let cause = Cause::Refused { message: message.to_owned() };
            Err(CollectiveError { rank, world_size, operation: NAME, cause })
        }
    }

    fn connect(
        environment: &Environment,
        timeout: Duration,
        operation: &'static str,
        make: impl FnOnce(c_int, c_int, *mut *mut RawGroup, Message) -> c_int,
    ) -> Result<Self, CollectiveError> {
        let (rank, world_size) = (environment.rank(), environment.world_size());
        let small = |number| c_int::try_from(number).expect("an environment's ranks fit in 32 bits");
        // SAFETY: `make` is one of the two above, and `Owned` frees the group with the shim's function.
        let raw = unsafe {
            Owned::make(raw::c10d_group_free, |group, message| make(small(rank), small(world_size), group, message))
        };
        let raw = raw.map_err(|failure| CollectiveError::new((rank, world_size), operation, timeout, failure))?;
        Ok(Self { raw, rank, world_size, timeout })
    }

    /// Index of this rank, from 0.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Number of ranks.
    pub fn world_size(&self) -> usize {
        self.world_size
    }

    /// Reduces the ranks' tensors of one shape and dtype, in place. All ranks get the same bytes.
    ///
    /// Autograd does not record it. For a gradient, use [`sum_over_ranks`](ProcessGroup::sum_over_ranks).
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails. The values of the tensor are undefined then.
    pub fn all_reduce(&self, tensor: &mut Tensor, operation: ReduceOperation) -> Result<(), CollectiveError> {
        const NAME: &str = "all_reduce";
        if operation == ReduceOperation::Mean && !tensor.is_floating_point() {
            return Err(self.refused(NAME, format!("there is no mean of {:?} tensors", tensor.kind())));
        }
        // `c10d::ReduceOp::RedOpType`. The mean is computed from a sum, because gloo does not implement it.
        let number = match operation {
            ReduceOperation::Sum | ReduceOperation::Mean => 0,
            ReduceOperation::Max => 4,
        };
        self.collective(NAME, |group, message| {
            // SAFETY: the tensor outlives the call.
            unsafe { raw::c10d_all_reduce(group, tensor_pointer(tensor), number, message) }
        })?;
        if operation == ReduceOperation::Mean {
            no_grad(|| {
                let _ = tensor.detach().g_div_scalar_(self.world_size as f64);
            });
        }
        Ok(())
    }

    /// Copies the values of rank `root` to the tensors of all other ranks. Number, shapes and dtypes must be equal on
    /// all ranks.
    ///
    /// The tensors are written in place, so a network that shares them has the new values. Small tensors are combined
    /// into a few large transfers.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails. The values of the tensors are undefined then.
    pub fn broadcast(&self, tensors: &[Tensor], root: usize) -> Result<(), CollectiveError> {
        const NAME: &str = "broadcast";
        let pointers = tensor_pointers(tensors);
        let root = match c_int::try_from(root) {
            Ok(small) if root < self.world_size => small,
            _ => return Err(self.refused(NAME, format!("there is no rank {root}"))),
        };
        self.collective(NAME, |group, message| {
            // SAFETY: the tensors outlive the call.
            unsafe { raw::c10d_broadcast(group, pointers.as_ptr(), pointers.len(), root, message) }
        })
    }

    /// Returns the tensors of all ranks, by rank. They must have one shape and dtype.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails.
    pub fn all_gather(&self, tensor: &Tensor) -> Result<Vec<Tensor>, CollectiveError> {
        // SAFETY: the shim writes one tensor per rank.
        let gathered = unsafe {
            make_tensors(self.world_size, |gathered, message| {
                raw::c10d_all_gather(self.raw.as_ptr(), tensor_pointer(tensor), gathered, message)
            })
        };
        gathered.map_err(|failure| self.failed("all_gather", failure))
    }

    /// Returns the sum of the ranks' tensors of one shape and dtype, recorded by autograd: the gradient of a rank's
    /// tensor is the sum of all ranks' gradients of the result.
    ///
    /// The backward pass is a collective too: all ranks must run it in the same order. A failure is reported like those
    /// of other autograd functions: as an error of [`Reducer::backward`](crate::Reducer::backward), and as a panic in
    /// tch's own `backward`.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails.
    pub fn sum_over_ranks(&self, tensor: &Tensor) -> Result<Tensor, CollectiveError> {
        // SAFETY: the shim writes one tensor.
        let sum = unsafe {
            make_tensor(|sum, message| {
                raw::c10d_sum_over_ranks(self.raw.as_ptr(), tensor_pointer(tensor), sum, message)
            })
        };
        sum.map_err(|failure| self.failed("sum_over_ranks", failure))
    }

    /// Batch norm in training with the statistics of the batches of all ranks. Returns `x`, `[N, C, …]`, normalized.
    ///
    /// Up to rounding, the result equals that of a single process with all batches. The ranks' batches may differ in
    /// size. The forward and the backward pass are one collective each; for the latter see
    /// [`sum_over_ranks`](ProcessGroup::sum_over_ranks). `x` may have a lower precision than f32.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails.
    pub fn batch_norm(&self, x: &Tensor, norm: &BatchNormTensors<'_>) -> Result<Tensor, CollectiveError> {
        let BatchNormTensors { weight, bias, running_mean, running_variance, momentum, epsilon } = *norm;
        // SAFETY: all tensors outlive the call, and the shim writes one tensor.
        let y = unsafe {
            make_tensor(|y, message| {
                raw::c10d_batch_norm(
                    self.raw.as_ptr(),
                    tensor_pointer(x),
                    tensor_pointer(weight),
                    tensor_pointer(bias),
                    tensor_pointer(running_mean),
                    tensor_pointer(running_variance),
                    momentum,
                    epsilon,
                    y,
                    message,
                )
            })
        };
        y.map_err(|failure| self.failed("batch_norm", failure))
    }

    /// Waits until all ranks have called it.
    ///
    /// # Errors
    /// Returns [`CollectiveError`] if the collective fails. With gloo, the error on rank 0 names every missing rank.
    pub fn barrier(&self) -> Result<(), CollectiveError> {
        self.collective("barrier", |group, message| {
            // SAFETY: the group outlives the call.
            unsafe { raw::c10d_barrier(group, milliseconds(self.timeout), message) }
        })
    }

    /// The C++ group, for a call.
    pub(crate) fn as_ptr(&self) -> *mut RawGroup {
        self.raw.as_ptr()
    }

    /// Converts a failure of this group's collective to an error.
    pub(crate) fn failed(&self, operation: &'static str, failure: Failure) -> CollectiveError {
        CollectiveError::new((self.rank, self.world_size), operation, self.timeout, failure)
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    fn refused(&self, operation: &'static str, message: String) -> CollectiveError {
        CollectiveError { rank: self.rank, world_size: self.world_size, operation, cause: Cause::Refused { message } }
    }

    fn collective(
        &self,
        operation: &'static str,
        function: impl FnOnce(*mut RawGroup, Message) -> c_int,
    ) -> Result<(), CollectiveError> {
        call(|message| function(self.raw.as_ptr(), message)).map_err(|failure| self.failed(operation, failure))
    }
}
