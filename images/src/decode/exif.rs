//! The orientation in the metadata of a photo, found like Pillow's `ImageOps.exif_transpose` does.
//!
//! EXIF comes first: it is in APP1 segments of a JPEG and in a chunk of a PNG or WebP. If it has no orientation, XMP is
//! used. Invalid metadata is ignored and never makes an image unreadable.

use std::io::Read;

use flate2::read::ZlibDecoder;
use image::ImageFormat;
use image::metadata::Orientation;

use super::jpeg;

/// Tag of the orientation.
const ORIENTATION: u16 = 274;
/// Keywords of the texts of a PNG that can contain an orientation.
const XMP_KEYWORD: &[u8] = b"XML:com.adobe.xmp";
const EXIF_KEYWORD: &[u8] = b"Raw profile type exif";
/// More bytes than the metadata of a PNG have when they are decompressed.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// The metadata of a file that may contain its orientation, unparsed.
#[derive(Default)]
struct Metadata {
    exif: Option<Vec<u8>>,
    xmp: Option<Vec<u8>>,
}

/// Returns how an image must be rotated and mirrored to be upright.
///
/// The orientation of a TIFF is not handled here: it is part of decoding, as in Pillow.
pub(super) fn orientation(bytes: &[u8]) -> Orientation {
    let metadata = if jpeg::is_jpeg(bytes) {
        of_jpeg(bytes)
    } else {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => of_png(bytes),
            Ok(ImageFormat::WebP) => of_webp(bytes),
            _ => Metadata::default(),
        }
    };
    let stated = metadata.exif.as_deref().and_then(stated_by_exif);
    let stated = stated.unwrap_or_else(|| metadata.xmp.as_deref().and_then(stated_by_xmp));
    stated.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
}

fn of_jpeg(bytes: &[u8]) -> Metadata {
    const EXIF: &[u8] = b"Exif\0\0";
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    let mut metadata = Metadata::default();
    for payload in jpeg::app1_payloads(bytes) {
        if let Some(more) = payload.strip_prefix(EXIF) {
            // Data that does not fit into one segment continues in the next.
            metadata.exif.get_or_insert_default().extend_from_slice(more);
        } else if let Some(xmp) = payload.strip_prefix(XMP) {
            metadata.xmp = Some(xmp.to_vec());
        }
    }
    metadata
}

fn of_png(bytes: &[u8]) -> Metadata {
    const SIGNATURE: usize = 8;
    let mut metadata = Metadata::default();
    let mut profile = None;
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    // Length, type, data, checksum.
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let (Some(kind), Some(data)) = (after.get(..4), after.get(4..).and_then(|data| data.get(..length))) else {
            break;
        };
        match kind {
            b"eXIf" => metadata.exif = Some(data.to_vec()),
            b"tEXt" | b"zTXt" | b"iTXt" => match text(kind, data) {
                Some((XMP_KEYWORD, value)) => metadata.xmp = Some(value),
                Some((EXIF_KEYWORD, value)) => profile = raw_profile(&value),
                _ => {}
            },
            _ => {}
        }
        rest = after.get(4 + length + 4..).unwrap_or_default();
    }
    metadata.exif = metadata.exif.or(profile);
    metadata
}

/// Keyword and value of a chunk of text that can contain an orientation, decompressed.
fn text<'a>(kind: &[u8], data: &'a [u8]) -> Option<(&'a [u8], Vec<u8>)> {
    let (keyword, value) = split_at_zero(data)?;
    // Other texts are not decompressed: a small file can contain many that are large.
    if !matches!(keyword, XMP_KEYWORD | EXIF_KEYWORD) {
        return None;
    }
    let inflated = |value: &[u8]| {
        let mut text = Vec::new();
        ZlibDecoder::new(value).take(MAX_TEXT_BYTES).read_to_end(&mut text).ok().map(|_| text)
    };
    let value = match kind {
        b"zTXt" => inflated(value.get(1..)?)?,
        b"iTXt" => {
            let (flags, value) = value.split_at_checked(2)?;
            let (_language, value) = split_at_zero(value)?;
            let (_translated, value) = split_at_zero(value)?;
            if flags[0] == 0 { value.to_vec() } else { inflated(value)? }
        }
        _ => value.to_vec(),
    };
    Some((keyword, value))
}

fn split_at_zero(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = data.iter().position(|&byte| byte == 0)?;
    Some((&data[..zero], &data[zero + 1..]))
}

