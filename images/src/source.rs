//! Image sources: decode the images of a list and cache small data sets in memory.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use image::metadata::Orientation;

use crate::bounded_read::read_bounded;
use crate::decode::{is_jpeg, open_jpeg};
use crate::fast::{self, Workspace};
use crate::rgb_image::CHANNELS;
use crate::{
    DecodeError, Entry, ExifOrientation, ImageList, RgbImage, TrainParameters, TrainTransform, decode_oriented,
};

/// Memory for decoded images that are kept between epochs, in bytes. A small data set is decoded only once.
const KEPT_BYTES: usize = 256 << 20;

/// Maximum size of an image file in bytes. ImageNet's largest has 16 MB.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// How an image that cannot be decoded is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadImage {
    /// It ends the loading, named.
    Error,
    /// Its batch is delivered without it.
    Skip,
}

/// How images are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// How images that cannot be decoded are handled.
    pub on_bad: BadImage,
    /// How the orientation in the metadata is handled.
    pub orientation: ExifOrientation,
}

impl From<BadImage> for Reading {
    /// Ignores the orientation.
    fn from(on_bad: BadImage) -> Self {
        Self { on_bad, orientation: ExifOrientation::Ignore }
    }
}

/// Why no batch could be delivered.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read the image {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file is not an image, or is broken.
    #[error("{} is not a complete image: {source}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: DecodeError,
    },
    /// The program failed over an image.
    #[error("the image {} made this program fail: this is a bug, please report it with the file", path.display())]
    Panic {
        /// The file.
        path: PathBuf,
    },
    /// A thread ended without delivering.
    #[error("a decoding thread exited without returning its images: this is a bug, please report it")]
    Thread,
}

/// Images by list under a root, decoded on demand. A clone shares the images that are kept in memory.
#[derive(Clone)]
pub struct ImageSource(Arc<Images>);

struct Images {
    root: PathBuf,
    list: ImageList,
    reading: Reading,
    /// The images that were skipped, by their positions.
    skipped: Mutex<BTreeSet<usize>>,
    /// Boxed, because most images of a large data set are not kept.
    kept: Vec<OnceLock<Box<Kept>>>,
    kept_bytes: AtomicUsize,
}

/// A decoded image that is kept.
struct Kept {
    image: RgbImage,
    is_jpeg: bool,
}

impl ImageSource {
    /// The images of `list` under `root`.
    pub fn new(root: &Path, list: ImageList, reading: impl Into<Reading>) -> Self {
        let kept = list.entries().iter().map(|_| OnceLock::new()).collect();
        Self(Arc::new(Images {
            root: root.to_owned(),
            list,
            reading: reading.into(),
            skipped: Mutex::default(),
            kept,
            kept_bytes: AtomicUsize::new(0),
        }))
    }

    /// Returns the images that were skipped so far, by their paths in the list and in its order.
    pub fn skipped(&self) -> Vec<&str> {
        let skipped = self.0.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped.iter().map(|&position| self.0.list.entries()[position].path.as_str()).collect()
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.0.list.len()
    }

    /// Returns whether the source has no images.
    pub fn is_empty(&self) -> bool {
        self.0.list.entries().is_empty()
    }

    /// The classes of the images, in the order of the list.
    pub fn labels(&self) -> impl Iterator<Item = u32> {
        self.0.list.entries().iter().map(|entry| entry.label)
    }

    /// Returns the path of the image at a position of the list, as in the list.
    pub fn path(&self, position: usize) -> &str {
        &self.entry(position).path
    }

    /// The image at a position of the list, and its class.
    pub(crate) fn entry(&self, position: usize) -> &Entry {
        &self.0.list.entries()[position]
    }

    /// Calls `then` with the decoded image at `position`. `buffer` is reused memory for the file. Returns `None` for an
    /// image that is skipped.
    pub(crate) fn with_image<T>(
        &self,
        position: usize,
        buffer: &mut Vec<u8>,
        then: impl FnOnce(&RgbImage) -> T,
    ) -> Result<Option<T>, LoadError> {
        self.load(position, |images| images.with_image(position, buffer, then))
    }

    /// Calls `then` with the image at `position` and what `draw` returns for its size. Rows below the drawn crop may be missing.
    /// `buffer` is reused memory for the file. Returns `None` for an image that is skipped.
    pub(crate) fn with_crop<T>(
        &self,
        position: usize,
        buffer: &mut Vec<u8>,
        draw: impl FnOnce(usize, usize) -> TrainParameters,
        then: impl FnOnce(&RgbImage, &TrainParameters) -> T,
    ) -> Result<Option<T>, LoadError> {
        self.load(position, |images| images.with_crop(position, buffer, draw, then))
    }

