//! Resizing along rows and along columns, in vectors of 16 bytes.

use std::ops::Range;

use wide::{i16x8, i32x4, i32x8, u8x16};

use super::arithmetic::Arithmetic;
use super::weights::Weights;
use crate::rgb_image::CHANNELS;

/// Bytes of a vector.
const LANES: usize = 16;
/// Rows that are resized together: they share their weights.
const ROWS: usize = 4;

/// Rows of pixels.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub pixels: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
}

/// Every row of `rows`, resized along itself.
pub(super) fn horizontal_pass<A: Arithmetic>(source: Plane<'_>, weights: &Weights<A>, rows: Range<usize>) -> Vec<u8> {
    let width = weights.taps.len() * CHANNELS;
    let mut result = vec![0; rows.len() * width];
    for_each_pixel(source, weights, rows, |row, column, pixel| {
        let at = row * width + column * CHANNELS;
        result[at..at + CHANNELS].copy_from_slice(&pixel);
    });
    result
}

/// Calls `write` with each pixel of the rows resized along themselves, and its row and column in the result.
#[inline]
pub(super) fn for_each_pixel<A: Arithmetic>(
    source: Plane<'_>,
    weights: &Weights<A>,
    rows: Range<usize>,
    mut write: impl FnMut(usize, usize, [u8; CHANNELS]),
) {
    let reach = weights.reach();
    let reach = reach.start * CHANNELS..reach.end * CHANNELS;
    // Copied, so that vectors can be read to the end of each row.
    let mut copies = vec![0; ROWS * (reach.len() + CHANNELS + LANES)];
    let stride = copies.len() / ROWS;
    for first in (0..rows.len()).step_by(ROWS) {
        let count = ROWS.min(rows.len() - first);
        for (row, copy) in (rows.start + first..).zip(copies.chunks_exact_mut(stride)).take(count) {
            copy[..reach.len()].copy_from_slice(&source.pixels[row * source.stride..][reach.clone()]);
        }
        let copies: [&[u8]; ROWS] = std::array::from_fn(|row| &copies[row * stride..][..stride]);
        for (column, taps) in weights.taps.iter().enumerate() {
            let mut sums = [A::default(); ROWS];
            let mut at = taps.first * CHANNELS - reach.start;
            for pair in weights.pairs(taps) {
                for (sums, row) in sums.iter_mut().zip(copies) {
                    // Two pixels in turns, channel by channel, then bytes without a meaning. A pixel after the last one
                    // of the filter has the weight 0.
                    let pixels = u8x16::unpack_low(load(row, at), load(row, at + CHANNELS));
                    sums.add(i16x8::from_u8x16_low(pixels), pair);
                }
                at += 2 * CHANNELS;
            }
            let [first_sums, second, third, fourth] = sums;
            let rounded = bytes([first_sums.rounded(), second.rounded(), third.rounded(), fourth.rounded()]).to_array();
            for (row, [red, green, blue, _]) in (first..first + count).zip(rounded.as_chunks().0) {
                write(row, column, [*red, *green, *blue]);
            }
        }
    }
}

/// The columns of `columns`, resized along themselves.
pub(super) fn vertical_pass<A: Arithmetic>(source: Plane<'_>, weights: &Weights<A>, columns: Range<usize>) -> Vec<u8> {
    let width = columns.len() * CHANNELS;
    let mut result = vec![0; weights.taps.len() * width];
    for (taps, row) in weights.taps.iter().zip(result.chunks_exact_mut(width)) {
        let rows = taps.first..taps.first + taps.count;
        let pairs = weights.pairs(taps);
        let mut column = columns.start * CHANNELS;
        let (blocks, rest) = row.as_chunks_mut::<LANES>();
        for block in blocks {
            *block = resized_block::<A>(rows.clone(), pairs, |row| load(source.pixels, row * source.stride + column));
            column += LANES;
        }
        if !rest.is_empty() {
            let block = resized_block::<A>(rows, pairs, |row| {
                let mut padded = [0; LANES];
                padded[..rest.len()].copy_from_slice(&source.pixels[row * source.stride + column..][..rest.len()]);
                u8x16::new(padded)
            });
            rest.copy_from_slice(&block[..rest.len()]);
        }
    }
    result
}

