//! Image lists and folders, decoding, resizing as Pillow does, augmentation: plain buffers in and out.

mod augment;
mod bounded_read;
mod decode;
mod folder;
pub mod generated;
mod list;
mod loader;
mod published;
mod resize;
mod split;
mod transform;

pub use augment::*;
pub use decode::{DecodeError, ImageSizeError, MAX_PIXELS, RgbImage, decode};
pub use folder::*;
pub use list::*;
pub use loader::*;
pub use published::*;
pub use resize::*;
pub use split::*;
pub use transform::*;