    /// Makes a training image in the planes of the workspace, faster than exactly. `draw` gets the size of the upright
    /// image. Returns `None` for an image that is skipped.
    pub(crate) fn train_image(
        &self,
        position: usize,
        transform: &TrainTransform,
        draw: impl FnOnce(usize, usize) -> TrainParameters,
        workspace: &mut Workspace,
    ) -> Result<Option<()>, LoadError> {
        self.load(position, |images| images.train_image(position, transform, draw, workspace))
    }

    /// Loads the image at `position`, or returns `None` if it is skipped.
    fn load<T>(
        &self,
        position: usize,
        load: impl FnOnce(&Images) -> Result<T, LoadError>,
    ) -> Result<Option<T>, LoadError> {
        let images = &*self.0;
        match guarded(|| images.path(position), || load(images)) {
            Err(LoadError::Decode { .. }) if images.reading.on_bad == BadImage::Skip => {
                images.skipped.lock().unwrap_or_else(PoisonError::into_inner).insert(position);
                Ok(None)
            }
            result => result.map(Some),
        }
    }
}

impl Images {
    fn path(&self, position: usize) -> PathBuf {
        self.root.join(&self.list.entries()[position].path)
    }

    fn with_image<T>(
        &self,
        position: usize,
        buffer: &mut Vec<u8>,
        then: impl FnOnce(&RgbImage) -> T,
    ) -> Result<T, LoadError> {
        if let Some(kept) = self.kept[position].get() {
            return Ok(then(&kept.image));
        }
        let image = read(&self.path(position), self.reading.orientation, buffer)?;
        let result = then(&image);
        self.keep(position, Kept { image, is_jpeg: is_jpeg(buffer) });
        Ok(result)
    }

    fn with_crop<T>(
        &self,
        position: usize,
        buffer: &mut Vec<u8>,
        draw: impl FnOnce(usize, usize) -> TrainParameters,
        then: impl FnOnce(&RgbImage, &TrainParameters) -> T,
    ) -> Result<T, LoadError> {
        if let Some(kept) = self.kept[position].get() {
            return Ok(then(&kept.image, &draw(kept.image.width, kept.image.height)));
        }
        let path = self.path(position);
        read_file(&path, buffer)?;
        let broken = |source| LoadError::Decode { path: path.clone(), source };
        let image = match open_jpeg(buffer, self.reading.orientation).map_err(broken)? {
            Some((mut jpeg, Orientation::NoTransforms)) if self.is_too_large(jpeg.size()) => {
                let (width, height) = jpeg.size();
                let drawn = draw(width, height);
                jpeg.keep_exact_rows(drawn.crop.top.saturating_add_unsigned(drawn.crop.height as u64));
                return Ok(then(&jpeg.decode().map_err(broken)?, &drawn));
            }
            Some((jpeg, orientation)) => jpeg.decode().map_err(broken)?.turned(orientation),
            None => decode_oriented(buffer, self.reading.orientation).map_err(broken)?,
        };
        let result = then(&image, &draw(image.width, image.height));
        self.keep(position, Kept { image, is_jpeg: is_jpeg(buffer) });
        Ok(result)
    }

    fn train_image(
        &self,
        position: usize,
        transform: &TrainTransform,
        draw: impl FnOnce(usize, usize) -> TrainParameters,
        workspace: &mut Workspace,
    ) -> Result<(), LoadError> {
        let Workspace { file, decoded, planes } = workspace;
        // An exact pass may have kept a JPEG image that a fast pass reduces.
        let kept = self.kept[position]
            .get()
            .filter(|kept| !kept.is_jpeg || self.has_room_for((kept.image.width, kept.image.height)));
        if let Some(kept) = kept {
            let image = &kept.image;
            fast::transform_image(image, transform, &draw(image.width, image.height), planes);
            return Ok(());
        }
        let path = self.path(position);
        read_file(&path, file)?;
        let broken = |source| LoadError::Decode { path: path.clone(), source };
        let orientation = self.reading.orientation;
        let image = match open_jpeg(file, orientation).map_err(broken)? {
            Some((jpeg, orientation)) if !self.has_room_for(jpeg.size()) => {
                return fast::transform_jpeg(jpeg, orientation, transform, draw, decoded, planes).map_err(broken);
            }
            Some((jpeg, orientation)) => jpeg.decode().map_err(broken)?.turned(orientation),
            None => decode_oriented(file, orientation).map_err(broken)?,
        };
        fast::transform_image(&image, transform, &draw(image.width, image.height), planes);
        self.keep(position, Kept { image, is_jpeg: is_jpeg(file) });
        Ok(())
    }

