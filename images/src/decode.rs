use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use thiserror::Error;

mod jpeg;

/// Bytes of a pixel: red, green, blue.
pub(crate) const CHANNELS: usize = 3;

/// Images with more pixels are refused: a file of a few bytes may claim any size.
///
/// Pillow's limit: beyond it `Image.open` raises `DecompressionBombError`.
pub const MAX_PIXELS: usize = 178_956_970;

/// Memory that decoding of one image may take beside its pixels, in bytes.
const MAX_DECODER_BYTES: u64 = 2 << 30;

/// An image in memory: rows from top to bottom, pixels from left to right, a byte each of red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels of a row; at least 1.
    pub width: usize,
    /// Number of rows; at least 1.
    pub height: usize,
    /// `[height, width, 3]` bytes.
    pub pixels: Vec<u8>,
}

/// The bytes given are not those of an image of the size given.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("an image of {width} x {height} pixels has width * height * 3 bytes and at least one pixel, not {bytes} bytes")]
pub struct ImageSizeError {
    /// The width said, in pixels.
    pub width: usize,
    /// The height said, in pixels.
    pub height: usize,
    /// The bytes given.
    pub bytes: usize,
}

impl RgbImage {
    /// The image of these `height * width * 3` bytes.
    ///
    /// # Errors
    /// [`ImageSizeError`] if the number of bytes is another one, or zero.
    pub fn new(width: usize, height: usize, pixels: Vec<u8>) -> Result<Self, ImageSizeError> {
        let expected = width.checked_mul(height).and_then(|count| count.checked_mul(CHANNELS));
        if pixels.is_empty() || expected != Some(pixels.len()) {
            return Err(ImageSizeError { width, height, bytes: pixels.len() });
        }
        Ok(Self { width, height, pixels })
    }
}

