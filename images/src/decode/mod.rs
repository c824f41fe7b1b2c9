//! Decoding of image files to RGB, byte for byte like Pillow.

mod content;
mod exif;
mod gif;
mod header;
mod jpeg;
mod palette;
mod pnm;
mod raster;
mod to_rgb;

use image::ImageFormat;
use image::metadata::Orientation;
use thiserror::Error;

pub(crate) use header::looks_whole;
pub(crate) use jpeg::{Jpeg, is_jpeg};

use crate::rgb_image::{ImageSizeError, RgbImage};

/// Maximum number of pixels. A file of a few bytes can claim any size.
///
/// This is Pillow's limit, above which `Image.open` raises `DecompressionBombError`.
pub const MAX_PIXELS: usize = 178_956_970;

/// Maximum number of pixels per byte of a file. Photographs have fewer in any format; a tiny file may be a single
/// color.
const MAX_PIXELS_PER_BYTE: usize = 4096;
/// Minimum pixel limit, regardless of the file size.
const ALWAYS_ALLOWED: usize = 8 << 20;

/// Why bytes are not an image.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// No byte at all.
    #[error("the file is empty")]
    Empty,
    /// The first bytes do not belong to a supported format.
    #[error("not a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file")]
    UnknownFormat,
    /// The first bytes belong to another known kind of file.
    #[error("not a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file: its content is {0}")]
    OtherContent(&'static str),
    /// The data end before the image does.
    #[error("the file is truncated: the image data end too early")]
    Truncated,
    /// The image has more pixels than [`MAX_PIXELS`].
    #[error("{width} x {height} pixels are more than the {MAX_PIXELS} allowed; scale the image down")]
    TooLarge {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
    },
    /// The file has too few bytes for its pixels: it was made to fill the memory, or is mostly missing.
    #[error("{width} x {height} pixels in {bytes} bytes: the file is truncated, or not a photograph")]
    TooFewBytes {
        /// Pixels of a row.
        width: usize,
        /// Number of rows.
        height: usize,
        /// Bytes of the file.
        bytes: usize,
    },
    /// A kind of image that is not read, or could not be read as Pillow does.
    #[error("{0}; convert the image to 8-bit RGB")]
    Unsupported(String),
    /// The JPEG decoder gave up.
    #[error("broken JPEG data: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    /// The GIF decoder gave up.
    #[error("broken GIF data: {0}")]
    Gif(::gif::DecodingError),
    /// The text or the values of a PNM file are invalid.
    #[error("broken PNM data: {0}")]
    Pnm(String),
    /// The decoder of another format gave up.
    #[error("broken image data: {0}")]
    Other(image::ImageError),
    /// The decoder delivered another number of bytes than its header announced.
    #[error(transparent)]
    Size(#[from] ImageSizeError),
}

/// Decodes a file like torchvision's loader: Pillow's `Image.open(file).convert("RGB")`.
///
/// The format is detected from the content, not from a name. Transparency is dropped, the first frame of an animation
/// is used, and the EXIF orientation is not applied (except in a TIFF, as in Pillow). Every byte equals Pillow's. Files
/// for which this is not possible are rejected, and so are sizes that only a malicious file has. Damage inside a JPEG
/// that Pillow tolerates is tolerated too.
///
/// # Errors
/// Returns [`DecodeError`] if the bytes are not an image, or the image is broken, truncated, too large or unsupported.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    if jpeg::is_jpeg(bytes) {
        return jpeg::decode(bytes);
    }
    match image::guess_format(bytes) {
        Ok(ImageFormat::Gif) => gif::decode(bytes),
        Ok(ImageFormat::Pnm) => pnm::decode(bytes),
        Ok(format @ (ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Tiff)) => {
            raster::decode(bytes, format)
        }
        _ => Err(content::unread(bytes).map_or(DecodeError::UnknownFormat, DecodeError::OtherContent)),
    }
}

/// How the EXIF orientation of a photo is handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExifOrientation {
    /// Nothing, as torchvision's loader does.
    #[default]
    Ignore,
    /// The pixels are turned and mirrored so that the photo is upright, as Pillow's `ImageOps.exif_transpose` does.
    Apply,
}

