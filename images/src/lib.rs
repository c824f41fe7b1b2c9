//! Images for training and evaluation: lists and folders, decoding and resizing like Pillow, augmentation, batches.
//!
//! The input is files and the output is plain buffers. The crate does not know tensors, networks or devices. Decoding,
//! resizing and color changes equal Pillow's and torchvision's byte for byte, and random choices depend only on the
//! seed and the position of an image, not on the number of threads.
//!
//! * [`scan`], [`ImageList`], [`parse_classes`]: the images of a folder or list file and their labels; [`split()`],
//!   [`draw_test`], [`imagenet100`]: parts of them; [`check_images`]: finds unreadable ones.
//! * [`decode`], [`decode_oriented`], [`resize()`], [`crop`]: images as [`RgbImage`]; [`EvalTransform`],
//!   [`TrainTransform`]: the transforms of torchvision.
//! * [`ImageSource`], [`Batches`]: batches prepared by threads.
//! * [`generated`]: a synthetic data set.
//!
//! ```
//! use tfnas_images::{EvalTransform, RgbImage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let image = RgbImage::new(64, 48, vec![128; 64 * 48 * 3])?;
//! let evaluated = EvalTransform { resize: 36, resolution: 32 }.apply(&image);
//! assert_eq!((evaluated.width, evaluated.height), (32, 32));
//! # Ok(())
//! # }
//! ```

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
