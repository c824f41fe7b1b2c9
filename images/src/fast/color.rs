//! Color changes in fixed point, several in one pass over the pixels.

use wide::{f32x4, i16x8, i32x4, u8x16};

use crate::augment::ColorChange;
use crate::planes::Planes;
use crate::resize::bytes;
use crate::rgb_image::CHANNELS;

/// Pixels that are changed together.
const LANES: usize = 16;

/// Applies changes in their order. Values differ from those of [`ColorChange::apply`] by few units: factors are rounded,
/// and changes of hue keep the saturation instead of rounding it to a byte.
pub(super) fn change(planes: &mut Planes, changes: &[ColorChange]) {
    let is_contrast = |change: &ColorChange| matches!(change, ColorChange::Contrast(_));
    let mut rest = changes;
    while !rest.is_empty() {
        // A change of contrast depends on all pixels, so it begins a new pass.
        let count = 1 + rest[1..].iter().position(is_contrast).unwrap_or(rest.len() - 1);
        let (now, later) = rest.split_at(count);
        let mean = if is_contrast(&now[0]) { mean_gray(planes) } else { 0 };
        let steps: Vec<Step> = now.iter().map(|change| Step::new(*change, mean)).collect();
        run(planes, &steps);
        rest = later;
    }
}

/// Returns the mean gray of the image, rounded.
fn mean_gray(planes: &mut Planes) -> u8 {
    let count = planes.side() * planes.side();
    let sum = |values: &[u8]| {
        values
            .chunks(1 << 16)
            .map(|values| values.iter().map(|&v| u32::from(v)).sum::<u32>())
            .map(f64::from)
            .sum::<f64>()
    };
    let [red, green, blue] = planes.values_mut().map(|values| sum(values));
    ((0.299 * red + 0.587 * green + 0.114 * blue) / count as f64 + 0.5) as u8
}

/// A change of pixels.
enum Step {
    Constant {
        base: u8x16,
        blend: Blend,
    },
    Saturation(Blend),
    /// In 255ths of the color circle.
    Hue {
        turn: f32,
    },
}

impl Step {
    fn new(change: ColorChange, mean: u8) -> Self {
        match change {
            ColorChange::Brightness(factor) => Self::Constant { base: u8x16::splat(0), blend: Blend::new(factor) },
            ColorChange::Contrast(factor) => Self::Constant { base: u8x16::splat(mean), blend: Blend::new(factor) },
            ColorChange::Saturation(factor) => Self::Saturation(Blend::new(factor)),
            ColorChange::Hue(factor) => Self::Hue { turn: f32::from((factor * 255.0) as i32 as u8) },
        }
    }

    #[inline(always)]
    fn apply(&self, block: &mut Block) {
        match self {
            Self::Constant { base, blend } => {
                for values in block {
                    *values = blend.apply(*base, *values);
                }
            }
            Self::Saturation(blend) => {
                let gray = gray(block);
                for values in block {
                    *values = blend.apply(gray, *values);
                }
            }
            Self::Hue { turn } => turn_hue(block, *turn),
        }
    }
}

/// Red, green and blue of 16 pixels.
type Block = [u8x16; CHANNELS];

fn run(planes: &mut Planes, steps: &[Step]) {
    let [reds, greens, blues] = planes.values_mut();
    let (red_blocks, reds) = reds.as_chunks_mut::<LANES>();
    let (green_blocks, greens) = greens.as_chunks_mut::<LANES>();
    let (blue_blocks, blues) = blues.as_chunks_mut::<LANES>();
    for ((reds, greens), blues) in red_blocks.iter_mut().zip(green_blocks).zip(blue_blocks) {
        run_block([reds, greens, blues], steps);
    }
    // The pixels after the last complete block.
    let rest = [reds, greens, blues];
    let mut padded = [[0; LANES]; CHANNELS];
    for (padded, values) in padded.iter_mut().zip(&rest) {
        padded[..values.len()].copy_from_slice(values);
    }
    run_block(padded.each_mut(), steps);
    for (padded, values) in padded.iter().zip(rest) {
        values.copy_from_slice(&padded[..values.len()]);
    }
}

#[inline(always)]
fn run_block([reds, greens, blues]: [&mut [u8; LANES]; CHANNELS], steps: &[Step]) {
    let mut block = [u8x16::new(*reds), u8x16::new(*greens), u8x16::new(*blues)];
    for step in steps {
        step.apply(&mut block);
    }
    *reds = block[0].to_array();
    *greens = block[1].to_array();
    *blues = block[2].to_array();
}

