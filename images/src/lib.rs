//! Images for training and evaluation: lists and folders, decoding and resizing like Pillow, augmentation, batches.
//!
//! The input is files and the output is plain buffers. The crate does not know tensors, networks or devices. Decoding,
//! resizing and color changes equal Pillow's and torchvision's byte for byte (unless a caller chooses
//! [`Decoding::Fast`]), and random choices depend only on the seed and the position of an image, not on the number of
//! threads.
//!
//! # The pieces
//!
//! * Lists of images: [`scan`] reads a folder and [`ImageList`] a list file; [`parse_classes`] and [`class_names`] name
//!   the classes; [`split()`], [`draw_test`] and [`imagenet100`] choose parts; [`check_images`] finds unreadable images.
//! * Single images: [`decode`], [`decode_oriented`] and [`read_image`] make an [`RgbImage`]; [`resize()`], [`crop`],
//!   [`adjust_hue`] and the other adjustments change it; [`thumbnail()`] makes a small one for a page.
//! * Transforms of torchvision: [`EvalTransform`] for evaluation, [`TrainTransform`] for training.
//! * Batches: [`Batches`] prepares images of an [`ImageSource`] with several threads, in an [`Order`], or a [`Shard`] of
//!   it.
//! * File names: [`EXTENSIONS`], [`is_ignored`], [`UnreadFormats`].
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
mod batch_options;
mod batches;
mod bounded_read;
mod check;
mod class_names;
mod decode;
mod fast;
mod folder;
pub mod generated;
mod list;
mod names;
mod plan;
mod planes;
mod prefetch;
mod published;
mod resize;
mod rgb_image;
mod source;
mod split;
mod test_draw;
mod thumbnail;
mod transform;

pub use augment::{
    ColorChange, CropArea, CropRule, TrainParameters, TrainTransform, adjust_brightness, adjust_contrast, adjust_hue,
    adjust_saturation, flip_horizontal,
};
pub use batch_options::{BatchOptions, ColorJitter, Decoding, Order, Shard, Transform};
pub use batches::{Batch, Batches};
pub use check::{UnreadableImage, check_images};
pub use class_names::{class_folders, class_names};
pub use decode::{DecodeError, ExifOrientation, MAX_PIXELS, decode, decode_oriented};
pub use folder::{
    ClassFolders, ClassesError, FolderError, all_images, image_paths, is_class_image, parse_classes, scan,
    scan_classes, scan_known_classes,
};
pub use list::{Entry, ImageList, ListError, MAX_LABEL};
pub use names::{EXTENSIONS, UnreadFormats, has_image_extension, is_ignored, is_newly_read, unread_extension};
pub use published::{imagenet100, imagenet100_classes, published_list_name};
pub use resize::{crop, resize, resize_box};
pub use rgb_image::{ImageSizeError, RgbImage};
pub use source::{BadImage, ImageSource, LoadError, Reading, read_image};
pub use split::{Split, SplitError, split};
pub use test_draw::{FEWEST_WITH_TEST, TestDraw, TestDrawError, draw_test};
pub use thumbnail::{Thumbnail, thumbnail};
pub use transform::EvalTransform;
