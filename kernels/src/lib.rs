//! Fused kernels for training and testing on CPUs: batch norm with activation and shortcut, depthwise convolutions, and
//! squeeze-excite, forward and backward.
//!
//! On a CPU these operations are limited by memory. libtorch passes over a feature map for the statistics of a batch norm, to
//! normalize, for the activation and for the addition of the shortcut, and as often again in the backward pass. A kernel here takes two
//! passes forward and two backward, and saves only its input: the backward pass computes the normalized values and the activation
//! again. The depthwise convolutions take any number of channels; oneDNN's backward pass is several times slower if that number is not a
//! multiple of its vectors.
//!
//! # Example
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use tfnas_kernels::{Activation, BatchNorm, batch_norm, take};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Channels-last: the memory of [N, H, W, C], seen as [N, C, H, W].
//! let x = Tensor::randn([2, 8, 8, 24], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]).set_requires_grad(true);
//! let norm = BatchNorm { momentum: 0.1, epsilon: 1e-5, activation: Activation::Silu, ..BatchNorm::default() };
//! let y = if take(&x) {
//!     batch_norm(&x, &norm)?
//! } else {
//!     let none = None::<&Tensor>;
//!     x.batch_norm(none, none, none, none, true, 0.1, 1e-5, true).silu()
//! };
//! y.sum(Kind::Float).backward();
//! assert_eq!(x.grad().size(), [2, 24, 8, 8]);
//! # Ok(())
//! # }
//! ```
//!
//! # What the kernels refuse
//!
//! [`take`] returns false for other types than f32, other devices than the CPU, other memory orders than channels-last, empty
//! tensors, a CPU without AVX2 (or another architecture than x86-64), while autocast for CPUs is on, and while a module is traced. The caller then composes
//! the operation from libtorch's own, whose results differ by rounding only. A kernel that is called nevertheless returns a
//! [`KernelError`], as for weights of a wrong shape. Batch norm with the statistics of several ranks is not among the kernels,
//! depthwise convolutions have kernels of 3 or 5 and strides of 1 or 2 ([`has_depthwise`]), and none has a second derivative.
//!
//! # Exactness
//!
//! Sums over pixels are f64, or f64 sums of at most 128 products (or of one row) in f32. The tests compare outputs, gradients and
//! running statistics with libtorch's operations in f64: the kernels are about as close as libtorch's f32, or closer.
//!
//! Results are the same bytes with any number of threads, because work is divided by the shape of a tensor only, and partial
//! sums are added in order. The two linear layers of squeeze-excite are libtorch's, which does not promise that. They are also the
//! same bytes with AVX2 and AVX-512: both compute the same operations, with fused multiply-add where the source says so.
//!
//! # Safety
//!
//! This crate and `tfnas-c10d` are the ones with `unsafe` code: calls into the C++ shim (`shim/`), in which no exception leaves a
//! function, every pointer is used within the call, and shapes, types and memory orders are checked before memory is read.

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
