//! Fused kernels for training and testing on CPUs: batch norm with activation and residual connection, depthwise
//! convolutions, and squeeze-excite, forward and backward.
//!
//! On a CPU these operations are bound by memory bandwidth. libtorch passes over a feature map for the statistics of a
//! batch norm, for the normalization, for the activation and for the residual addition, and as often in the backward
//! pass. These kernels take two passes forward and two backward, and save only the input: the backward pass recomputes
//! the normalized values and the activation. The depthwise convolutions are fast for any number of channels; oneDNN's
//! backward pass is several times slower if that number is not a multiple of its vector size.
//!
//! Where a weight is frozen, as in the architecture steps of a search, convolutions do not keep their input:
//! [`depthwise`], and [`frozen_pointwise`] for 1x1 convolutions, which are libtorch's otherwise.
//!
//! # Example
//!
//! ```
//! use tch::{Device, Kind, Tensor};
//! use tfnas_kernels::{Activation, BatchNorm, batch_norm, is_supported};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Channels-last: the memory of [N, H, W, C], seen as [N, C, H, W].
//! let x = Tensor::randn([2, 8, 8, 24], (Kind::Float, Device::Cpu)).permute([0, 3, 1, 2]).set_requires_grad(true);
//! let norm = BatchNorm { momentum: 0.1, epsilon: 1e-5, activation: Activation::Silu, ..BatchNorm::default() };
//! let y = if is_supported(&x) {
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
//! # bf16
//!
//! Feature maps may be bf16, which halves the memory that is read and written. Kernels compute in f32 and f64 as for f32
//! maps, and round the result to nearest, ties to even: the output is that of the f32 kernel for the same numbers, rounded.
//! Weights, biases and statistics stay f32, and so do their gradients; the gradient of a bf16 map is bf16. The instructions
//! used are those of AVX2 or AVX-512, not AVX512_BF16. Under CPU autocast a kernel takes maps of autocast's dtype, which
//! libtorch's convolutions return there, and computes outside autocast.
//!
//! # Unsupported inputs
//!
//! [`is_supported`] returns false for dtypes other than f32 and bf16, devices other than the CPU, memory orders other than
//! channels-last, empty tensors, CPUs without AVX2 (or architectures other than x86-64), maps of another dtype than that of
//! active CPU autocast, and while tracing is active. The caller then uses libtorch's own operations, whose results differ only by rounding. A kernel
//! that is called nevertheless returns a [`KernelError`], as it does for weights of a wrong shape. Synchronized batch
//! norm is not implemented, depthwise convolutions support kernels of 3 or 5 and strides of 1 or 2 ([`has_depthwise`]),
//! and no kernel has a second derivative.
//!
//! # Accuracy and reproducibility
//!
//! Sums over pixels are computed in f64, or as f64 sums of at most 128 products (or of one row) in f32. The tests
//! compare outputs, gradients and running statistics with libtorch's operations in f64: the error of the kernels is
//! about that of libtorch's f32, or smaller.
//!
//! Results do not depend on the number of threads, because work is divided by the shape of a tensor only, and partial
//! sums are added in order. (The two linear layers of squeeze-excite are libtorch's, which does not guarantee this.)
//! AVX2 and AVX-512 give the same bytes: both compute the same operations, with fused multiply-add where the source
//! specifies it.
//!
//! # Safety
//!
//! This crate and `tfnas-c10d` are the only ones with `unsafe` code: calls into the C++ shim (`shim/`). No exception
//! leaves a function of the shim, every pointer is used only during the call, and shapes, dtypes and memory orders are
//! checked before memory is read.

#![allow(unsafe_code, reason = "this crate calls C++")]
#![warn(clippy::undocumented_unsafe_blocks)]

mod activation;
mod batch_norm;
mod depthwise;
mod instruction_set;
mod pointwise;
mod raw;
mod squeeze_excite;

use tch::Tensor;

pub use activation::Activation;
pub use batch_norm::{BatchNorm, Shortcut, batch_norm};
pub use depthwise::{depthwise, depthwise_for_evaluation, has_depthwise};
pub use instruction_set::{InstructionSet, choose_instruction_set, instruction_set};
pub use pointwise::frozen_pointwise;
pub use squeeze_excite::{SqueezeExcite, squeeze_excite};

/// A kernel was called with unsupported arguments.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KernelError {
    message: String,
}

/// Returns whether the kernels support a tensor as `x`: a non-empty f32 or bf16 feature map `[N, C, H, W]` in channels-last
/// order, on a CPU with AVX2. While CPU autocast is active, only a map of its dtype is supported.
pub fn is_supported(x: &Tensor) -> bool {
    // SAFETY: the tensor outlives the call, which only reads its metadata.
    unsafe { raw::tfnas_kernels_supports(raw::pointer(x)) }
}