/// The sums of 16 columns over the rows.
#[inline]
fn resized_block<A: Arithmetic>(
    rows: Range<usize>,
    pairs: &[A::Pair],
    load_row: impl Fn(usize) -> u8x16,
) -> [u8; LANES] {
    let mut sums = [A::default(); 4];
    for (above, pair) in rows.clone().step_by(2).zip(pairs) {
        // The row after the last one has the weight 0.
        let below = load_row((above + 1).min(rows.end - 1));
        let above = load_row(above);
        let left = u8x16::unpack_low(above, below);
        let right = u8x16::unpack_high(above, below);
        sums[0].add(i16x8::from_u8x16_low(left), pair);
        sums[1].add(i16x8::from_u8x16_high(left), pair);
        sums[2].add(i16x8::from_u8x16_low(right), pair);
        sums[3].add(i16x8::from_u8x16_high(right), pair);
    }
    let [first, second, third, fourth] = sums;
    bytes([first.rounded(), second.rounded(), third.rounded(), fourth.rounded()]).to_array()
}

/// The 16 bytes from `at`.
#[inline]
fn load(bytes: &[u8], at: usize) -> u8x16 {
    let Some(&bytes) = bytes[at..].first_chunk() else { panic!("no 16 bytes from {at}") };
    u8x16::new(bytes)
}

/// The values as bytes, clamped.
#[inline(always)]
pub(crate) fn bytes([first, second, third, fourth]: [i32x4; 4]) -> u8x16 {
    let narrowed = |low: i32x4, high: i32x4| {
        let ([a, b, c, d], [e, f, g, h]) = (low.to_array(), high.to_array());
        i16x8::from_i32x8_saturate(i32x8::new([a, b, c, d, e, f, g, h]))
    };
    u8x16::narrow_i16x8(narrowed(first, second), narrowed(third, fourth))
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic::{Exact, LOW_BITS, PRECISION_BITS};
    use super::*;

    /// One half, added before the fraction is cut off.
    const HALF: i32 = 1 << (PRECISION_BITS - 1);

    /// Pillow's sums, one at a time.
    fn plain(source: &[u8], stride: usize, weights: &Weights<Exact>, across: usize) -> Vec<u8> {
        let mut result = Vec::new();
        for taps in &weights.taps {
            let fixed = weights.pairs(taps).iter().flat_map(|pair| {
                let (high, low) = (pair.high.to_array(), pair.low.to_array());
                [0, 1].map(|index| (i64::from(high[index]) << LOW_BITS) + i64::from(low[index]))
            });
            let fixed: Vec<i64> = fixed.take(taps.count).collect();
            for lane in 0..across {
                let values = (taps.first..).map(|tap| i64::from(source[tap * stride + lane]));
                let sum: i64 = fixed.iter().zip(values).map(|(weight, value)| weight * value).sum();
                result.push(((sum + i64::from(HALF)) >> PRECISION_BITS).clamp(0, 255) as u8);
            }
        }
        result
    }

    fn pixels(count: usize) -> Vec<u8> {
        (0..count).map(|index| (index * index * 7 + index * 31) as u8).collect()
    }

    #[test]
    fn vectors_equal_sums_one_at_a_time() {
        for (size, results) in [(1, 1), (2, 5), (7, 7), (50, 9), (9, 50), (333, 224), (3000, 1), (6001, 2)] {
            let weights = Weights::new(size, (0.0, size as f64), results, 0..results);
            let row = pixels(size * CHANNELS);
            let plane = Plane { pixels: &row, stride: row.len() };
            assert_eq!(horizontal_pass(plane, &weights, 0..1), plain(&row, CHANNELS, &weights, CHANNELS), "{size}");
            for width in [1, 5, 6, 11] {
                let image = pixels(size * width * CHANNELS);
                let plane = Plane { pixels: &image, stride: width * CHANNELS };
                let found = vertical_pass(plane, &weights, 0..width);
                assert_eq!(found, plain(&image, plane.stride, &weights, plane.stride), "{size} x {width}");
            }
        }
    }

    #[test]
    fn the_brightest_image_does_not_overflow() {
        for size in [1, 2, 3, 1000, 40_000] {
            let weights = Weights::<Exact>::new(size, (0.0, size as f64), 1, 0..1);
            let row = vec![255; size * CHANNELS];
            let plane = Plane { pixels: &row, stride: row.len() };
            assert_eq!(horizontal_pass(plane, &weights, 0..1), [255; CHANNELS], "{size}");
        }
    }
}
