//! Decoding with the `image` crate, adjusted to Pillow's results.

use std::borrow::Cow;
use std::io::{Cursor, ErrorKind, Read, Seek};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};
use tiff::{ColorType, TiffError};

use super::{DecodeError, check_size, palette, to_rgb};
use crate::rgb_image::RgbImage;

/// Maximum memory for decoding one image in addition to its pixels, in bytes.
const MAX_DECODER_BYTES: u64 = 2 << 30;

/// The chunk that ends a PNG: no data, and their checksum.
pub(super) const PNG_END: [u8; 12] = *b"\0\0\0\0IEND\xAE\x42\x60\x82";

/// Decodes a PNG, WebP, BMP or TIFF.
pub(super) fn decode(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, DecodeError> {
    let bytes = if format == ImageFormat::Png { with_png_end(bytes) } else { Cow::Borrowed(bytes) };
    let tiff = if format == ImageFormat::Tiff { check_tiff(Cursor::new(&bytes))? } else { Tiff::default() };
    let mut image = match tiff.values {
        TiffValues::Light => plain(&bytes, format)?,
        TiffValues::Inks => mixed_inks(&bytes)?,
        TiffValues::Places => palette::decode(&bytes)?,
    };
    image.apply_orientation(tiff.orientation);
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mut pixels = rgb_bytes(image, is_gray_png(&bytes))?;
    if let Some(levels) = bmp_levels(&bytes) {
        regrade(&mut pixels, levels);
    }
    Ok(RgbImage::new(width, height, pixels)?)
}

/// Decodes formats that `image` decodes like Pillow.
fn plain(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, DecodeError> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let decoder = reader.into_decoder().map_err(explained)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize, bytes.len())?;
    DynamicImage::from_decoder(decoder).map_err(explained)
}

fn rgb_bytes(image: DynamicImage, gray_png: bool) -> Result<Vec<u8>, DecodeError> {
    Ok(match image {
        DynamicImage::ImageRgb8(pixels) => pixels.into_raw(),
        DynamicImage::ImageRgba8(pixels) => to_rgb::without_alpha(&pixels, |value| value),
        DynamicImage::ImageLuma8(pixels) => to_rgb::gray(&pixels, 1, |value| value),
        DynamicImage::ImageLumaA8(pixels) => to_rgb::gray(&pixels, 2, |value| value),
        DynamicImage::ImageLuma16(pixels) => to_rgb::gray(&pixels, 1, to_rgb::clipped),
        // With one transparent value, `image` returns gray with alpha; Pillow keeps gray.
        DynamicImage::ImageLumaA16(pixels) if gray_png => to_rgb::gray(&pixels, 2, to_rgb::clipped),
        DynamicImage::ImageLumaA16(pixels) => to_rgb::gray(&pixels, 2, to_rgb::upper_byte),
        DynamicImage::ImageRgb16(pixels) => pixels.iter().copied().map(to_rgb::upper_byte).collect(),
        DynamicImage::ImageRgba16(pixels) => to_rgb::without_alpha(&pixels, to_rgb::upper_byte),
        other => {
            return Err(DecodeError::Unsupported(format!("pixels of the kind {:?} are not supported", other.color())));
        }
    })
}

/// Adds a missing last chunk to a PNG. All pixels are present, and Pillow reads such a file.
fn with_png_end(bytes: &[u8]) -> Cow<'_, [u8]> {
    const LONGEST_TAIL: usize = 4096;
    let tail = &bytes[bytes.len().saturating_sub(LONGEST_TAIL)..];
    if tail.windows(PNG_END.len()).any(|window| window == PNG_END) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned([bytes, &PNG_END].concat())
}

/// Returns whether the bytes are a PNG whose header declares gray without alpha.
fn is_gray_png(bytes: &[u8]) -> bool {
    const COLOR_TYPE: usize = 25;
    bytes.starts_with(b"\x89PNG") && bytes.get(COLOR_TYPE) == Some(&0)
}

/// Largest red, green and blue of a BMP with 16 bits a pixel.
fn bmp_levels(bytes: &[u8]) -> Option<[u32; 3]> {
    const BITS_PER_PIXEL: usize = 28;
    const GREEN_MASK: usize = 58;
    if !bytes.starts_with(b"BM") || bytes.get(BITS_PER_PIXEL..BITS_PER_PIXEL + 2) != Some(&[16, 0]) {
        return None;
    }
    const COMPRESSION: usize = 30;
    let has_masks = bytes.get(COMPRESSION) == Some(&3);
    let six_bits_of_green = has_masks && bytes.get(GREEN_MASK..GREEN_MASK + 2) == Some(&[0xE0, 0x07]);
    Some([31, if six_bits_of_green { 63 } else { 31 }, 31])
}

