//! Checks whether a file looks complete from its header and its end, without decoding it.
//!
//! A positive answer means that `decode` can read the file unless its pixel data is damaged. A negative answer means
//! that only decoding can tell: the header is unusual, or the end is not in the expected place.

use std::fs::File;
use std::io::BufReader;
use std::os::unix::fs::FileExt;

use image::ImageFormat;
use tiff::decoder::Decoder;
use tiff::tags::Tag;

use super::{check_size, jpeg, raster};

/// Bytes read at a time.
const WINDOW: usize = 16 << 10;
/// Where the end is looked for: bytes that programs append are fewer.
const TAIL: u64 = 4096;
/// More segments than the header of any JPEG has.
const MAX_SEGMENTS: usize = 4096;

/// Returns whether a file of this length looks like a complete image.
pub(crate) fn looks_whole(file: &File, length: u64) -> bool {
    let mut window = Window { file, length, start: 0, bytes: Vec::new() };
    look(&mut window).unwrap_or(false)
}

/// Like [`looks_whole`]. Returns `None` if the file is too short or cannot be read.
fn look(window: &mut Window<'_>) -> Option<bool> {
    let beginning = window.get(0, window.length.min(16) as usize)?;
    if jpeg::is_jpeg(beginning) {
        return of_jpeg(window);
    }
    match image::guess_format(beginning).ok()? {
        ImageFormat::Png => of_png(window),
        ImageFormat::Gif => of_gif(window),
        ImageFormat::WebP => of_webp(window),
        ImageFormat::Bmp => of_bmp(window),
        ImageFormat::Tiff => of_tiff(window),
        _ => None,
    }
}

fn of_jpeg(window: &mut Window<'_>) -> Option<bool> {
    let mut at = 2;
    let mut is_plausible = false;
    for _ in 0..MAX_SEGMENTS {
        let [first, marker, a, b] = window.array(at)?;
        if first != 0xFF {
            return None;
        }
        match marker {
            // Markers may be padded.
            0xFF => {
                at += 1;
                continue;
            }
            // Start of scan: the pixel data follows, up to the end-of-image marker.
            0xDA => return Some(is_plausible && window.tail_holds(at + 4, &[0xFF, 0xD9])),
            // Baseline, extended and progressive frames, of one byte a value.
            0xC0..=0xC2 => {
                let [_, _, 8, h1, h0, w1, w0, 1 | 3 | 4] = window.array(at + 2)? else { return None };
                let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
                is_plausible = window.is_plausible(width.into(), height.into());
            }
            0xC4 | 0xDB..=0xEF | 0xFE => {}
            _ => return None,
        }
        let length = u64::from(u16::from_be_bytes([a, b]));
        if length < 2 {
            return None;
        }
        at += 2 + length;
    }
    None
}

fn of_png(window: &mut Window<'_>) -> Option<bool> {
    let [0, 0, 0, 13, b'I', b'H', b'D', b'R'] = window.array(8)? else { return None };
    let width = u32::from_be_bytes(window.array(16)?);
    let height = u32::from_be_bytes(window.array(20)?);
    let kinds = matches!(window.array(24)?, [1 | 2 | 4 | 8 | 16, 0] | [8 | 16, 2 | 4 | 6] | [1 | 2 | 4 | 8, 3]);
    Some(kinds && window.is_plausible(width, height) && window.tail_holds(33, &raster::PNG_END))
}

fn of_gif(window: &mut Window<'_>) -> Option<bool> {
    const TRAILER: u8 = 0x3B;
    let [w0, w1, h0, h1] = window.array(6)?;
    let (width, height) = (u16::from_le_bytes([w0, w1]), u16::from_le_bytes([h0, h1]));
    let last = window.length.checked_sub(1).filter(|&last| last > 13)?;
    Some(window.is_plausible(width.into(), height.into()) && window.array(last)? == [TRAILER])
}