/// Decodes the form that ImageMagick used before PNG had a chunk for EXIF: an empty line, a name, a length, then
/// hexadecimal digits.
fn raw_profile(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.splitn(4, |&byte| byte == b'\n').nth(3)?.to_vec();
    let digits: Vec<u8> = digits.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16);
    digits.chunks(2).map(|pair| Some((value(pair[0])? * 16 + value(*pair.get(1)?)?) as u8)).collect()
}

fn of_webp(bytes: &[u8]) -> Metadata {
    const HEADER: usize = 12;
    let mut metadata = Metadata::default();
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    // Type, length, data, and a padding byte if the length is odd.
    while let Some((head, after)) = rest.split_first_chunk::<8>() {
        let [kind @ .., a, b, c, d] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(data) = after.get(..length) else { break };
        match &kind {
            b"EXIF" => metadata.exif = Some(data.to_vec()),
            b"XMP " => metadata.xmp = Some(data.to_vec()),
            _ => {}
        }
        rest = after.get(length + length % 2..).unwrap_or_default();
    }
    metadata
}

/// Reads the orientation from EXIF. Returns `None` if the tag is missing, so that XMP is used, and an invalid value if
/// the tag is not an integer or the bytes are not EXIF.
fn stated_by_exif(mut exif: &[u8]) -> Option<Option<u8>> {
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    if exif.is_empty() {
        return None;
    }
    let little = match exif.get(..4) {
        Some(b"II*\0" | b"II\0*") => true,
        Some(b"MM\0*" | b"MM*\0") => false,
        _ => return Some(None),
    };
    let file = Tiff { bytes: exif, little };
    let Some(directory) = file.long(4) else { return Some(None) };
    let directory = directory as usize;
    for entry in 0..usize::from(file.short(directory)?) {
        let at = directory.checked_add(2 + entry * 12)?;
        // Entries before the end of a truncated directory count.
        let (tag, kind, count, value) = (file.short(at)?, file.short(at + 2)?, file.long(at + 4)?, file.long(at + 8)?);
        let Some(size) = size_of(kind) else { continue };
        let size = size.checked_mul(count as usize)?;
        // A value of up to four bytes is stored in the entry, a larger one elsewhere.
        let place = if size > 4 { value as usize } else { at + 8 };
        if place.checked_add(size).is_none_or(|end| end > exif.len()) {
            return None;
        }
        // Of several equal tags the first counts, and of several values of one.
        if tag == ORIENTATION && size > 0 {
            return Some(file.whole_number(kind, place));
        }
    }
    None
}

/// Returns the size of a value of a type in bytes, or `None` for an unknown type.
fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 => Some(8),
        _ => None,
    }
}

struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
}

impl Tiff<'_> {
    fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// Returns the number at an offset if its type is an integer of at least one byte.
    fn whole_number(&self, kind: u16, place: usize) -> Option<u8> {
        match kind {
            3 | 8 => self.short(place).and_then(|value| value.try_into().ok()),
            4 | 9 | 13 => self.long(place).and_then(|value| value.try_into().ok()),
            6 => self.bytes.get(place).copied(),
            16 => {
                let (low, high) = if self.little { (0, 4) } else { (4, 0) };
                let upper = self.long(place + high)?;
                self.long(place + low).filter(|_| upper == 0).and_then(|value| value.try_into().ok())
            }
            _ => None,
        }
    }
}

