//! Decoding of JPEG with libjpeg-turbo.

use std::borrow::Cow;

use turbojpeg::{Colorspace, DecompressHeader, Decompressor, Image, PixelFormat, ScalingFactor};

use super::{DecodeError, check_size, to_rgb};
use crate::rgb_image::RgbImage;

/// Maximum number of scans of a progressive JPEG. Encoders write far fewer; in a malicious file each scan of a few
/// bytes costs a pass over the complete image.
const MAX_SCANS: u32 = 500;

/// Beginnings of the messages by which the decoder reports damage it passed over, as Pillow does too.
const WARNINGS: [&str; 6] = [
    "Corrupt JPEG data",
    "Inconsistent progression sequence",
    "Unknown Adobe color transform",
    "Warning: unknown JFIF",
    "Invalid SOS parameters",
    "Application transferred too many scanlines",
];

/// Message of the decoder that had to invent the end of the file.
const PREMATURE_END: &str = "Premature end of JPEG file";

/// End of the decoder's message about bytes that it did not need.
const LEFT_OVER_BEFORE_END: &str = "extraneous bytes before marker 0xd9";

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;
const APP0: u8 = 0xE0;
const APP1: u8 = 0xE1;
const APP14: u8 = 0xEE;
const APP15: u8 = 0xEF;
const COMMENT: u8 = 0xFE;

/// Whether the bytes begin as a JPEG file does: a start-of-image marker, then another one.
pub(crate) fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFF, 0xD8, 0xFF])
}

/// Decodes with the slow integer DCT and smooth upsampling of colors: libjpeg's defaults, which Pillow keeps.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    Jpeg::open(bytes)?.decode()
}

/// A JPEG file with a readable header and an allowed size.
pub(crate) struct Jpeg<'a> {
    decompressor: Decompressor,
    header: DecompressHeader,
    /// The file, changed so that the decoder reads it if necessary. It has an end marker.
    bytes: Cow<'a, [u8]>,
    /// Whether the file itself has an end marker.
    has_end: bool,
    /// The file with fewer rows, and its header.
    shortened: Option<(DecompressHeader, Vec<u8>)>,
}

