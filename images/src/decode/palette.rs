//! Decodes TIFFs with a palette, which the decoders reject.
//!
//! The same file with another photometric interpretation is a grayscale image, whose values are the palette indices.

use std::io::Cursor;

use image::DynamicImage;
use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};

use super::raster::broken;
use super::{DecodeError, check_size};
use crate::rgb_image::CHANNELS;

const LITTLE_ENDIAN: &[u8; 4] = b"II*\0";
const BIG_ENDIAN: &[u8; 4] = b"MM\0*";
/// Bytes of a directory's entry: tag, type, count and value.
const ENTRY_BYTES: usize = 12;
/// The types of a field's value: 16 bits, stored first in its four bytes, and 32 bits.
const SHORT: u16 = 3;
const LONG: u16 = 4;
/// The compressions that know nothing of how values are interpreted.
const COMPRESSIONS: [CompressionMethod; 5] = [
    CompressionMethod::None,
    CompressionMethod::LZW,
    CompressionMethod::Deflate,
    CompressionMethod::OldDeflate,
    CompressionMethod::PackBits,
];

/// Decodes a TIFF with a palette like Pillow, which keeps the upper 8 bits of each 16-bit color.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, DecodeError> {
    let gray = as_gray(bytes)?;
    let mut decoder = Decoder::new(Cursor::new(&gray)).map_err(broken)?;
    let (width, height) = decoder.dimensions().map_err(broken)?;
    check_size(width as usize, height as usize, bytes.len())?;
    let compression = decoder.find_tag_unsigned::<u16>(Tag::Compression).map_err(broken)?;
    let compression = compression.map_or(CompressionMethod::None, CompressionMethod::from_u16_exhaustive);
    let bits = match decoder.colortype().map_err(broken)? {
        ColorType::Gray(bits @ (1 | 2 | 4 | 8)) if COMPRESSIONS.contains(&compression) => usize::from(bits),
        other => return Err(unsupported(&format!("{other:?} and {compression:?}"))),
    };
    let colors = decoder.find_tag_unsigned_vec::<u16>(Tag::ColorMap).map_err(broken)?.unwrap_or_default();
    let count = 1 << bits;
    if colors.len() != CHANNELS * count {
        return Err(unsupported(&format!("{} instead of {} numbers", colors.len(), CHANNELS * count)));
    }
    let DecodingResult::U8(packed) = decoder.read_image().map_err(broken)? else {
        return Err(unsupported("signed values"));
    };
    let stride = (width as usize * bits).div_ceil(8);
    let mut pixels = Vec::with_capacity(width as usize * height as usize * CHANNELS);
    for row in packed.chunks_exact(stride) {
        for x in 0..width as usize {
            let bit = x * bits;
            let place = usize::from(row[bit / 8] >> (8 - bits - bit % 8)) & (count - 1);
            pixels.extend((0..CHANNELS).map(|channel| (colors[channel * count + place] >> 8) as u8));
        }
    }
    let pixels = image::RgbImage::from_raw(width, height, pixels);
    pixels.map(DynamicImage::ImageRgb8).ok_or(DecodeError::Truncated)
}

/// Returns the file with a first directory that declares the values as grayscale.
fn as_gray(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut gray = bytes.to_vec();
    let little = match bytes.first_chunk() {
        Some(LITTLE_ENDIAN) => true,
        Some(BIG_ENDIAN) => false,
        _ => return Err(unsupported("64-bit offsets")),
    };
    let short = |at: usize| {
        let bytes = *bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or(DecodeError::Truncated)?;
        Ok::<u16, DecodeError>(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let offset = *bytes.get(4..).and_then(|rest| rest.first_chunk()).ok_or(DecodeError::Truncated)?;
    let directory = if little { u32::from_le_bytes(offset) } else { u32::from_be_bytes(offset) } as usize;
    for entry in 0..usize::from(short(directory)?) {
        let at = directory + 2 + entry * ENTRY_BYTES;
        if short(at)? == Tag::PhotometricInterpretation.to_u16() {
            let interpretation = PhotometricInterpretation::BlackIsZero.to_u16();
            let value = match (short(at + 2)?, little) {
                (SHORT, false) => u32::from(interpretation) << 16,
                (SHORT | LONG, _) => u32::from(interpretation),
                _ => return Err(unsupported("an interpretation that is not a number")),
            };
            let value = if little { value.to_le_bytes() } else { value.to_be_bytes() };
            gray.get_mut(at + 8..at + ENTRY_BYTES).ok_or(DecodeError::Truncated)?.copy_from_slice(&value);
            return Ok(gray);
        }
    }
    Err(unsupported("no interpretation"))
}

fn unsupported(what: &str) -> DecodeError {
    DecodeError::Unsupported(format!("a TIFF with a palette and {what} is not supported"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use tiff::encoder::TiffEncoder;
    use tiff::encoder::colortype::{ColorType as Encoded, Gray8};

    use super::super::decode;
    use super::*;

    /// Grayscale values that are read as palette indices.
    struct PaletteIndices;

    impl Encoded for PaletteIndices {
        type Inner = u8;
        const TIFF_VALUE: PhotometricInterpretation = PhotometricInterpretation::RGBPalette;
        const BITS_PER_SAMPLE: &'static [u16] = Gray8::BITS_PER_SAMPLE;
        const SAMPLE_FORMAT: &'static [tiff::tags::SampleFormat] = Gray8::SAMPLE_FORMAT;

        fn horizontal_predict(row: &[u8], result: &mut Vec<u8>) {
            Gray8::horizontal_predict(row, result);
        }
    }

    /// Returns a TIFF of three pixels with the indices 0, 2 and 255. Color `i` is (256 i + 9, 256 (255 - i), 256 * 7).
    fn tiff(colors: usize) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        let mut image = encoder.new_image::<PaletteIndices>(3, 1).unwrap();
        let channel = |of: fn(u16) -> u16| (0..256).map(of).collect::<Vec<u16>>();
        let map = [channel(|i| 256 * i + 9), channel(|i| 256 * (255 - i)), channel(|_| 256 * 7)].concat();
        image.encoder().write_tag(Tag::ColorMap, &map[..colors]).unwrap();
        image.write_data(&[0, 2, 255]).unwrap();
        bytes.into_inner()
    }

    #[test]
    fn indices_become_the_upper_bytes_of_their_colors() {
        assert_eq!(decode(&tiff(768)).unwrap().pixels, [0, 255, 7, 2, 253, 7, 255, 0, 7]);
    }

    #[test]
    fn palette_of_another_length_is_rejected() {
        assert!(matches!(decode(&tiff(300)), Err(DecodeError::Unsupported(_))));
    }

    #[test]
    fn truncated_file_is_an_error() {
        let complete = tiff(768);
        for length in 4..complete.len() {
            assert!(decode(&complete[..length]).is_err(), "{length} of {} bytes", complete.len());
        }
    }
}
