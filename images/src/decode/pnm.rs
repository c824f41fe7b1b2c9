//! Decoding of PNM files.

use super::{DecodeError, check_size, to_rgb};
use crate::rgb_image::RgbImage;

/// The longest number that is read.
const MAX_DIGITS: usize = 10;

/// Decodes a bitmap (P1, P4), graymap (P2, P5) or pixmap (P3, P6), in text or binary form.
pub(super) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let kind = match bytes {
        [b'P', kind @ b'1'..=b'6', separator, ..] if is_space(*separator) => *kind,
        _ => return Err(DecodeError::UnknownFormat),
    };
    let mut file = File { bytes, position: 2 };
    let (width, height) = (file.number()? as usize, file.number()? as usize);
    check_size(width, height, bytes.len())?;
    let pixels = match kind {
        b'1' => to_rgb::gray(&file.bits(width * height)?, 1, |value| value),
        b'4' => to_rgb::gray(&file.packed_bits(width, height)?, 1, |value| value),
        b'2' | b'5' => {
            let largest = file.largest()?;
            let samples = file.samples(kind, width * height, largest)?;
            // Pillow scales deep grayscale to 16 bits and then clips it to 8.
            let full = if largest > 255 { 65535 } else { 255 };
            to_rgb::gray(&samples, 1, |sample| to_rgb::clipped(scaled(sample, largest, full)))
        }
        _ => {
            let largest = file.largest()?;
            let samples = file.samples(kind, width * height * 3, largest)?;
            samples.into_iter().map(|sample| scaled(sample, largest, 255) as u8).collect()
        }
    };
    Ok(RgbImage::new(width, height, pixels)?)
}

/// From 0 to `largest` onto 0 to `full`, rounded as Python does.
fn scaled(sample: u16, largest: u16, full: u16) -> u16 {
    let value = f64::from(sample) / f64::from(largest) * f64::from(full);
    value.round_ties_even().min(f64::from(full)) as u16
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0B
}

/// The file, from a position on.
struct File<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl File<'_> {
    fn remaining(&self) -> &[u8] {
        &self.bytes[self.position..]
    }

    /// Returns the next byte outside of comments. A comment reads as the end of its line.
    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.position)?;
        self.position += 1;
        if byte != b'#' {
            return Some(byte);
        }
        let length = self.remaining().iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        self.position += length.map_or(self.remaining().len(), |length| length + 1);
        Some(b'\n')
    }

    /// The next number, and the one space behind it.
    fn number(&mut self) -> Result<u32, DecodeError> {
        let mut digits = String::new();
        while let Some(byte) = self.next() {
            match byte {
                b'0'..=b'9' if digits.len() < MAX_DIGITS => digits.push(char::from(byte)),
                _ if is_space(byte) && digits.is_empty() => {}
                _ if is_space(byte) => break,
                _ => return Err(broken("a number is missing")),
            }
        }
        if digits.is_empty() {
            return Err(DecodeError::Truncated);
        }
        digits.parse().map_err(|_| broken(&format!("the number {digits} is too large")))
    }

    /// Returns the maximum value of a sample.
    fn largest(&mut self) -> Result<u16, DecodeError> {
        let number = self.number()?;
        match u16::try_from(number) {
            Ok(largest) if largest > 0 => Ok(largest),
            _ => Err(broken(&format!("the largest value is between 1 and 65535, found {number}"))),
        }
    }

    fn samples(&mut self, kind: u8, count: usize, largest: u16) -> Result<Vec<u16>, DecodeError> {
        if matches!(kind, b'2' | b'3') {
            self.text_samples(count, largest)
        } else {
            self.binary_samples(count, largest)
        }
    }

    fn text_samples(&mut self, count: usize, largest: u16) -> Result<Vec<u16>, DecodeError> {
        // A digit each, and a space between them: known before memory is taken.
        if self.remaining().len() + 1 < 2 * count {
            return Err(DecodeError::Truncated);
        }
        let mut samples = Vec::with_capacity(count);
        for _ in 0..count {
            let value = self.number()?;
            match u16::try_from(value) {
                Ok(sample) if sample <= largest => samples.push(sample),
                _ => return Err(broken(&format!("no value is above {largest}, found {value}"))),
            }
        }
        Ok(samples)
    }

    /// Returns samples of one byte, or of two (big-endian) if the maximum value needs them.
    fn binary_samples(&mut self, count: usize, largest: u16) -> Result<Vec<u16>, DecodeError> {
        let size = if largest > 255 { 2 } else { 1 };
        let samples = self.remaining().get(..count * size).ok_or(DecodeError::Truncated)?;
        let value = |sample: &[u8]| sample.iter().fold(0, |value, &byte| value << 8 | u16::from(byte));
        Ok(samples.chunks_exact(size).map(value).collect())
    }

    /// Returns bits in text form, with or without spaces. 1 is black.
    fn bits(&mut self, count: usize) -> Result<Vec<u8>, DecodeError> {
        if self.remaining().len() < count {
            return Err(DecodeError::Truncated);
        }
        let mut gray = Vec::with_capacity(count);
        while gray.len() < count {
            match self.next().ok_or(DecodeError::Truncated)? {
                b'0' => gray.push(255),
                b'1' => gray.push(0),
                byte if is_space(byte) => {}
                _ => return Err(broken("a bit is neither 0 nor 1")),
            }
        }
        Ok(gray)
    }

    /// Returns bits packed eight per byte, most significant first, with each row starting at a byte. 1 is black.
    fn packed_bits(&mut self, width: usize, height: usize) -> Result<Vec<u8>, DecodeError> {
        let stride = width.div_ceil(8).max(1);
        let rows = self.remaining().get(..stride * height).ok_or(DecodeError::Truncated)?;
        let gray = |row: &[u8], x: usize| if row[x / 8] & (0x80 >> (x % 8)) == 0 { 255 } else { 0 };
        Ok(rows.chunks_exact(stride).flat_map(|row| (0..width).map(move |x| gray(row, x))).collect())
    }
}

