//! The change of hue, byte for byte as Pillow and torchvision compute it.
//!
//! Pillow converts each pixel to HSV bytes and back, in a mixture of single and double precision that affects the result. What
//! depends on few bytes is looked up in tables, which the exact conversion fills.

use std::sync::OnceLock;

use crate::RgbImage;
use crate::rgb_image::CHANNELS;

/// Turns the hue of every pixel by `factor`, in turns: torchvision's `adjust_hue` on a Pillow image, byte for byte.
///
/// Hue and saturation are rounded to bytes on the way, so that a turn by 0 changes colors slightly too.
pub fn adjust_hue(image: &mut RgbImage, factor: f64) {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let tables = TABLES.get_or_init(Tables::new);
    let turn = (factor * 255.0) as i32 as u8;
    for pixel in image.pixels.chunks_exact_mut(CHANNELS) {
        let turned = tables.turned([pixel[0], pixel[1], pixel[2]], turn);
        pixel.copy_from_slice(&turned);
    }
}

/// Hues per sixth of the color circle, in halves.
const SIXTH: u32 = 85;

/// Immutable tables of the conversion.
struct Tables {
    /// Hue by [`hue_index`].
    hue: Vec<u8>,
    /// Saturation by range from the smallest to the largest channel, and largest channel.
    saturation: Vec<u8>,
    /// By hue.
    sectors: [Sector; 256],
}

impl Tables {
    fn new() -> Self {
        let mut hue = vec![0; 8 << 16];
        for range in 0..=u8::MAX {
            for middle in 0..=range {
                // Only differences between channels count, so the smallest one can be 0.
                for pixel in [
                    [range, middle, 0],
                    [range, 0, middle],
                    [middle, range, 0],
                    [0, range, middle],
                    [middle, 0, range],
                    [0, middle, range],
                ] {
                    hue[hue_index(pixel, range, middle)] = hsv_of_rgb(pixel)[0];
                }
            }
        }
        let bytes = || 0..=u8::MAX;
        let pairs = || bytes().flat_map(move |first| bytes().map(move |second| (first, second)));
        let saturation = |(range, largest): (u8, u8)| hsv_of_rgb([largest, largest, largest.saturating_sub(range)])[1];
        Self {
            hue,
            saturation: pairs().map(saturation).collect(),
            sectors: std::array::from_fn(|hue| Sector::of(hue as u8)),
        }
    }

    /// Returns the pixel with its hue turned by `turn` 255ths.
    fn turned(&self, pixel: [u8; 3], turn: u8) -> [u8; 3] {
        let [red, green, blue] = pixel;
        let value = red.max(green).max(blue);
        let smallest = red.min(green).min(blue);
        let middle = red.min(green).max(red.max(green).min(blue));
        let range = value.wrapping_sub(smallest);
        let saturation = self.saturation[pair_index(range, value)];
        let hue = self.hue[hue_index(pixel, range, middle.wrapping_sub(smallest))].wrapping_add(turn);
        let sector = self.sectors[usize::from(hue)];
        // If the saturation is 0, all three channels are the value.
        let smallest = smallest_channel(saturation, value);
        let middle = sector.middle_channel(saturation, value);
        let [red, green, blue, _] = u32::from(smallest)
            .wrapping_mul(0x01_01_01)
            .wrapping_add(u32::from(middle.wrapping_sub(smallest)).wrapping_mul(sector.middle))
            .wrapping_add(u32::from(value.wrapping_sub(smallest)).wrapping_mul(sector.largest))
            .to_le_bytes();
        [red, green, blue]
    }
}

/// Returns the position in a table by two bytes.
fn pair_index(first: u8, second: u8) -> usize {
    usize::from(first) << 8 | usize::from(second)
}

/// Returns the position in the table of hues: by the order of the channels, the range, and the distance of the middle channel
/// from the smallest. Of equal channels, the first counts as the largest, as in Pillow.
fn hue_index([red, green, blue]: [u8; 3], range: u8, middle: u8) -> usize {
    let order = usize::from(red >= green) << 2 | usize::from(green >= blue) << 1 | usize::from(red >= blue);
    order << 16 | pair_index(range, middle)
}

/// A sixth of the color circle, and a place in it.
#[derive(Clone, Copy)]
struct Sector {
    /// Which of three bytes is the largest channel, as the weight of the byte in a number.
    largest: u32,
    /// Which of three bytes is the middle channel, likewise.
    middle: u32,
    /// How far the middle channel is from the largest, in parts of `SIXTH`.
    below_largest: u32,
}