/// From values rounded when they were spread over a byte to values cut off, as Pillow spreads them.
fn regrade(pixels: &mut [u8], levels: [u32; 3]) {
    for pixel in pixels.chunks_exact_mut(levels.len()) {
        for (value, largest) in pixel.iter_mut().zip(levels) {
            let level = (u32::from(*value) * largest + 127) / 255;
            *value = (level * 255 / largest) as u8;
        }
    }
}

/// The tags of a TIFF that describe its pixels.
pub(super) struct Tiff {
    orientation: Orientation,
    values: TiffValues,
}

/// The meaning of a TIFF's values.
enum TiffValues {
    /// Light: gray, or red, green and blue.
    Light,
    /// Inks (CMYK), which `image` mixes differently from Pillow.
    Inks,
    /// Places in a palette.
    Places,
}

impl Default for Tiff {
    fn default() -> Self {
        Self { orientation: Orientation::NoTransforms, values: TiffValues::Light }
    }
}

/// Rejects a TIFF whose pixels would differ from Pillow's.
pub(super) fn check_tiff(file: impl Read + Seek) -> Result<Tiff, DecodeError> {
    const ASSOCIATED_ALPHA: u16 = 1;
    const INKS_APART: u16 = 2;
    const LOWEST_BIT_FIRST: u16 = 2;
    let mut decoder = Decoder::new(file).map_err(broken)?;
    let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression).map_err(broken)?;
    let jpeg = [CompressionMethod::JPEG, CompressionMethod::ModernJPEG].map(|method| method.to_u16());
    if compression.is_some_and(|compression| jpeg.contains(&compression)) {
        return Err(DecodeError::Unsupported("JPEG compression within a TIFF is not supported".to_owned()));
    }
    let extra = decoder.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples).map_err(broken)?;
    if extra.is_some_and(|extra| extra.first() == Some(&ASSOCIATED_ALPHA)) {
        return Err(DecodeError::Unsupported(
            "a TIFF whose colors are premultiplied with alpha is not supported".to_owned(),
        ));
    }
    if decoder.find_tag_unsigned::<u16>(Tag::FillOrder).map_err(broken)? == Some(LOWEST_BIT_FIRST) {
        return Err(DecodeError::Unsupported(
            "a TIFF with the fill order lowest bit first is not supported".to_owned(),
        ));
    }
    let orientation = decoder.find_tag_unsigned::<u8>(Tag::Orientation).ok().flatten();
    let orientation = orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    let interpretation = decoder.find_tag_unsigned::<u16>(Tag::PhotometricInterpretation).map_err(broken)?;
    if interpretation == Some(PhotometricInterpretation::RGBPalette.to_u16()) {
        return Ok(Tiff { orientation, values: TiffValues::Places });
    }
    let has_inks = matches!(decoder.colortype().map_err(broken)?, ColorType::CMYK(_) | ColorType::CMYKA(_));
    let planes = decoder.find_tag_unsigned::<u16>(Tag::PlanarConfiguration).map_err(broken)?;
    if has_inks && planes == Some(INKS_APART) {
        return Err(DecodeError::Unsupported("a TIFF with separate planes for each ink is not supported".to_owned()));
    }
    Ok(Tiff { orientation, values: if has_inks { TiffValues::Inks } else { TiffValues::Light } })
}

/// Decodes a TIFF of inks as Pillow does.
fn mixed_inks(bytes: &[u8]) -> Result<DynamicImage, DecodeError> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(broken)?;
    let (width, height) = decoder.dimensions().map_err(broken)?;
    check_size(width as usize, height as usize, bytes.len())?;
    let (ColorType::CMYK(8), DecodingResult::U8(inks)) =
        (decoder.colortype().map_err(broken)?, decoder.read_image().map_err(broken)?)
    else {
        return Err(DecodeError::Unsupported("a TIFF of inks other than CMYK with 8 bits is not supported".to_owned()));
    };
    let pixels = image::RgbImage::from_raw(width, height, to_rgb::cmyk(&inks));
    pixels.map(DynamicImage::ImageRgb8).ok_or(DecodeError::Truncated)
}

