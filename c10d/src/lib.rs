//! Bindings of PyTorch's implementations of distributed training and mixed precision: c10d's store, process groups and
//! reducer, autocast, gradient scaling, and libtorch's profiler. The crate is independent of networks, data and the
//! method.
//!
//! # Modules
//!
//! * [`environment`]: torchrun's variables: the rank of this process and the number of ranks.
//! * [`store`], [`mod@rendezvous`]: the key-value store, and how ranks find each other in it.
//! * [`process_group`]: collectives: all-reduce, broadcast, all-gather, barrier; and, with gradients, a sum over ranks
//!   and a batch norm over ranks.
//! * [`reducer`]: a backward pass that averages its gradients over ranks while it runs.
//! * [`mod@autocast`], [`grad_scaler`]: bf16 and f16.
//! * [`cuda`]: numerics, memory, time and copies of CUDA devices, and optimizer steps on many tensors at once.
//! * [`profiler`]: a recording of the operations of some steps.
//!
//! # Example
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tch::Tensor;
//! # use tfnas_c10d::{Environment, ProcessGroup, Reducer, ReducerSettings, rendezvous};
//! # fn step(parameters: &[Tensor], loss: impl Fn() -> Tensor) -> Result<(), Box<dyn std::error::Error>> {
//! let Some(environment) = Environment::read()? else {
//!     return Ok(()); // The process runs alone.
//! };
//! let timeout = Duration::from_secs(20);
//! let store = rendezvous(&environment, timeout)?;
//! let group = ProcessGroup::gloo(&store, &environment, timeout)?;
//! group.broadcast(parameters, 0)?;
//! let mut reducer = Reducer::new(&group, parameters, ReducerSettings::default())?;
//! let gradients = reducer.backward(&loss())?;
//! # drop(gradients);
//! # Ok(())
//! # }
//! ```
//!
//! # Ownership
//!
//! Each type owns its C++ object and frees it when dropped. A group shares the store that it was made from. A reducer,
//! and every graph that contains a [`sum_over_ranks`](ProcessGroup::sum_over_ranks), shares its group. A store's server
//! therefore lives until the last of them is dropped. After that, the groups of the other ranks continue to work, but
//! no new group can be made. Dropping a group waits for running collectives, at most for its timeout.
//!
//! # Blocking and failures
//!
//! Every collective blocks until this rank's part is done. All ranks must call the same collectives in the same order,
//! with tensors of the same shape and dtype. When the process of a peer ends, the ranks that communicate with it fail
//! at once, because the connection breaks. A peer that hangs or calls other collectives is detected by the group's
//! timeout. Both are reported as a [`CollectiveError`] with this rank, the operation and the known cause; a gloo
//! barrier on rank 0 names the missing ranks. A group cannot be used after an error: report it and end the process, so
//! that the other ranks fail too.
//!
//! c10d also writes warnings with C++ stack traces to standard error. To suppress them, set TORCH_CPP_LOG_LEVEL to
//! FATAL.
//!
//! # Safety
//!
//! This crate and `tfnas-kernels` are the ones with `unsafe` code: calls into the C++ shim (`shim/`). No exception
//! leaves a function of the shim, and every pointer is used only during the call or owned by the object it was passed
//! to.

#![allow(unsafe_code, reason = "this crate calls C++")]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod autocast;
pub mod cuda;
pub mod environment;
mod failure;
pub mod grad_scaler;
pub mod process_group;
pub mod profiler;
mod raw;
pub mod reducer;
pub mod rendezvous;
pub mod store;

pub use autocast::{Precision, autocast};
pub use environment::Environment;
pub use failure::{Cause, CollectiveError};
pub use grad_scaler::{GradScaler, GradScalerSettings};
pub use process_group::{BatchNormTensors, NCCL_COMPILED, ProcessGroup, ReduceOperation};
pub use reducer::{Reducer, ReducerSettings};
pub use rendezvous::rendezvous;
pub use store::Store;