fn broken(what: &str) -> DecodeError {
    DecodeError::Pnm(what.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn grays(bytes: &[u8]) -> Vec<u8> {
        decode(bytes).unwrap().pixels.chunks_exact(3).map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn text_and_binary_bitmaps_are_equal() {
        let expected = [255, 0, 255, 0, 0, 255, 255, 0, 255, 255];
        assert_eq!(grays(b"P1 # a comment\n5 2\n01011\n0 0 1 0\n0"), expected);
        assert_eq!(grays(b"P4\n5 2\n\x58\x20"), expected);
    }

    #[test]
    fn samples_are_scaled_to_a_byte() {
        assert_eq!(grays(b"P2 3 1 15 0 7 15"), [0, 119, 255]);
        assert_eq!(grays(b"P5 3 1 15\n\x00\x07\x0F"), [0, 119, 255]);
        assert_eq!(decode(b"P3 1 1 1000 0 500 1000").unwrap().pixels, [0, 128, 255]);
        assert_eq!(decode(b"P6 1 1 255\nabc").unwrap().pixels, b"abc");
    }

    #[test]
    fn deep_gray_is_clipped() {
        assert_eq!(grays(b"P5 3 1 65535\n\x00\x07\x00\xFF\x12\x34"), [7, 255, 255]);
    }

    #[test]
    fn truncated_and_inconsistent_files_are_rejected() {
        for bytes in [&b"P6 2 2 255\nabc"[..], b"P2 2 1 255 1", b"P1 4 1 010", b"P4 9 1\n\xFF", b"P5 1", b"P5 1 1 "] {
            assert!(matches!(decode(bytes), Err(DecodeError::Truncated)), "{bytes:?}");
        }
        for bytes in
            [&b"P5 1 1 0\na"[..], b"P5 1 1 70000\na", b"P2 1 1 9 10", b"P5 x 1 255", b"P1 1 1 2", b"P5 9999999999 1 1"]
        {
            assert!(matches!(decode(bytes), Err(DecodeError::Pnm(_))), "{bytes:?}");
        }
        assert!(matches!(decode(b"P5 0 1 255\n"), Err(DecodeError::Size(_))));
        assert!(matches!(decode(b"P2 99999999 99999999 255\n"), Err(DecodeError::TooLarge { .. })));
        assert!(matches!(decode(b"P7 1 1"), Err(DecodeError::UnknownFormat)));
    }
}