/// An error of the TIFF decoder as ours.
pub(super) fn broken(error: TiffError) -> DecodeError {
    match error {
        TiffError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => DecodeError::Truncated,
        TiffError::UnsupportedError(error) => DecodeError::Unsupported(error.to_string()),
        other => {
            DecodeError::Other(ImageError::Decoding(image::error::DecodingError::new(ImageFormat::Tiff.into(), other)))
        }
    }
}

fn explained(error: ImageError) -> DecodeError {
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => DecodeError::Truncated,
        ImageError::Unsupported(error) => DecodeError::Unsupported(error.to_string()),
        other => DecodeError::Other(other),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::{DecodeError, decode};
    use super::*;

    /// Returns a BMP with one row of two 16-bit pixels and these masks.
    fn bmp(masks: &[u32], pixels: [u16; 2]) -> Vec<u8> {
        let offset = 54 + masks.len() as u32 * 4;
        let mut bytes = b"BM".to_vec();
        for field in [offset + 4, 0, offset, 40, 2, 1] {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend([1, 0, 16, 0]);
        for field in [if masks.is_empty() { 0 } else { 3 }, 4, 0, 0, 0, 0].iter().chain(masks) {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(pixels.into_iter().flat_map(u16::to_le_bytes));
        bytes
    }

    /// Returns an RGB TIFF of 2 x 1 pixels with these additional tags, whose values are 16-bit numbers.
    fn tiff(tags: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = tiff::encoder::TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
        let mut image = encoder.new_image::<tiff::encoder::colortype::RGB8>(2, 1).unwrap();
        for &(tag, value) in tags {
            image.encoder().write_tag(Tag::Unknown(tag), value).unwrap();
        }
        image.write_data(&[1, 2, 3, 4, 5, 6]).unwrap();
        bytes
    }

    #[test]
    fn five_and_six_bits_are_scaled_to_a_byte_and_truncated() {
        let masks = [0xF800, 0x07E0, 0x001F];
        assert_eq!(decode(&bmp(&[], [0x7FFF, 0x0443])).unwrap().pixels, [255, 255, 255, 8, 16, 24]);
        assert_eq!(decode(&bmp(&masks, [0xFFFF, 0x0843])).unwrap().pixels, [255, 255, 255, 8, 8, 24]);
    }

    #[test]
    fn png_without_its_last_chunk_is_complete() {
        let image = image::RgbImage::from_fn(9, 7, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let mut complete = Cursor::new(Vec::new());
        image.write_to(&mut complete, ImageFormat::Png).unwrap();
        let complete = complete.into_inner();
        let without_end = &complete[..complete.len() - PNG_END.len()];
        assert_eq!(decode(without_end).unwrap().pixels, image.into_raw());
        for length in 8..without_end.len() - 8 {
            assert!(decode(&complete[..length]).is_err(), "{length} of {} bytes", complete.len());
        }
    }

    #[test]
    fn the_orientation_of_a_tiff_is_applied() {
        const ORIENTATION: u16 = 274;
        assert_eq!(decode(&tiff(&[])).unwrap().pixels, [1, 2, 3, 4, 5, 6]);
        let turned = decode(&tiff(&[(ORIENTATION, 6)])).unwrap();
        assert_eq!((turned.width, turned.height), (1, 2));
        let mirrored = decode(&tiff(&[(ORIENTATION, 2)])).unwrap();
        assert_eq!(mirrored.pixels, [4, 5, 6, 1, 2, 3]);
    }

    /// As in Pillow 13.0: each product of ink values is rounded.
    #[test]
    fn cmyk_tiff_is_converted_like_a_jpeg() {
        let inks = [0, 0, 0, 0, 255, 0, 0, 0, 10, 20, 30, 40, 9, 9, 9, 255];
        let mut bytes = Vec::new();
        let mut encoder = tiff::encoder::TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
        encoder.write_image::<tiff::encoder::colortype::CMYK8>(2, 2, &inks).unwrap();
        assert_eq!(decode(&bytes).unwrap().pixels, [255, 255, 255, 0, 255, 255, 207, 198, 190, 0, 0, 0]);
    }

    #[test]
    fn truncated_tiff_is_an_error() {
        let complete = tiff(&[]);
        for length in 4..complete.len() {
            assert!(decode(&complete[..length]).is_err(), "{length} of {} bytes", complete.len());
        }
        assert!(matches!(decode(&complete[..6]), Err(DecodeError::Truncated)));
    }
}