    /// Returns whether all images can be kept if they are as large as one of this size. It does not depend on the images
    /// that were kept so far, and therefore not on the order of threads.
    fn has_room_for(&self, (width, height): (usize, usize)) -> bool {
        width * height * CHANNELS <= KEPT_BYTES / self.list.len()
    }

    /// Returns whether an image of this size is never kept, because most of the data set is unlikely to fit. Keeping a few
    /// images out of many would save no time.
    fn is_too_large(&self, (width, height): (usize, usize)) -> bool {
        const LARGER_THAN_OTHERS: usize = 4;
        width * height * CHANNELS > KEPT_BYTES / self.list.len() * LARGER_THAN_OTHERS
    }

    /// Keeps an image, if it is not too large and there is room for it.
    fn keep(&self, position: usize, kept: Kept) {
        if self.is_too_large((kept.image.width, kept.image.height)) {
            return;
        }
        let bytes = kept.image.pixels.len();
        let is_room = self.kept_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= KEPT_BYTES;
        // Another thread may have kept the same image in the meantime.
        if !is_room || self.kept[position].set(Box::new(kept)).is_err() {
            self.kept_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// Reads and decodes an image file.
///
/// # Errors
/// Returns [`LoadError`] if the file cannot be read or decoded, also if the decoder panics.
pub fn read_image(path: &Path, orientation: ExifOrientation) -> Result<RgbImage, LoadError> {
    guarded(|| path.to_owned(), || read(path, orientation, &mut Vec::new()))
}

fn read(path: &Path, orientation: ExifOrientation, buffer: &mut Vec<u8>) -> Result<RgbImage, LoadError> {
    read_file(path, buffer)?;
    decode_oriented(buffer, orientation).map_err(|source| LoadError::Decode { path: path.to_owned(), source })
}

fn read_file(path: &Path, buffer: &mut Vec<u8>) -> Result<(), LoadError> {
    read_bounded(path, MAX_FILE_BYTES, buffer).map_err(|source| LoadError::Read { path: path.to_owned(), source })
}

/// Turns a panic over an image into an error that names it.
pub(crate) fn guarded<T>(
    path: impl Fn() -> PathBuf,
    load: impl FnOnce() -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    // State left inconsistent by a panic is discarded with the batch.
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|_| Err(LoadError::Panic { path: path() }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn source(root: &Path, names: &[&str], on_bad: BadImage) -> ImageSource {
        let entries = names.iter().map(|name| Entry { path: (*name).to_owned(), label: 0 }).collect();
        ImageSource::new(root, ImageList::new(entries).unwrap(), on_bad)
    }

    fn width(source: &ImageSource, position: usize) -> Result<Option<usize>, LoadError> {
        source.with_image(position, &mut Vec::new(), |image| image.width)
    }

    #[test]
    fn decoded_image_is_cached() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a.ppm");
        std::fs::write(&path, b"P6 2 1 255\nabcdef").unwrap();
        let source = source(root.path(), &["a.ppm"], BadImage::Error);
        assert_eq!(width(&source, 0).unwrap(), Some(2));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(width(&source.clone(), 0).unwrap(), Some(2));
    }

    #[test]
    fn invalid_images_can_be_skipped_but_unreadable_files_cannot() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("text.jpg"), "no image").unwrap();
        let names = ["text.jpg", "missing.jpg"];
        let lenient = source(root.path(), &names, BadImage::Skip);
        assert_eq!(width(&lenient, 0).unwrap(), None);
        assert_eq!(lenient.skipped(), ["text.jpg"]);
        assert!(matches!(width(&lenient, 1), Err(LoadError::Read { .. })));
        let strict = source(root.path(), &names, BadImage::Error);
        let text = width(&strict, 0).unwrap_err().to_string();
        assert!(text.contains("text.jpg is not a complete image: not a JPEG"), "{text}");
    }

    #[test]
    fn panic_in_the_decoder_names_the_image() {
        let result = guarded(|| PathBuf::from("odd.jpg"), || -> Result<(), LoadError> { panic!("on purpose") });
        assert!(result.unwrap_err().to_string().contains("odd.jpg"));
    }
}
