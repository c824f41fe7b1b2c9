//! Image lists and folders, decoding, resizing as Pillow does, augmentation: plain buffers in and out.

mod augment;
mod batches;
mod bounded_read;
mod check;
mod class_names;
mod decode;
mod folder;
pub mod generated;
mod list;
mod names;
mod prefetch;
mod published;
mod resize;
mod rgb_image;
mod source;
mod split;
mod test_draw;
mod thumbnail;
mod transform;

pub use augment::*;
pub use batches::*;
pub use check::*;
pub use class_names::*;
pub use decode::{DecodeError, ExifOrientation, MAX_PIXELS, decode, decode_oriented};
pub use folder::*;
pub use list::*;
pub use names::*;
pub use published::*;
pub use resize::*;
pub use rgb_image::{ImageSizeError, RgbImage};
pub use source::*;
pub use split::*;
pub use test_draw::*;
pub use thumbnail::{Thumbnail, thumbnail};
pub use transform::*;
