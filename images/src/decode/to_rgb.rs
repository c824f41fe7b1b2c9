//! Pillow's `convert("RGB")` for other kinds of pixels.

use crate::rgb_image::CHANNELS;

/// Repeats the first of every `step` values three times: gray, with or without alpha.
pub(super) fn gray<T: Copy>(values: &[T], step: usize, to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / step * CHANNELS);
    for pixel in values.chunks_exact(step) {
        rgb.extend([to_byte(pixel[0]); CHANNELS]);
    }
    rgb
}

/// Keeps the first three of every four values: colors with alpha.
pub(super) fn without_alpha<T: Copy>(values: &[T], to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / 4 * CHANNELS);
    for pixel in values.chunks_exact(4) {
        rgb.extend(pixel[..CHANNELS].iter().map(|&value| to_byte(value)));
    }
    rgb
}

/// Converts four inks per pixel, 0 being none, without a color profile.
pub(super) fn cmyk(inks: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(inks.len() / 4 * CHANNELS);
    for pixel in inks.chunks_exact(4) {
        let white = 255 - pixel[3];
        rgb.extend(pixel[..CHANNELS].iter().map(|&ink| white.saturating_sub(rounded_share(ink, white))));
    }
    rgb
}

/// `a * b / 255`, rounded.
fn rounded_share(a: u8, b: u8) -> u8 {
    let product = u32::from(a) * u32::from(b) + 128;
    ((product + (product >> 8)) >> 8) as u8
}

/// Keeps the upper 8 bits of 16-bit color channels.
pub(super) fn upper_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

/// Clips 16-bit gray without alpha to 255 instead of scaling it.
pub(super) fn clipped(value: u16) -> u8 {
    value.min(255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_rounded_quotients() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            let quotient = f64::from(a) * f64::from(b) / 255.0;
            assert_eq!(rounded_share(a, b), quotient.round() as u8, "{a} {b}");
        }
    }

    #[test]
    fn inks_subtract_light() {
        let inks = [0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 128, 9, 9, 9, 255];
        assert_eq!(cmyk(&inks), [255, 255, 255, 0, 255, 255, 127, 0, 127, 0, 0, 0]);
    }
}