/// Why bytes are not an image.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The first bytes are those of no format read here.
    #[error("not a JPEG, PNG, WebP, BMP, GIF or TIFF file")]
    UnknownFormat,
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
    /// A pixel format with no counterpart among 8-bit colours.
    #[error("pixels of the kind {0} are not supported; convert the image to 8-bit RGB")]
    Unsupported(String),
    /// The JPEG decoder gave up.
    #[error("broken JPEG data: {0}")]
    Jpeg(#[from] turbojpeg::Error),
    /// The decoder of another format gave up.
    #[error("broken image data: {0}")]
    Other(#[from] image::ImageError),
    /// The decoder delivered another number of bytes than its header announced.
    #[error(transparent)]
    Size(#[from] ImageSizeError),
}

/// Decodes a file to what Pillow's `Image.open(file).convert("RGB")` gives.
///
/// The format is told from the content, never from a name. Transparency is dropped, of an animation the first frame is
/// taken, and the orientation that EXIF may state is not applied. A JPEG equals Pillow's byte for byte; damage inside
/// of it that Pillow passes over is passed over here too.
///
/// # Errors
/// [`DecodeError`] if the bytes are no image, a broken, a truncated or an oversized one.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    if jpeg::is_jpeg(bytes) { jpeg::decode(bytes) } else { decode_other(bytes) }
}

/// Refuses sizes beyond [`MAX_PIXELS`].
fn check_size(width: usize, height: usize) -> Result<(), DecodeError> {
    match width.checked_mul(height) {
        Some(count) if count <= MAX_PIXELS => Ok(()),
        _ => Err(DecodeError::TooLarge { width, height }),
    }
}

fn decode_other(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let format = image::guess_format(bytes).map_err(|_| DecodeError::UnknownFormat)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Tiff)
    {
        return Err(DecodeError::UnknownFormat);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let (width, height) = (width as usize, height as usize);
    check_size(width, height)?;
    let pixels = rgb_bytes(DynamicImage::from_decoder(decoder)?)?;
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Pillow's conversion to RGB: grey is repeated, alpha dropped, of 16 bits a channel the upper 8 are kept. A 16-bit grey
/// value without alpha is clipped to 255 instead.
fn rgb_bytes(image: DynamicImage) -> Result<Vec<u8>, DecodeError> {
    Ok(match image {
        DynamicImage::ImageRgb8(pixels) => pixels.into_raw(),
        DynamicImage::ImageRgba8(pixels) => first_three(&pixels.into_raw(), |value| value),
        DynamicImage::ImageLuma8(pixels) => repeated(&pixels.into_raw(), 1, |value| value),
        DynamicImage::ImageLumaA8(pixels) => repeated(&pixels.into_raw(), 2, |value| value),
        DynamicImage::ImageLuma16(pixels) => repeated(&pixels.into_raw(), 1, |value| value.min(255) as u8),
        DynamicImage::ImageLumaA16(pixels) => repeated(&pixels.into_raw(), 2, upper_byte),
        DynamicImage::ImageRgb16(pixels) => pixels.into_raw().into_iter().map(upper_byte).collect(),
        DynamicImage::ImageRgba16(pixels) => first_three(&pixels.into_raw(), upper_byte),
        other => return Err(DecodeError::Unsupported(format!("{:?}", other.color()))),
    })
}

fn upper_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

/// Of pixels of four values the first three.
fn first_three<T: Copy>(values: &[T], to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / 4 * CHANNELS);
    for pixel in values.chunks_exact(4) {
        rgb.extend(pixel[..CHANNELS].iter().map(|&value| to_byte(value)));
    }
    rgb
}

/// Of pixels of `step` values the first one, three times.
fn repeated<T: Copy>(values: &[T], step: usize, to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / step * CHANNELS);
    for pixel in values.chunks_exact(step) {
        rgb.extend([to_byte(pixel[0]); CHANNELS]);
    }
    rgb
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use tfnas_random::{Purpose, Stream};
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

    /// Position of the first byte after this marker.
    fn after_marker(bytes: &[u8], marker: u8) -> usize {
        bytes.windows(2).position(|pair| pair == [0xFF, marker]).unwrap() + 2
    }

    #[test]
    fn images_without_a_fitting_number_of_bytes_are_refused() {
        assert!(RgbImage::new(2, 2, vec![0; 12]).is_ok());
        for (width, height, bytes) in [(2, 2, 11), (0, 2, 0), (2, 0, 0), (usize::MAX, usize::MAX, 3)] {
            let error = ImageSizeError { width, height, bytes };
            assert_eq!(RgbImage::new(width, height, vec![0; bytes]), Err(error));
        }
    }

    #[test]
    fn lossless_formats_are_told_by_their_content_and_keep_every_pixel() {
        let photo = photo();
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
            let decoded = decode(&encoded(photo.clone(), format)).unwrap();
            assert_eq!((decoded.width, decoded.height), (24, 17), "{format:?}");
            assert_eq!(&decoded.pixels, photo.as_raw(), "{format:?}");
        }
    }

    #[test]
    fn alpha_is_dropped_and_grey_repeated() {
        let transparent = image::RgbaImage::from_raw(2, 1, vec![1, 2, 3, 0, 4, 5, 6, 255]).unwrap();
        assert_eq!(decode(&encoded(transparent, ImageFormat::Png)).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
        let grey = image::GrayAlphaImage::from_raw(2, 1, vec![9, 0, 8, 255]).unwrap();
        assert_eq!(decode(&encoded(grey, ImageFormat::Png)).unwrap().pixels, [9, 9, 9, 8, 8, 8]);
    }

    #[test]
    fn sixteen_bits_keep_the_upper_eight_but_grey_is_clipped() {
        let colour = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(1, 1, vec![0x12FF, 0xFF00, 0x00FF]).unwrap();
        assert_eq!(decode(&encoded(colour, ImageFormat::Png)).unwrap().pixels, [0x12, 0xFF, 0x00]);
        let grey = image::ImageBuffer::<image::Luma<u16>, _>::from_raw(2, 1, vec![200, 300]).unwrap();
        assert_eq!(decode(&encoded(grey, ImageFormat::Png)).unwrap().pixels, [200, 200, 200, 255, 255, 255]);
    }

    #[test]
    fn grey_and_cmyk_jpegs_become_rgb() {
        let grey = decode(&jpeg(PixelFormat::GRAY)).unwrap();
        assert!(grey.pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        assert_eq!(decode(&jpeg(PixelFormat::CMYK)).unwrap().pixels.len(), 24 * 17 * 3);
    }

    #[test]
    fn what_is_no_image_is_named_so() {
        for bytes in [&b""[..], b"GI", b"<svg></svg>", &[0; 100]] {
            assert!(matches!(decode(bytes), Err(DecodeError::UnknownFormat)), "{bytes:?}");
        }
    }

    #[test]
    fn a_cut_off_file_is_an_error_wherever_it_is_cut() {
        let whole = jpeg(PixelFormat::RGB);
        for length in 3..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
        }
        assert!(matches!(decode(&whole[..whole.len() - 2]), Err(DecodeError::Truncated)));
        let png = encoded(photo(), ImageFormat::Png);
        assert!(decode(&png[..png.len() / 2]).is_err());
    }

    #[test]
    fn bytes_after_the_end_of_a_jpeg_are_passed_over() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let clean = decode(&bytes).unwrap();
        bytes.extend_from_slice(b"appended by something");
        assert_eq!(decode(&bytes).unwrap(), clean);
    }

    #[test]
    fn a_jpeg_whose_end_is_overwritten_with_zeros_is_whole() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let clean = decode(&bytes).unwrap();
        bytes.truncate(bytes.len() - 2);
        bytes.extend_from_slice(&[0; 64]);
        assert_eq!(decode(&bytes).unwrap(), clean);
    }

    #[test]
    fn an_odd_but_harmless_header_is_passed_over() {
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
    fn damage_within_the_pixels_of_a_jpeg_is_passed_over() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let scan = after_marker(&bytes, 0xDA) + 40;
        bytes.splice(scan..scan + 60, [0xFF, 0xD0]);
        assert_eq!(decode(&bytes).unwrap().pixels.len(), 24 * 17 * 3);
    }

    #[test]
    fn sizes_that_would_exhaust_the_memory_are_refused_from_the_header() {
        let mut bytes = jpeg(PixelFormat::RGB);
        let size = after_marker(&bytes, 0xC0) + 3;
        bytes[size..size + 4].fill(0xF0);
        assert!(matches!(decode(&bytes), Err(DecodeError::TooLarge { width: 0xF0F0, height: 0xF0F0 })));
        let mut bytes = encoded(photo(), ImageFormat::Bmp);
        bytes[18..22].copy_from_slice(&60_000u32.to_le_bytes());
        bytes[22..26].copy_from_slice(&60_000u32.to_le_bytes());
        assert!(matches!(decode(&bytes), Err(DecodeError::TooLarge { .. } | DecodeError::Other(_))));
    }

    #[test]
    fn ten_thousand_damaged_files_are_decoded_or_refused() {
        let mut seeds = vec![jpeg(PixelFormat::RGB), jpeg(PixelFormat::GRAY), jpeg(PixelFormat::CMYK)];
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif] {
            seeds.push(encoded(photo(), format));
        }
        let mut decoded = 0;
        for index in 0..10_000 {
            let mut stream = Stream::new(1, Purpose::Synthetic, 0, index);
            let mut bytes = seeds[index as usize % seeds.len()].clone();
            for _ in 0..=stream.below(6) {
                let position = stream.below(bytes.len() as u64) as usize;
                match stream.below(8) {
                    0 => bytes.truncate(position.max(1)),
                    1 => bytes.insert(position, stream.next_u32() as u8),
                    2 => drop(bytes.remove(position)),
                    3 => bytes[position] = 0xFF,
                    _ => bytes[position] ^= 1 << stream.below(8),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            if let Ok(image) = decode(&bytes) {
                assert_eq!(image.pixels.len(), image.width * image.height * CHANNELS);
                decoded += 1;
            }
        }
        assert!((1000..9500).contains(&decoded), "{decoded} decoded");
    }
}
