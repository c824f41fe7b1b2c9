//! RGB images in memory.

use image::DynamicImage;
use image::metadata::Orientation;
use thiserror::Error;

/// Bytes of a pixel: red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// An image in memory: rows from top to bottom, pixels from left to right, one byte each of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Number of pixels per row. At least 1.
    pub width: usize,
    /// Number of rows. At least 1.
    pub height: usize,
    /// `[height, width, 3]` bytes.
    pub pixels: Vec<u8>,
}

/// The number of bytes does not match the size of the image.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an image of {width} x {height} pixels has width * height * 3 bytes and at least one pixel, not {bytes} bytes")]
pub struct ImageSizeError {
    /// The given width in pixels.
    pub width: usize,
    /// The given height in pixels.
    pub height: usize,
    /// The bytes given.
    pub bytes: usize,
}

impl RgbImage {
    /// Creates an image from `height * width * 3` bytes.
    ///
    /// # Errors
    /// Returns [`ImageSizeError`] if the number of bytes differs or is zero.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, ImageSizeError> {
        let expected = width.checked_mul(height).and_then(|count| count.checked_mul(CHANNELS));
        if pixels.is_empty() || expected != Some(pixels.len()) {
            return Err(ImageSizeError { width, height, bytes: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }

    /// The image turned and mirrored.
    pub(crate) fn turned(self, orientation: Orientation) -> Self {
        if orientation == Orientation::NoTransforms {
            return self;
        }
        let size = [self.width, self.height].map(u32::try_from);
        let [Ok(width), Ok(height)] = size else { return self };
        let Some(pixels) = image::RgbImage::from_raw(width, height, self.pixels) else {
            unreachable!("an image has as many bytes as its size requires");
        };
        let mut image = DynamicImage::ImageRgb8(pixels);
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self { width, height, pixels: image.into_rgb8().into_raw() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_number_of_bytes_is_rejected() {
        assert!(RgbImage::new(2, 2, vec![0; 12]).is_ok());
        for (width, height, bytes) in [(2, 2, 11), (0, 2, 0), (2, 0, 0), (usize::MAX, usize::MAX, 3)] {
            let error = ImageSizeError { width, height, bytes };
            assert_eq!(RgbImage::new(width, height, vec![0; bytes]), Err(error));
        }
    }
}