/// Pillow's blend of bytes, from a base at factor 0 to a value at factor 1 and beyond: truncated, not rounded.
struct Blend {
    /// The weights of the value and of the base in turns.
    weights: i16x8,
    /// Their fraction bits.
    bits: u32,
}

impl Blend {
    fn new(factor: f64) -> Self {
        /// Larger factors give black or white nearly everywhere.
        const LARGEST: f64 = 128.0;
        let factor = if factor.is_nan() { 0.0 } else { factor.clamp(-LARGEST, LARGEST) };
        // As many bits as both weights leave.
        let bits = (0..=14).rev().find(|bits| (factor.abs() + 1.0) * f64::from(1 << bits) <= f64::from(i16::MAX));
        let bits = bits.unwrap_or(0);
        let value = (factor * f64::from(1 << bits)).round() as i16;
        let base = (1 << bits) - value;
        Self { weights: i16x8::new([value, base, value, base, value, base, value, base]), bits }
    }

    #[inline(always)]
    fn apply(&self, base: u8x16, values: u8x16) -> u8x16 {
        let (low, high) = (u8x16::unpack_low(values, base), u8x16::unpack_high(values, base));
        let sums = |pairs: i16x8| pairs.dot(self.weights) >> self.bits;
        bytes([
            sums(i16x8::from_u8x16_low(low)),
            sums(i16x8::from_u8x16_high(low)),
            sums(i16x8::from_u8x16_low(high)),
            sums(i16x8::from_u8x16_high(high)),
        ])
    }
}

/// ITU-R 601-2 luma in 15-bit fixed point.
#[inline(always)]
fn gray(&[reds, greens, blues]: &Block) -> u8x16 {
    const BITS: u32 = 15;
    let first = i16x8::new([9798, 19235, 9798, 19235, 9798, 19235, 9798, 19235]);
    let second = i16x8::new([3735, 0, 3735, 0, 3735, 0, 3735, 0]);
    let half = i32x4::splat(1 << (BITS - 1));
    let sums = |red_green: i16x8, blue: i16x8| (red_green.dot(first) + blue.dot(second) + half) >> BITS;
    let zeros = u8x16::splat(0);
    let (low, high) = (u8x16::unpack_low(reds, greens), u8x16::unpack_high(reds, greens));
    let (blue_low, blue_high) = (u8x16::unpack_low(blues, zeros), u8x16::unpack_high(blues, zeros));
    bytes([
        sums(i16x8::from_u8x16_low(low), i16x8::from_u8x16_low(blue_low)),
        sums(i16x8::from_u8x16_high(low), i16x8::from_u8x16_high(blue_low)),
        sums(i16x8::from_u8x16_low(high), i16x8::from_u8x16_low(blue_high)),
        sums(i16x8::from_u8x16_high(high), i16x8::from_u8x16_high(blue_high)),
    ])
}

/// Turns the hue of 16 pixels.
#[inline(always)]
fn turn_hue(block: &mut Block, turn: f32) {
    let mut channels = [[0.0; LANES]; CHANNELS];
    for (floats, values) in channels.iter_mut().zip(&*block) {
        for (float, value) in floats.iter_mut().zip(values.to_array()) {
            *float = f32::from(value);
        }
    }
    let [reds, greens, blues] = &mut channels;
    for ((red, green), blue) in reds.iter_mut().zip(greens).zip(blues) {
        [*red, *green, *blue] = turned([*red, *green, *blue], turn);
    }
    for (values, floats) in block.iter_mut().zip(&channels) {
        let quarter = |start: usize| {
            let floats = f32x4::new([floats[start], floats[start + 1], floats[start + 2], floats[start + 3]]);
            floats.fast_trunc_int()
        };
        *values = bytes([quarter(0), quarter(4), quarter(8), quarter(12)]);
    }
}

/// Turns the hue of a pixel: the largest and the smallest channel keep their values. Half a unit is added, so that
/// truncation rounds.
#[inline(always)]
fn turned([red, green, blue]: [f32; 3], turn: f32) -> [f32; 3] {
    let largest = red.max(green).max(blue);
    let smallest = red.min(green).min(blue);
    let range = largest - smallest;
    // Sixths of the color circle. A gray pixel has no hue, and any hue leaves it gray.
    let per_range = 1.0 / range.max(1.0);
    let of_blue = 4.0 + (red - green) * per_range;
    let of_green = 2.0 + (blue - red) * per_range;
    let of_red = (green - blue) * per_range;
    let hue = if green == largest { of_green } else { of_blue };
    let hue = if red == largest { of_red } else { hue };
    let hue = if hue < 0.0 { hue + 6.0 } else { hue };
    // Pillow's hue is a byte: truncated, and a turn wraps at 256.
    let hue = floor(hue * (255.0 / 6.0)) + turn;
    let hue = if hue >= 256.0 { hue - 256.0 } else { hue };
    let hue = hue * (6.0 / 255.0);
    let channel = |share: f32| smallest + range * share.clamp(0.0, 1.0) + 0.5;
    [channel((hue - 3.0).abs() - 1.0), channel(2.0 - (hue - 2.0).abs()), channel(2.0 - (hue - 4.0).abs())]
}

