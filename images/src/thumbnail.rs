//! Thumbnails, for display.

use std::path::Path;

use image::ExtendedColorType;
use image::ImageEncoder as _;
use image::codecs::png::PngEncoder;

use crate::decode::ExifOrientation;
use crate::resize::resize;
use crate::rgb_image::RgbImage;
use crate::source::{LoadError, read_image};

/// A small picture of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thumbnail {
    /// Width, in pixels.
    pub width: usize,
    /// Height, in pixels.
    pub height: usize,
    /// The picture as a PNG file.
    pub png: Vec<u8>,
}

/// Reads an image file and scales it down so that no side is longer than `side` pixels. Smaller images keep their size.
///
/// # Errors
/// Returns the errors of [`read_image`].
pub fn thumbnail(path: &Path, orientation: ExifOrientation, side: usize) -> Result<Thumbnail, LoadError> {
    Ok(Thumbnail::of(&read_image(path, orientation)?, side))
}

impl Thumbnail {
    fn of(image: &RgbImage, side: usize) -> Self {
        let longest = image.width.max(image.height);
        let scaled = |length: usize| match longest > side {
            true => (length * side).div_ceil(longest).max(1),
            false => length,
        };
        let (width, height) = (scaled(image.width), scaled(image.height));
        let small = resize(image, width, height);
        let mut png = Vec::new();
        // A thumbnail has few pixels, so its sides fit, and writing to memory cannot fail.
        PngEncoder::new(&mut png)
            .write_image(&small.pixels, width as u32, height as u32, ExtendedColorType::Rgb8)
            .expect("the size is that of the pixels");
        Self { width, height, png }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::decode::decode;

    #[test]
    fn thumbnail_keeps_the_aspect_ratio() {
        for (width, height, expected) in
            [(400, 100, (96, 24)), (3, 1000, (1, 96)), (20, 10, (20, 10)), (96, 97, (96, 96))]
        {
            let image = RgbImage::new(width, height, vec![200; width * height * 3]).unwrap();
            let thumbnail = Thumbnail::of(&image, 96);
            assert_eq!((thumbnail.width, thumbnail.height), expected);
            let read = decode(&thumbnail.png).unwrap();
            assert_eq!((read.width, read.height, read.pixels[0]), (expected.0, expected.1, 200));
        }
    }

    #[test]
    fn missing_and_invalid_files_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jpg");
        assert!(matches!(thumbnail(&path, ExifOrientation::Ignore, 96), Err(LoadError::Read { .. })));
        std::fs::write(&path, "text").unwrap();
        assert!(matches!(thumbnail(&path, ExifOrientation::Ignore, 96), Err(LoadError::Decode { .. })));
    }
}
