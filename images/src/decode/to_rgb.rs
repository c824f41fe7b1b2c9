//! What Pillow's `convert("RGB")` makes of pixels of other kinds.

use crate::rgb_image::CHANNELS;

/// Of pixels of `step` values the first one, three times: grey, with or without alpha.
pub(super) fn grey<T: Copy>(values: &[T], step: usize, to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / step * CHANNELS);
    for pixel in values.chunks_exact(step) {
        rgb.extend([to_byte(pixel[0]); CHANNELS]);
    }
    rgb
}

/// Of pixels of four values the first three: colours with alpha.
pub(super) fn without_alpha<T: Copy>(values: &[T], to_byte: impl Fn(T) -> u8) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(values.len() / 4 * CHANNELS);
    for pixel in values.chunks_exact(4) {
        rgb.extend(pixel[..CHANNELS].iter().map(|&value| to_byte(value)));
    }
    rgb
}

/// Four inks a pixel, 0 is none; mixed without a colour profile.
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

/// The colour channels of 16 bits keep their upper 8.
pub(super) fn upper_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

/// Grey of 16 bits without alpha is not scaled: what is above 255 becomes 255.
pub(super) fn clipped(value: u16) -> u8 {
    value.min(255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_quotients() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            let quotient = f64::from(a) * f64::from(b) / 255.0;
            assert_eq!(rounded_share(a, b), quotient.round() as u8, "{a} {b}");
        }
    }

    #[test]
    fn inks_take_light_away() {
        let inks = [0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 0, 128, 9, 9, 9, 255];
        assert_eq!(cmyk(&inks), [255, 255, 255, 0, 255, 255, 127, 0, 127, 0, 0, 0]);
    }
}
