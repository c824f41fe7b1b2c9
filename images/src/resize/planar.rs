//! Resizing to one plane per channel, with weights of 14 bits.

use std::ops::Range;

use super::arithmetic::Fast;
use super::passes::{Plane, for_each_pixel, vertical_pass};
use super::weights::Weights;
use crate::planes::{Placement, Planes};
use crate::rgb_image::{CHANNELS, RgbImage};

/// A rectangle of an image, in its pixels and parts of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Part {
    /// Left and right border.
    pub columns: (f64, f64),
    /// Upper and lower border.
    pub rows: (f64, f64),
}

/// Resizes a part of the image, which must be within it and not be empty, to the square of the planes. Pixels that do
/// not overlap the part contribute nothing.
///
/// The filter is that of [`resize`](super::resize()). Both passes round to bytes.
pub(crate) fn resize_to_planes(image: &RgbImage, part: Part, placement: Placement, planes: &mut Planes) {
    let side = planes.side();
    let (columns, left, right) = covered(part.columns, image.width);
    let (rows, top, bottom) = covered(part.rows, image.height);
    let stride = image.width * CHANNELS;
    let plane = Plane { pixels: &image.pixels[rows.start * stride + columns.start * CHANNELS..], stride };
    let horizontal = Weights::<Fast>::new(columns.len(), (left, right), side, 0..side);
    let vertical = Weights::<Fast>::new(rows.len(), (top, bottom), side, 0..side);
    // Vectors suit the pass along columns better, so it has the larger part of the work.
    let narrowed = vertical_pass(plane, &vertical, 0..columns.len());
    let narrowed = Plane { pixels: &narrowed, stride: columns.len() * CHANNELS };
    let (values, offsets) = planes.placed(placement);
    let [reds, greens, blues] = values;
    for_each_pixel(narrowed, &horizontal, 0..side, |row, column, [red, green, blue]| {
        let at = offsets.of(row, column);
        reds[at] = red;
        greens[at] = green;
        blues[at] = blue;
    });
}

/// Returns the pixels that a part of an axis overlaps, and the borders of the part relative to the first of them.
fn covered((start, end): (f64, f64), size: usize) -> (Range<usize>, f64, f64) {
    let first = (start as usize).min(size - 1);
    let after = (end.ceil() as usize).clamp(first + 1, size);
    (first..after, start - first as f64, end - first as f64)
}
