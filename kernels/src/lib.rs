//! Fused kernels for training and testing on CPUs.
//!
//! A training step on a CPU is bound by memory: libtorch passes over a feature map once for the statistics of a batch norm, once to
//! normalize, once for the activation, once for an addition, and as often again backward. The kernels here do in two passes forward
//! and two backward what libtorch does in eight or more, and save no intermediate results.

#![allow(unsafe_code, reason = "this crate is a border to C++")]
#![warn(clippy::undocumented_unsafe_blocks)]

mod activation;
mod batch_norm;
mod depthwise;
mod instruction_set;
mod raw;
mod squeeze_excite;

use tch::Tensor;

pub use activation::Activation;
pub use batch_norm::{BatchNorm, Shortcut, batch_norm};
pub use depthwise::{depthwise, depthwise_for_evaluation, has_depthwise};
pub use instruction_set::{InstructionSet, choose_instruction_set, instruction_set};
pub use squeeze_excite::{SqueezeExcite, squeeze_excite};

/// A call that a kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KernelError {
    message: String,
}

/// Returns whether the kernels take a tensor as `x`: an f32 feature map `[N, C, H, W]` with at least one number, in channels-last
/// order, on a CPU with AVX2, while CPUs have no autocast.
pub fn take(x: &Tensor) -> bool {
    // SAFETY: the tensor outlives the call, which only reads its description.
    unsafe { raw::tfnas_kernels_take(raw::pointer(x)) }
}