/// Rounds a number from 0 to 255 down.
#[inline(always)]
fn floor(value: f32) -> f32 {
    /// The sum of a small number and this is the number rounded to an integer, plus this.
    const TO_INTEGER: f32 = 12_582_912.0;
    /// A little less than one half, so that integers stay.
    const ALMOST_HALF: f32 = 0.499;
    (value - ALMOST_HALF + TO_INTEGER) - TO_INTEGER
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sixteen values of each channel.
    const SIDE: usize = 64;

    fn colors() -> Vec<u8> {
        (0..SIDE * SIDE)
            .flat_map(|index| [index / 256, index / 16 % 16, index % 16].map(|part| (part * 17) as u8))
            .collect()
    }

    fn planes(side: usize, pixels: &[u8]) -> Planes {
        let mut planes = Planes::default();
        planes.set_side(side);
        for (channel, values) in planes.values_mut().into_iter().enumerate() {
            for (value, pixel) in values.iter_mut().zip(pixels.chunks_exact(CHANNELS)) {
                *value = pixel[channel];
            }
        }
        planes
    }

    /// Returns the largest and the mean difference from the exact changes.
    fn differences(side: usize, pixels: &[u8], changes: &[ColorChange]) -> (u8, f64) {
        let mut exact = crate::RgbImage { width: side, height: side, pixels: pixels.to_vec() };
        changes.iter().for_each(|change| change.apply(&mut exact));
        let mut planes = planes(side, pixels);
        change(&mut planes, changes);
        let mut found = Vec::new();
        planes.append_to(&mut found);
        let differences = || found.iter().zip(&exact.pixels).map(|(found, exact)| found.abs_diff(*exact));
        let mean = differences().map(f64::from).sum::<f64>() / found.len() as f64;
        (differences().max().unwrap_or(0), mean)
    }

    #[test]
    fn single_changes_are_close_to_the_exact_ones() {
        let pixels = colors();
        for factor in [0.0, 0.3, 0.6, 0.999, 1.0, 1.4, 2.0] {
            for change in
                [ColorChange::Brightness(factor), ColorChange::Contrast(factor), ColorChange::Saturation(factor)]
            {
                let (largest, mean) = differences(SIDE, &pixels, &[change]);
                assert!(largest <= 2 && mean < 0.3, "{change:?}: {largest}, mean {mean}");
            }
        }
        for factor in [-0.5, -0.2, -0.1, 0.0, 0.07, 0.2, 0.5] {
            let (largest, mean) = differences(SIDE, &pixels, &[ColorChange::Hue(factor)]);
            assert!(largest <= 6 && mean < 0.6, "hue {factor}: {largest}, mean {mean}");
        }
    }

    #[test]
    fn changes_in_any_order_are_close_to_the_exact_ones() {
        use ColorChange::{Brightness, Contrast, Hue, Saturation};
        let pixels = colors();
        for changes in [
            [Brightness(1.3), Contrast(0.7), Saturation(1.4), Hue(0.2)],
            [Contrast(1.4), Hue(-0.2), Brightness(0.6), Saturation(0.6)],
            [Hue(0.1), Saturation(1.2), Brightness(0.9), Contrast(1.1)],
        ] {
            let (largest, mean) = differences(SIDE, &pixels, &changes);
            assert!(largest <= 12 && mean < 1.0, "{changes:?}: {largest}, mean {mean}");
        }
    }

    #[test]
    fn pixels_after_the_last_block_are_changed_too() {
        for side in [1, 2, 5, 7, 9] {
            let pixels = &colors()[300..300 + side * side * CHANNELS];
            let (largest, _) = differences(side, pixels, &[ColorChange::Brightness(0.5), ColorChange::Contrast(1.5)]);
            assert!(largest <= 2, "{side}");
        }
    }

    #[test]
    fn extreme_factors_give_bytes() {
        for factor in [f64::NAN, f64::INFINITY, -1e300, 1e300] {
            let mut planes = planes(2, &colors()[..12]);
            let changes = [ColorChange::Brightness(factor), ColorChange::Contrast(factor), ColorChange::Hue(factor)];
            change(&mut planes, &changes);
            assert_eq!(planes.values_mut().map(|values| values.len()), [4; CHANNELS]);
        }
    }
}
