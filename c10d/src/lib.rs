//! PyTorch's own engines for many processes and for mixed precision, from Rust: c10d's store, process groups and reducer,
//! autocast, and gradient scaling.
//!
//! # The pieces
//!
//! * [`environment`]: torchrun's variables, which say which rank of how many this process is.
//! * [`store`], [`mod@rendezvous`]: the key-value store that ranks find each other by, and how they meet in it.
//! * [`process_group`]: collectives: all-reduce, broadcast, all-gather, barrier; and, with gradients, a sum over ranks and a
//!   batch norm over ranks.
//! * [`reducer`]: a backward pass whose gradients are averaged over ranks while it goes on.
//! * [`mod@autocast`], [`grad_scaler`]: bf16 and f16.
//! * [`cuda`]: numerics, memory, time and copies of CUDA devices, and optimizer steps on many tensors at once.
//!
//! # A step on many processes
//!
//! ```no_run
//! # use std::time::Duration;
//! # use tch::Tensor;
//! # use tfnas_c10d::{Environment, ProcessGroup, Reducer, ReducerSettings, rendezvous};
//! # fn step(parameters: &[Tensor], loss: impl Fn() -> Tensor) -> Result<(), Box<dyn std::error::Error>> {
//! let Some(environment) = Environment::read()? else {
//!     return Ok(()); // A process on its own.
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
//! # Who owns what
//!
//! Each type owns its C++ object and frees it when dropped. A group shares the store that it was made from, a reducer and
//! every graph with a [`sum_over_ranks`](ProcessGroup::sum_over_ranks) in it share their group: so a store's server lives
//! until the last of them is gone. When it does, the other ranks' groups go on, but no new one can be made.
//! Dropping a group waits for collectives that are still under way, at most its timeout.
//!
//! # What blocks, and what a dead peer does
//!
//! Every collective blocks until this rank's part is done, and every rank must call the same ones in the same order, with
//! tensors of the same shape and dtype. A peer whose process has ended is noticed at once by those that talk to it, since
//! its connections break; one that hangs, or has left the order, by the group's timeout. Both are a [`CollectiveError`]
//! that names this rank, the operation and what is known of the cause; a barrier of gloo, on rank 0, names the missing ranks.
//! After an error a group is of no more use: report it, and end the process, by which the others learn of it too.
//!
//! c10d writes warnings with C++ stack traces to standard error as well; a launcher that does not want them sets
//! TORCH_CPP_LOG_LEVEL to FATAL.
//!
//! # Safety
//!
//! This crate and `tfnas-kernels` are the ones of the project with `unsafe` code: calls into the C++ shim (`shim/`), in which no exception leaves
//! a function and every pointer is used within the call or owned by the object it was given to.

#![allow(unsafe_code, reason = "this crate is the border to C++")]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod autocast;
pub mod cuda;
pub mod environment;
mod failure;
pub mod grad_scaler;
pub mod process_group;
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