impl ExifOrientation {
    /// Returns how the pixels of a file are to be turned and mirrored.
    fn to_apply(self, bytes: &[u8]) -> Orientation {
        match self {
            Self::Ignore => Orientation::NoTransforms,
            Self::Apply => exif::orientation(bytes),
        }
    }
}

/// Decodes a file like [`decode`] and then handles its orientation.
///
/// # Errors
/// Returns the errors of [`decode`]. Invalid metadata is not an error.
pub fn decode_oriented(bytes: &[u8], orientation: ExifOrientation) -> Result<RgbImage, DecodeError> {
    let image = decode(bytes)?;
    Ok(image.turned(orientation.to_apply(bytes)))
}

/// Opens a JPEG file, and returns it with its orientation, as far as it is to be applied. Returns `None` for other
/// formats.
///
/// # Errors
/// Returns the errors of [`decode`] that its header has.
pub(crate) fn open_jpeg(
    bytes: &[u8],
    orientation: ExifOrientation,
) -> Result<Option<(Jpeg<'_>, Orientation)>, DecodeError> {
    if !jpeg::is_jpeg(bytes) {
        return Ok(None);
    }
    Ok(Some((Jpeg::open(bytes)?, orientation.to_apply(bytes))))
}

/// Rejects sizes above [`MAX_PIXELS`], and sizes that are implausible for the number of bytes.
fn check_size(width: usize, height: usize, bytes: usize) -> Result<(), DecodeError> {
    let plausible = ALWAYS_ALLOWED.max(bytes.saturating_mul(MAX_PIXELS_PER_BYTE));
    match width.checked_mul(height) {
        Some(count) if count <= MAX_PIXELS.min(plausible) => Ok(()),
        Some(count) if count <= MAX_PIXELS => Err(DecodeError::TooFewBytes { width, height, bytes }),
        _ => Err(DecodeError::TooLarge { width, height }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use image::DynamicImage;
    use turbojpeg::{Image, PixelFormat, Subsamp};

    use super::*;

    fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn photo() -> image::RgbImage {
        image::RgbImage::from_fn(24, 17, |x, y| image::Rgb([(x * 10) as u8, (y * 14) as u8, (x * y) as u8]))
    }

    fn jpeg(format: PixelFormat) -> Vec<u8> {
        let pitch = 24 * format.size();
        let pixels: Vec<u8> = (0..pitch * 17).map(|index| (index * 7 % 256) as u8).collect();
        let image = Image { pixels: pixels.as_slice(), width: 24, pitch, height: 17, format };
        let chroma = if format == PixelFormat::GRAY { Subsamp::Gray } else { Subsamp::Sub2x2 };
        turbojpeg::compress(image, 90, chroma).unwrap().to_vec()
    }

    /// Returns the position of the first byte after this marker.
    fn after_marker(bytes: &[u8], marker: u8) -> usize {
        bytes.windows(2).position(|pair| pair == [0xFF, marker]).unwrap() + 2
    }

    #[test]
    fn lossless_formats_are_detected_by_content_and_keep_every_pixel() {
        let photo = photo();
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
            let decoded = decode(&encoded(photo.clone(), format)).unwrap();
            assert_eq!((decoded.width, decoded.height), (24, 17), "{format:?}");
            assert_eq!(&decoded.pixels, photo.as_raw(), "{format:?}");
        }
    }

    #[test]
    fn alpha_is_dropped_and_gray_repeated() {
        let transparent = image::RgbaImage::from_raw(2, 1, vec![1, 2, 3, 0, 4, 5, 6, 255]).unwrap();
        assert_eq!(decode(&encoded(transparent, ImageFormat::Png)).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
        let gray = image::GrayAlphaImage::from_raw(2, 1, vec![9, 0, 8, 255]).unwrap();
        assert_eq!(decode(&encoded(gray, ImageFormat::Png)).unwrap().pixels, [9, 9, 9, 8, 8, 8]);
    }

    #[test]
    fn sixteen_bits_keep_the_upper_eight_but_gray_is_clipped() {
        let color = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(1, 1, vec![0x12FF, 0xFF00, 0x00FF]).unwrap();
        assert_eq!(decode(&encoded(color, ImageFormat::Png)).unwrap().pixels, [0x12, 0xFF, 0x00]);
        let gray = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![200, 300]).unwrap();
        assert_eq!(decode(&encoded(gray, ImageFormat::Png)).unwrap().pixels, [200, 200, 200, 255, 255, 255]);
    }

    #[test]
    fn gray_and_cmyk_jpegs_become_rgb() {
        let gray = decode(&jpeg(PixelFormat::GRAY)).unwrap();
        assert!(gray.pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        assert_eq!(decode(&jpeg(PixelFormat::CMYK)).unwrap().pixels.len(), 24 * 17 * 3);
    }

    #[test]
    fn content_that_is_no_image_is_named() {
        assert!(matches!(decode(b""), Err(DecodeError::Empty)));
        for bytes in [&b"GI"[..], b"P7", b"P9 1 1 255 a", &[0; 100]] {
            assert!(matches!(decode(bytes), Err(DecodeError::UnknownFormat)), "{bytes:?}");
        }
        let text = decode(b"<!DOCTYPE html><html>404</html>").unwrap_err().to_string();
        assert_eq!(text, "not a JPEG, PNG, WebP, BMP, GIF, TIFF or PNM file: its content is an HTML page");
    }

    #[test]
    fn truncated_file_is_an_error_at_any_length() {
        let complete = jpeg(PixelFormat::RGB);
        for length in 3..complete.len() {
            assert!(decode(&complete[..length]).is_err(), "{length} of {} bytes", complete.len());
        }
        assert!(matches!(decode(&complete[..complete.len() - 2]), Err(DecodeError::Truncated)));
        let png = encoded(photo(), ImageFormat::Png);
        assert!(decode(&png[..png.len() / 2]).is_err());
    }

    #[test]
    fn bytes_after_the_end_of_a_jpeg_are_ignored() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let clean = decode(&bytes).unwrap();
        bytes.extend_from_slice(b"appended by something");
        assert_eq!(decode(&bytes).unwrap(), clean);
    }

    #[test]
    fn jpeg_without_an_end_marker_is_complete() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let clean = decode(&bytes).unwrap();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(&[0; 64]);
        assert_eq!(decode(&bytes).unwrap(), clean);
    }

    #[test]
    fn unusual_jpeg_headers_are_accepted() {
        let bytes = jpeg(PixelFormat::RGB);
        let clean = decode(&bytes).unwrap();
        let mut other_version = bytes.clone();
        other_version[after_marker(&bytes, 0xE0) + 7] = 9;
        assert_eq!(decode(&other_version).unwrap(), clean);
        let mut stray_bytes = bytes.clone();
        let tables = after_marker(&bytes, 0xDB) - 2;
        stray_bytes.splice(tables..tables, [0, 1, 2]);
        assert_eq!(decode(&stray_bytes).unwrap(), clean);
    }

    #[test]
    fn damaged_pixels_of_a_jpeg_are_accepted() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let scan = after_marker(&bytes, 0xDA) + 40;
        bytes.splice(scan..scan + 60, [0xFF, 0xD0]);
        assert_eq!(decode(&bytes).unwrap().pixels.len(), 24 * 17 * 3);
    }

    #[test]
    fn oversized_images_are_rejected_by_their_header() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let size = after_marker(&bytes, 0xC0) + 3;
        bytes[size..size + 4].fill(0xF0);
        assert!(matches!(decode(&bytes), Err(DecodeError::TooLarge { width: 0xF0F0, height: 0xF0F0 })));
        // Within the limit, but too large for the number of bytes.
        bytes[size..size + 4].copy_from_slice(&[0x30, 0, 0x30, 0]);
        assert!(matches!(decode(&bytes), Err(DecodeError::TooFewBytes { width: 0x3000, height: 0x3000, .. })));
        let mut bytes = encoded(photo(), ImageFormat::Bmp);
        bytes[18..22].copy_from_slice(&60_000u32.to_le_bytes());
        bytes[22..26].copy_from_slice(&60_000u32.to_le_bytes());
        assert!(matches!(decode(&bytes), Err(DecodeError::TooLarge { .. } | DecodeError::Other(_))));
    }
}
