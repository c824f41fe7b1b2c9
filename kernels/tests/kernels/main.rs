//! The kernels compared with libtorch's own operations.

mod batch_norm;
mod bf16;
mod compare;
mod depthwise;
mod pointwise;
mod reproducible;
mod squeeze_excite;