impl<'a> Jpeg<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let has_end = has_end(bytes);
        let mut bytes = match has_end {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned([bytes, &[0xFF, END_OF_IMAGE]].concat()),
        };
        let mut decompressor = Decompressor::new()?;
        decompressor.set_scan_limit(MAX_SCANS)?;
        // The header is read again before decoding and must cause no warning then.
        let header = match decompressor.read_header(&bytes) {
            Ok(header) => header,
            Err(_) => {
                bytes = Cow::Owned(with_plain_header(&bytes));
                decompressor.read_header(&bytes)?
            }
        };
        check_size(header.width, header.height, bytes.len())?;
        Ok(Self { decompressor, header, bytes, has_end, shortened: None })
    }

    /// Width and height in pixels, as stored.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.header.width, self.header.height)
    }

    /// Returns whether [`decode_scaled`](Self::decode_scaled) can reduce the image.
    pub(crate) fn is_scalable(&self) -> bool {
        !self.header.is_lossless
    }

    /// Reduces the image to its first rows, `rows` or a few more: the decoder skips the data of the others. Files for which
    /// this is unusual keep all rows.
    pub(crate) fn keep_rows(&mut self, rows: usize) {
        /// More than one row of the blocks that are coded together, for any sampling of colors.
        const STEP: usize = 32;
        let rows = rows.next_multiple_of(STEP);
        let DecompressHeader { height, is_progressive, is_lossless, is_arithmetic, .. } = self.header;
        if rows >= height || !self.has_end || is_progressive || is_lossless || is_arithmetic {
            return;
        }
        let mut segments = Segments::new(&self.bytes);
        let Some(frame) = segments.find(|segment| is_start_of_frame(segment.marker)) else { return };
        // Marker, length, bits per value, height.
        let at = segments.position - frame.bytes.len() + 5;
        let mut shortened = self.bytes.to_vec();
        let (Some(stated), Ok(rows)) = (shortened.get_mut(at..at + 2), u16::try_from(rows)) else { return };
        stated.copy_from_slice(&rows.to_be_bytes());
        let header = self.decompressor.read_header(&shortened).ok();
        self.shortened = header.filter(|header| header.height == usize::from(rows)).map(|header| (header, shortened));
    }

    /// Like [`keep_rows`](Self::keep_rows), so that [`decode`](Self::decode) gives the first `rows` rows the same colors as if
    /// all rows were decoded: colors of a lower resolution are interpolated with those of the next two rows.
    pub(crate) fn keep_exact_rows(&mut self, rows: i64) {
        const NEXT: i64 = 2;
        if let Ok(rows) = usize::try_from(rows.saturating_add(NEXT)) {
            self.keep_rows(rows);
        }
    }

    /// Decodes like Pillow.
    pub(crate) fn decode(self) -> Result<RgbImage, DecodeError> {
        self.decode_at(ScalingFactor::ONE, Vec::new())
    }

    /// Decodes to `scale` times the size, rounded up, and repeats colors of a lower resolution instead of interpolating
    /// them. `memory` is reused for the pixels.
    pub(crate) fn decode_scaled(mut self, scale: ScalingFactor, memory: Vec<u8>) -> Result<RgbImage, DecodeError> {
        self.decompressor.set_fast_upsample(true)?;
        self.decode_at(scale, memory)
    }

    fn decode_at(mut self, scale: ScalingFactor, memory: Vec<u8>) -> Result<RgbImage, DecodeError> {
        let Some((header, bytes)) = self.shortened.take() else { return self.decode_whole(scale, memory) };
        let (whole, file) =
            (std::mem::replace(&mut self.header, header), std::mem::replace(&mut self.bytes, Cow::Owned(bytes)));
        match self.decode_whole(scale, memory) {
            // Damage in the skipped rows can end the decoding of fewer rows, and not that of all.
            Err(_) => {
                (self.header, self.bytes) = (whole, file);
                self.decode_whole(scale, Vec::new())
            }
            decoded => decoded,
        }
    }

    /// Decodes the file of `header` and `bytes`.
    fn decode_whole(&mut self, scale: ScalingFactor, mut pixels: Vec<u8>) -> Result<RgbImage, DecodeError> {
        self.decompressor.set_scaling_factor(scale)?;
        let DecompressHeader { width, height, .. } = self.header.scaled(scale);
        let format = match self.header.colorspace {
            Colorspace::CMYK | Colorspace::YCCK => PixelFormat::CMYK,
            _ => PixelFormat::RGB,
        };
        let pitch = width * format.size();
        // Zeros, so that what remains of another image never shows in a damaged one.
        pixels.clear();
        pixels.resize(pitch * height, 0);
        let output = Image { pixels: pixels.as_mut_slice(), width, pitch, height, format };
        let outcome = self.decompressor.decompress(&self.bytes, output);
        match self.has_end {
            true => check_tolerated(outcome)?,
            false => check_only_end_missing(&self.header, outcome)?,
        }
        if format == PixelFormat::CMYK {
            // Pillow treats every CMYK JPEG as inverted, as Adobe writes them.
            pixels.iter_mut().for_each(|ink| *ink = !*ink);
            pixels = to_rgb::cmyk(&pixels);
        }
        Ok(RgbImage::new(width, height, pixels)?)
    }
}

/// Ignores warnings. The image is complete in spite of them.
fn check_tolerated(outcome: turbojpeg::Result<()>) -> Result<(), DecodeError> {
    match outcome {
        Err(turbojpeg::Error::TurboJpegError(message)) if message.starts_with(PREMATURE_END) => {
            Err(DecodeError::Truncated)
        }
        Err(turbojpeg::Error::TurboJpegError(message))
            if WARNINGS.iter().any(|warning| message.starts_with(warning)) =>
        {
            Ok(())
        }
        other => Ok(other?),
    }
}

