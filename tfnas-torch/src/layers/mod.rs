//! The layers of the supernet and of derived networks. Each layer owns its tensors.
//!
//! Feature maps are f32, `[N, C, H, W]` in channels-last order. The names and the order of the tensors are those of the
//! authors' modules.

mod activation;
mod batch_norm;
mod conv;
mod conv_layer;
mod fused;
mod head;
mod linear;
mod mb_conv;
mod pool;
mod squeeze_excite;
mod stem;

pub use batch_norm::{BatchNorm, Normalization};
pub use conv::Conv;
pub use conv_layer::ConvLayer;
pub use head::Head;
pub use linear::Linear;
pub use mb_conv::MbConv;
pub use squeeze_excite::SqueezeExcite;
pub use stem::Stem;