fn of_webp(window: &mut Window<'_>) -> Option<bool> {
    let claimed = u64::from(u32::from_le_bytes(window.array(4)?)) + 8;
    let three = |[a, b, c]: [u8; 3]| u32::from_le_bytes([a, b, c, 0]) + 1;
    let (width, height) = match &window.array(12)? {
        b"VP8X" => (three(window.array(24)?), three(window.array(27)?)),
        b"VP8L" => {
            let [0x2F] = window.array(20)? else { return None };
            let bits = u32::from_le_bytes(window.array(21)?);
            ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        }
        b"VP8 " => {
            let [0x9D, 0x01, 0x2A, w0, w1, h0, h1] = window.array(23)? else { return None };
            let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
            (side(w0, w1), side(h0, h1))
        }
        _ => return None,
    };
    Some(claimed <= window.length && window.is_plausible(width, height))
}

fn of_bmp(window: &mut Window<'_>) -> Option<bool> {
    const HEADER: u32 = 40;
    let offset = u64::from(u32::from_le_bytes(window.array(10)?));
    let width = u32::try_from(i32::from_le_bytes(window.array(18)?)).ok()?;
    let height = i32::from_le_bytes(window.array(22)?).unsigned_abs();
    let bits = u16::from_le_bytes(window.array(28)?);
    let compression = u32::from_le_bytes(window.array(30)?);
    if u32::from_le_bytes(window.array(14)?) < HEADER || compression != 0 || !matches!(bits, 1 | 4 | 8 | 16 | 24 | 32) {
        return None;
    }
    let row = (u64::from(width) * u64::from(bits)).div_ceil(32) * 4;
    let end = offset.checked_add(row.checked_mul(u64::from(height))?)?;
    Some(end <= window.length && window.is_plausible(width, height))
}

fn of_tiff(window: &mut Window<'_>) -> Option<bool> {
    let mut decoder = Decoder::new(BufReader::new(window.file)).ok()?;
    let (width, height) = decoder.dimensions().ok()?;
    decoder.colortype().ok()?;
    let mut values = |tags: [Tag; 2]| tags.into_iter().find_map(|tag| decoder.get_tag_u64_vec(tag).ok());
    let offsets = values([Tag::StripOffsets, Tag::TileOffsets])?;
    let counts = values([Tag::StripByteCounts, Tag::TileByteCounts])?;
    let ends = offsets.iter().zip(&counts).map(|(offset, count)| offset.checked_add(*count));
    let are_within = ends.into_iter().all(|end| end.is_some_and(|end| end <= window.length));
    let is_supported = raster::check_tiff(BufReader::new(window.file)).is_ok();
    Some(offsets.len() == counts.len() && are_within && is_supported && window.is_plausible(width, height))
}

/// A part of the file in memory.
struct Window<'a> {
    file: &'a File,
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Returns the bytes at an offset, or `None` if there are fewer or they cannot be read.
    fn get(&mut self, at: u64, count: usize) -> Option<&[u8]> {
        let end = at.checked_add(count as u64).filter(|&end| end <= self.length)?;
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let wanted = WINDOW.max(count).min((self.length - at) as usize);
            self.bytes.resize(wanted, 0);
            if self.file.read_exact_at(&mut self.bytes, at).is_err() {
                self.bytes.clear();
                return None;
            }
            self.start = at;
        }
        let from = (at - self.start) as usize;
        self.bytes.get(from..from + count)
    }

    fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        self.get(at, N)?.try_into().ok()
    }

    /// Whether the last bytes, from `after` on, hold these.
    fn tail_holds(&mut self, after: u64, wanted: &[u8]) -> bool {
        let from = after.max(self.length.saturating_sub(TAIL));
        let Some(count) = self.length.checked_sub(from) else { return false };
        let tail = self.get(from, count as usize).unwrap_or_default();
        tail.windows(wanted.len()).any(|window| window == wanted)
    }

    fn is_plausible(&self, width: u32, height: u32) -> bool {
        let bytes = usize::try_from(self.length).unwrap_or(usize::MAX);
        width > 0 && height > 0 && check_size(width as usize, height as usize, bytes).is_ok()
    }
}