/// Evaluates a file whose end marker was added: it was complete if more bytes remained than the pixels needed, such as
/// the zeros that a camera writes instead of the end marker. Pillow decodes such files unless they are progressive.
fn check_only_end_missing(header: &DecompressHeader, outcome: turbojpeg::Result<()>) -> Result<(), DecodeError> {
    match outcome {
        Err(turbojpeg::Error::TurboJpegError(message))
            if message.ends_with(LEFT_OVER_BEFORE_END) && !header.is_progressive =>
        {
            Ok(())
        }
        _ => Err(DecodeError::Truncated),
    }
}

/// A marker and the range of its segment: from its first 0xFF to the end of its payload.
struct Segment<'a> {
    marker: u8,
    bytes: &'a [u8],
}

/// The markers of a file in order. Bytes between segments, such as scan data, are skipped.
struct Segments<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Segments<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        loop {
            let rest = self.bytes.get(self.position..)?;
            let start = self.position + memchr::memchr(0xFF, rest)?;
            let marker = *self.bytes.get(start + 1)?;
            let length = match marker {
                // A stuffed zero belongs to the data of a scan, a further 0xFF to a marker padded with them.
                0x00 => {
                    self.position = start + 2;
                    continue;
                }
                0xFF => {
                    self.position = start + 1;
                    continue;
                }
                0x01 | 0xD0..=END_OF_IMAGE => 0,
                _ => {
                    let length = self.bytes.get(start + 2..start + 4)?;
                    usize::from(u16::from_be_bytes([length[0], length[1]]))
                }
            };
            let end = start + 2 + length;
            self.position = end;
            return Some(Segment { marker, bytes: self.bytes.get(start..end)? });
        }
    }
}

/// The payloads of the APP1 segments before the first scan, which hold EXIF and XMP.
pub(super) fn app1_payloads(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    Segments::new(bytes)
        .take_while(|segment| segment.marker != START_OF_SCAN)
        .filter(|segment| segment.marker == APP1)
        .filter_map(|segment| segment.bytes.get(4..))
}

fn is_start_of_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

/// Whether an end-of-image marker follows the first scan.
fn has_end(bytes: &[u8]) -> bool {
    let mut in_scan = false;
    for segment in Segments::new(bytes) {
        in_scan |= segment.marker == START_OF_SCAN;
        if segment.marker == END_OF_IMAGE {
            return in_scan;
        }
    }
    false
}

/// Returns the file without the parts of its header that are not needed and may be damaged: application data, comments,
/// and bytes between segments. The parts that define the color space are kept: the JFIF marker, and Adobe's marker with
/// a transform that every decoder interprets in the same way.
fn with_plain_header(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut components = 3;
    let mut adobe_transform = None;
    let mut consumed = 0;
    let mut segments = Segments::new(bytes);
    while let Some(segment) = segments.next() {
        if segment.marker == START_OF_SCAN {
            consumed = segments.position - segment.bytes.len();
            break;
        }
        match segment.marker {
            APP0 if segment.bytes.get(4..9) == Some(b"JFIF\0") => {
                let version = plain.len() + 9;
                plain.extend_from_slice(segment.bytes);
                if let Some(version) = plain.get_mut(version) {
                    *version = 1;
                }
            }
            APP14 if segment.bytes.get(4..9) == Some(b"Adobe") => {
                plain.extend_from_slice(segment.bytes);
                adobe_transform = (segment.bytes.len() > 15).then(|| plain.len() - segment.bytes.len() + 15);
            }
            APP0..=APP15 | COMMENT => {}
            marker => {
                if is_start_of_frame(marker) {
                    components = segment.bytes.get(9).copied().unwrap_or(components);
                }
                plain.extend_from_slice(segment.bytes);
            }
        }
    }
    if let Some(transform) = adobe_transform.and_then(|position| plain.get_mut(position)) {
        // Unknown transforms count as the usual ones: YCbCr for three components, YCCK for four.
        *transform = match (components, *transform) {
            (_, 0) => 0,
            (4, _) => 2,
            _ => 1,
        };
    }
    plain.extend_from_slice(&bytes[consumed..]);
    plain
}
