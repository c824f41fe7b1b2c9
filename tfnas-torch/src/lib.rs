//! The TF-NAS method on libtorch: supernet, derived network, losses, optimisers, training, timing of blocks.

pub mod derived;
pub mod device;
pub mod drop_masks;
pub mod full_state;
pub mod gradient;
pub mod gumbel;
pub mod initialise;
pub mod layers;
pub mod loss;
mod mixed_block;
mod mixed_group;
pub mod named_tensors;
pub mod optim;
pub mod preprocess;
pub mod search_step;
pub mod supernet;
pub mod timing;
pub mod train_step;
pub mod weights;

pub use named_tensors::{Module, NamedTensors, Role};