/// Reads the orientation out of XMP: an attribute (`tiff:Orientation="6"`) or an element.
fn stated_by_xmp(xmp: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    let digit = |rest: &[u8]| {
        let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        rest.first().filter(|byte| byte.is_ascii_digit()).map(|digit| digit - b'0')
    };
    let mut names = xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    names.find_map(|(at, _)| digit(&xmp[at + NAME.len()..]))
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use image::DynamicImage;
    use turbojpeg::{Image, PixelFormat, Subsamp};

    use super::super::{ExifOrientation, decode, decode_oriented};
    use super::*;
    use crate::RgbImage;

    const WIDTH: usize = 40;
    const HEIGHT: usize = 24;

    fn pixels() -> Vec<u8> {
        (0..WIDTH * HEIGHT * 3).map(|index| (index * 5 / 3 % 256) as u8).collect()
    }

    fn jpeg() -> Vec<u8> {
        let pixels = pixels();
        let image = Image {
            pixels: pixels.as_slice(),
            width: WIDTH,
            pitch: WIDTH * 3,
            height: HEIGHT,
            format: PixelFormat::RGB,
        };
        turbojpeg::compress(image, 90, Subsamp::Sub2x2).unwrap().to_vec()
    }

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let image = image::RgbImage::from_raw(WIDTH as u32, HEIGHT as u32, pixels()).unwrap();
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::from(image).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// Returns EXIF data whose only entry is the orientation, with this type and these four bytes as its value.
    fn exif(order: &[u8; 2], kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        let little = order == b"II";
        let short = |value: u16| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let long = |value: u32| if little { value.to_le_bytes() } else { value.to_be_bytes() };
        let mut bytes = order.to_vec();
        bytes.extend(short(42));
        bytes.extend(long(8));
        bytes.extend(short(1));
        bytes.extend([short(ORIENTATION), short(kind)].concat());
        bytes.extend(long(count));
        bytes.extend(value);
        bytes.extend(long(0));
        bytes
    }

    fn little(value: u8) -> Vec<u8> {
        exif(b"II", 3, 1, [value, 0, 0, 0])
    }

    fn segment(start: &[u8], payload: &[u8]) -> Vec<u8> {
        let length = (start.len() + payload.len() + 2) as u16;
        [&[0xFF, 0xE1], &length.to_be_bytes()[..], start, payload].concat()
    }

    /// Returns the JPEG with these segments after its first marker.
    fn with_segments(segments: &[Vec<u8>]) -> Vec<u8> {
        let jpeg = jpeg();
        [&jpeg[..2], &segments.concat(), &jpeg[2..]].concat()
    }

    fn jpeg_with(exif: &[u8]) -> Vec<u8> {
        with_segments(&[segment(b"Exif\0\0", exif)])
    }

    fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let body = [&kind[..], data].concat();
        let mut checksum = flate2::Crc::new();
        checksum.update(&body);
        [&(data.len() as u32).to_be_bytes()[..], &body, &checksum.sum().to_be_bytes()].concat()
    }

    /// Returns the PNG with a chunk before or after its pixels.
    fn png_with(kind: &[u8; 4], data: &[u8], is_before: bool) -> Vec<u8> {
        let png = encoded(ImageFormat::Png);
        let at = if is_before { 33 } else { png.len() - 12 };
        [&png[..at], &chunk(kind, data), &png[at..]].concat()
    }

    /// Rotates the image by the definition in Pillow's documentation, which maps a pixel (x, y) of the upright image to
    /// its position in the file.
    fn upright(image: &RgbImage, orientation: u8) -> RgbImage {
        let (width, height) = (image.width, image.height);
        let (new_width, new_height) = if orientation >= 5 { (height, width) } else { (width, height) };
        let mut pixels = Vec::new();
        for (y, x) in (0..new_height).flat_map(|y| (0..new_width).map(move |x| (y, x))) {
            let (from_x, from_y) = match orientation {
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                8 => (width - 1 - y, x),
                _ => (x, y),
            };
            let at = (from_y * width + from_x) * 3;
            pixels.extend(&image.pixels[at..at + 3]);
        }
        RgbImage::new(new_width, new_height, pixels).unwrap()
    }

    fn assert_turned(bytes: &[u8], orientation: u8, what: &str) {
        let stored = decode(bytes).unwrap();
        let applied = decode_oriented(bytes, ExifOrientation::Apply).unwrap();
        assert!(applied == upright(&stored, orientation), "{what}");
        assert!(decode_oriented(bytes, ExifOrientation::Ignore).unwrap() == stored, "{what}");
    }

    #[test]
    fn all_eight_orientations_of_a_jpeg_are_applied_in_both_byte_orders() {
        for value in 1..=8 {
            assert_turned(&jpeg_with(&little(value)), value, "little endian");
            assert_turned(&jpeg_with(&exif(b"MM", 3, 1, [0, value, 0, 0])), value, "big endian");
            assert_turned(&jpeg_with(&exif(b"MM", 4, 1, [0, 0, 0, value])), value, "a long number");
        }
    }

    #[test]
    fn orientation_chunks_of_png_and_webp_are_applied() {
        for value in 1..=8 {
            assert_turned(&png_with(b"eXIf", &little(value), true), value, "before the pixels");
            assert_turned(&png_with(b"eXIf", &little(value), false), value, "after the pixels");
            let hex: String =
                [b"Exif\0\0", &little(value)[..]].concat().iter().map(|byte| format!("{byte:02x}")).collect();
            let text = format!("Raw profile type exif\0\nexif\n      32\n{}\n{}\n", &hex[..20], &hex[20..]);
            assert_turned(&png_with(b"tEXt", text.as_bytes(), true), value, "a raw profile");
            let mut webp = encoded(ImageFormat::WebP);
            let exif = little(value);
            webp.extend(b"EXIF");
            webp.extend((exif.len() as u32).to_le_bytes());
            webp.extend(exif);
            let size = webp.len() as u32 - 8;
            webp[4..8].copy_from_slice(&size.to_le_bytes());
            assert_eq!(orientation(&webp), Orientation::from_exif(value).unwrap(), "webp");
        }
    }

    #[test]
    fn xmp_orientation_is_used_without_exif() {
        const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
        let attribute = segment(XMP, b"<x tiff:Orientation=\"6\"/>");
        let element = segment(XMP, b"<tiff:Orientation>8</tiff:Orientation>");
        assert_turned(&with_segments(std::slice::from_ref(&attribute)), 6, "an attribute");
        assert_turned(&with_segments(&[element]), 8, "an element");
        for (bytes, expected) in
            [(little(3), 3), (little(0), 1), (little(3)[..15].to_vec(), 6), (b"XX*\0....".to_vec(), 1)]
        {
            let exif = segment(b"Exif\0\0", &bytes);
            assert_turned(&with_segments(&[exif, attribute.clone()]), expected, "EXIF takes precedence");
        }
        let text = b"XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation=\"5\"/>";
        assert_turned(&png_with(b"iTXt", text, true), 5, "png");
    }

    #[test]
    fn split_exif_segments_and_repeated_entries_are_read() {
        let complete = little(6);
        let parts = [segment(b"Exif\0\0", &complete[..15]), segment(b"Exif\0\0", &complete[15..])];
        assert_turned(&with_segments(&parts), 6, "two segments");
        let mut twice = little(6);
        twice[8] = 2;
        let entry = little(8)[10..22].to_vec();
        twice.splice(22..22, entry);
        assert_turned(&jpeg_with(&twice), 6, "the tag twice");
        assert_turned(&jpeg_with(&exif(b"II", 3, 2, [6, 0, 8, 0])), 6, "two values");
        let elsewhere = [exif(b"II", 3, 3, [26, 0, 0, 0]), vec![5, 0, 6, 0, 7, 0]].concat();
        assert_turned(&jpeg_with(&elsewhere), 5, "three values, stored outside of the entry");
        let long = [exif(b"II", 16, 1, [26, 0, 0, 0]), vec![6, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_turned(&jpeg_with(&long), 6, "eight bytes");
    }

    #[test]
    fn invalid_metadata_is_ignored() {
        let endless = [&b"II*\0\x08\0\0\0\xff\xff"[..], &[0xFF; 40]].concat();
        for (exif, what) in [
            (Vec::new(), "empty"),
            (b"Exif".to_vec(), "words"),
            (b"XX*\0\x08\0\0\0".to_vec(), "no byte order"),
            (b"II*\0\xff\xff\xff\xff".to_vec(), "a directory offset outside of the data"),
            (endless, "a directory with too many entries"),
            (little(0), "value 0"),
            (little(9), "value 9"),
            (exif(b"II", 3, 1, [6, 1, 0, 0]), "value 262"),
            (exif(b"II", 3, 3, [200, 0, 0, 0]), "an offset of values outside of the data"),
            (exif(b"II", 3, 0, [6, 0, 0, 0]), "no value"),
            (exif(b"II", 2, 1, *b"6\0\0\0"), "text"),
            (exif(b"II", 99, 1, [6, 0, 0, 0]), "an unknown type"),
            (exif(b"II", 3, u32::MAX, [6, 0, 0, 0]), "a count that is too large"),
        ] {
            assert_turned(&jpeg_with(&exif), 1, what);
        }
        for length in 0..22 {
            assert_turned(&jpeg_with(&little(6)[..length]), 1, "truncated");
        }
        assert_turned(&jpeg_with(&little(6)[..22]), 6, "truncated after the entry");
        assert_turned(&png_with(b"zTXt", b"Raw profile type exif\0\0no zlib data", true), 1, "png");
    }
}
