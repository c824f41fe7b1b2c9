//! Color changes that equal torchvision's on Pillow images.

use wide::{f32x8, i16x8, i32x8, u8x16};

use crate::RgbImage;
use crate::rgb_image::CHANNELS;

/// Bytes of a vector.
const LANES: usize = 16;
/// Bytes of the pixels that are blended together.
const BLOCK: usize = LANES * CHANNELS;

/// Multiplies every value by `factor`: torchvision's `adjust_brightness` on a Pillow image, byte for byte.
pub fn adjust_brightness(image: &mut RgbImage, factor: f64) {
    blend_with_constant(image, 0, factor);
}

/// Moves every value away from the mean gray of the image, to `factor` times the distance: torchvision's
/// `adjust_contrast` on a Pillow image, byte for byte.
pub fn adjust_contrast(image: &mut RgbImage, factor: f64) {
    let sum: u64 = image.pixels.chunks_exact(CHANNELS).map(|pixel| u64::from(gray(pixel))).sum();
    let mean = sum as f64 / (image.pixels.len() / CHANNELS) as f64;
    blend_with_constant(image, (mean + 0.5) as u8, factor);
}

/// Moves every value away from the gray of its pixel, to `factor` times the distance: torchvision's `adjust_saturation`
/// on a Pillow image, byte for byte.
pub fn adjust_saturation(image: &mut RgbImage, factor: f64) {
    for pixels in image.pixels.chunks_mut(BLOCK) {
        let mut grays = [0; BLOCK];
        for (grays, pixel) in grays.chunks_exact_mut(CHANNELS).zip(pixels.chunks_exact(CHANNELS)) {
            grays.fill(gray(pixel));
        }
        for (values, grays) in pixels.chunks_mut(LANES).zip(grays.as_chunks().0) {
            blend(u8x16::new(*grays), values, factor as f32);
        }
    }
}

/// Pillow's gray value of a pixel: ITU-R 601-2 luma in 16-bit fixed point.
#[inline]
fn gray(pixel: &[u8]) -> u8 {
    ((u32::from(pixel[0]) * 19595 + u32::from(pixel[1]) * 38470 + u32::from(pixel[2]) * 7471 + 0x8000) >> 16) as u8
}

fn blend_with_constant(image: &mut RgbImage, base: u8, factor: f64) {
    for values in image.pixels.chunks_mut(LANES) {
        blend(u8x16::splat(base), values, factor as f32);
    }
}

/// Replaces up to 16 values by Pillow's blend in single precision: from `base` to the value at factor 1 and beyond;
/// truncated, not rounded.
#[inline(always)]
fn blend(base: u8x16, values: &mut [u8], factor: f32) {
    if let Ok(values) = <&mut [u8; LANES]>::try_from(&mut *values) {
        *values = blended(base, u8x16::new(*values), factor).to_array();
        return;
    }
    let mut padded = [0; LANES];
    padded[..values.len()].copy_from_slice(values);
    let blended = blended(base, u8x16::new(padded), factor).to_array();
    values.copy_from_slice(&blended[..values.len()]);
}

#[inline]
fn blended(base: u8x16, value: u8x16, factor: f32) -> u8x16 {
    let half = |base: i16x8, value: i16x8| {
        let floats = |integers| f32x8::from_i32x8(i32x8::from_i16x8(integers));
        let blended = floats(base) + f32x8::splat(factor) * floats(value - base);
        // Larger values would overflow. In this order, NaN (infinity times 0) stays NaN, which becomes 0.
        i16x8::from_i32x8_saturate(f32x8::splat(255.0).fast_min(blended).fast_trunc_int())
    };
    let low = half(i16x8::from_u8x16_low(base), i16x8::from_u8x16_low(value));
    let high = half(i16x8::from_u8x16_high(base), i16x8::from_u8x16_high(value));
    u8x16::narrow_i16x8(low, high)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::super::adjust_hue;
    use super::*;

    const SOURCE: [u8; 18] = [0, 53, 106, 37, 90, 143, 74, 127, 180, 91, 144, 197, 128, 181, 234, 165, 218, 15];

    fn changed(change: fn(&mut RgbImage, f64), factor: f64) -> Vec<u8> {
        let mut image = RgbImage::new(3, 2, SOURCE.to_vec()).unwrap();
        change(&mut image, factor);
        image.pixels
    }

    /// Values computed with torchvision 0.28 on Pillow 13.0.
    #[test]
    fn bytes_match_torchvision() {
        let brighter = [0, 79, 159, 55, 135, 214, 111, 190, 255, 136, 216, 255, 192, 255, 255, 247, 255, 22];
        assert_eq!(changed(adjust_brightness, 1.5), brighter);
        let flatter = [60, 87, 113, 79, 105, 132, 97, 124, 150, 106, 132, 159, 124, 151, 177, 143, 169, 68];
        assert_eq!(changed(adjust_contrast, 0.5), flatter);
        let richer = [0, 60, 150, 6, 97, 187, 43, 134, 224, 60, 151, 241, 97, 188, 255, 155, 245, 0];
        assert_eq!(changed(adjust_saturation, 1.7), richer);
        let turned = [106, 0, 77, 143, 37, 114, 180, 74, 151, 197, 91, 168, 234, 128, 205, 15, 211, 218];
        assert_eq!(changed(adjust_hue, 0.3), turned);
        let turned_back = [97, 106, 0, 134, 143, 37, 171, 180, 74, 188, 197, 91, 225, 234, 128, 192, 15, 218];
        assert_eq!(changed(adjust_hue, -0.4), turned_back);
        let turned_by_none = [0, 55, 106, 37, 92, 143, 74, 129, 180, 91, 146, 197, 128, 183, 234, 168, 218, 15];
        assert_eq!(changed(adjust_hue, 0.0), turned_by_none);
    }

    #[test]
    fn vectors_blend_like_single_values() {
        for factor in [0.0, 0.3, 0.999, 1.0, 1.4, 7.7, 3e9, -2.5, f32::INFINITY] {
            for base in 0..=u8::MAX {
                for first in (0..=u8::MAX).step_by(LANES) {
                    let values: [u8; LANES] = std::array::from_fn(|lane| first + lane as u8);
                    let plain =
                        values.map(|value| (f32::from(base) + factor * (f32::from(value) - f32::from(base))) as u8);
                    let found = blended(u8x16::splat(base), u8x16::new(values), factor);
                    assert_eq!(found.to_array(), plain, "{base} {factor}");
                }
            }
        }
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        for change in [adjust_brightness, adjust_contrast, adjust_saturation] {
            assert_eq!(changed(change, 1.0), SOURCE);
        }
    }

    #[test]
    fn a_factor_of_zero_gives_black_or_gray() {
        assert_eq!(changed(adjust_brightness, 0.0), [0; 18]);
        let gray = changed(adjust_contrast, 0.0);
        assert!(gray.iter().all(|&value| value == gray[0]));
        assert!(
            changed(adjust_saturation, 0.0).chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
        );
    }

    #[test]
    fn extreme_factors_do_not_panic() {
        for change in [adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue] {
            for factor in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
                assert_eq!(changed(change, factor).len(), 18);
            }
        }
    }
}