impl Sector {
    fn of(hue: u8) -> Self {
        let (sector, place) = (2 * u32::from(hue) / SIXTH, 2 * u32::from(hue) % SIXTH);
        let (largest, middle) = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)][sector as usize % 6];
        let below_largest = if sector.is_multiple_of(2) { SIXTH - place } else { place };
        Self { largest: 1 << (8 * largest), middle: 1 << (8 * middle), below_largest }
    }

    /// Rounds as Pillow's floating-point numbers do: the exact result is never so close to a half that their error matters.
    fn middle_channel(self, saturation: u8, value: u8) -> u8 {
        const PARTS: u32 = 255 * SIXTH;
        let share = PARTS.wrapping_sub(u32::from(saturation).wrapping_mul(self.below_largest));
        ((2 * u32::from(value)).wrapping_mul(share).wrapping_add(PARTS) / (2 * PARTS)) as u8
    }
}

/// Rounds as [`Sector::middle_channel`].
fn smallest_channel(saturation: u8, value: u8) -> u8 {
    ((2 * u32::from(value)).wrapping_mul(u32::from(255 - saturation)).wrapping_add(255) / 510) as u8
}

/// Pillow's conversion. Its mixture of single and double precision affects the results.
fn hsv_of_rgb([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let largest = red.max(green).max(blue);
    let smallest = red.min(green).min(blue);
    if largest == smallest {
        return [0, 0, largest];
    }
    let range = f32::from(largest - smallest);
    let saturation = range / f32::from(largest);
    let below = |value: u8| f32::from(largest - value) / range;
    let (red_below, green_below, blue_below) = (below(red), below(green), below(blue));
    let sector = if red == largest {
        blue_below - green_below
    } else if green == largest {
        (2.0 + f64::from(red_below) - f64::from(blue_below)) as f32
    } else {
        (4.0 + f64::from(green_below) - f64::from(red_below)) as f32
    };
    let turned = f64::from(sector) / 6.0 + 1.0;
    let hue = if turned < 1.0 { turned } else { turned - 1.0 } as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, largest]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pillow's conversion back.
    fn rgb_of_hsv(hue: u8, saturation: u8, value: u8) -> [u8; 3] {
        if saturation == 0 {
            return [value; 3];
        }
        let position = f64::from(hue) * 6.0 / 255.0;
        let sector = position as u8;
        let fraction = (position - f64::from(sector)) as f32;
        let saturation = (f64::from(saturation) / 255.0) as f32;
        let brightest = f64::from(value);
        let darkest = rounded(brightest * (1.0 - f64::from(saturation)));
        let falling = rounded(brightest * (1.0 - f64::from(saturation * fraction)));
        let rising = rounded(brightest * (1.0 - f64::from(saturation) * (1.0 - f64::from(fraction))));
        match sector % 6 {
            0 => [value, rising, darkest],
            1 => [falling, value, darkest],
            2 => [darkest, value, rising],
            3 => [darkest, falling, value],
            4 => [rising, darkest, value],
            _ => [value, darkest, falling],
        }
    }

    /// Rounds to the nearest integer, halves up. For non-negative values this equals C's `round` without the function call.
    fn rounded(value: f64) -> u8 {
        let whole = value as u8;
        whole + u8::from(value - f64::from(whole) >= 0.5)
    }

    #[test]
    fn tables_give_the_bytes_of_the_exact_conversion() {
        let tables = Tables::new();
        for index in 0..1u32 << 24 {
            let [_, red, green, blue] = index.to_be_bytes();
            // Every turn occurs with many colors, and every color with one turn.
            let turn = (index.wrapping_mul(2_654_435_761) >> 24) as u8;
            let [hue, saturation, value] = hsv_of_rgb([red, green, blue]);
            let expected = rgb_of_hsv(hue.wrapping_add(turn), saturation, value);
            assert_eq!(tables.turned([red, green, blue], turn), expected, "{red} {green} {blue} by {turn}");
        }
    }

    #[test]
    fn channels_are_rounded_as_in_c() {
        for (hue, saturation) in (0..=u8::MAX).flat_map(|hue| (0..=u8::MAX).map(move |saturation| (hue, saturation))) {
            for value in 0..=u8::MAX {
                let mut expected = rgb_of_hsv(hue, saturation, value);
                expected.sort_unstable();
                let middle = Sector::of(hue).middle_channel(saturation, value);
                assert_eq!([smallest_channel(saturation, value), middle], expected[..2], "{hue} {saturation} {value}");
            }
        }
    }
}
