//! Resizing and cropping, byte for byte like Pillow.

mod arithmetic;
mod passes;
mod planar;
mod weights;

use std::ops::Range;

use arithmetic::Exact;
pub(crate) use passes::bytes;
use passes::{Plane, horizontal_pass, vertical_pass};
pub(crate) use planar::{Part, resize_to_planes};
use weights::Weights;

use crate::rgb_image::{CHANNELS, RgbImage};

/// Part of a resized image, in its pixels.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub columns: Range<usize>,
    pub rows: Range<usize>,
}

/// Resizes as Pillow's `resize((width, height), BILINEAR)` does, byte for byte: a triangle filter as wide as the
/// reduction (so that every source pixel counts), fixed-point weights, each pass rounded to bytes.
///
/// A width or height of 0 is taken as 1.
pub fn resize(image: &RgbImage, width: usize, height: usize) -> RgbImage {
    resize_box(image, (0.0, 0.0, image.width as f64, image.height as f64), width, height)
}

/// Like [`resize`], for the part (left, top, right, bottom) of the image: Pillow's `resize` with `box`.
///
/// The part is in source pixels, may have fractional bounds, and is clipped to the image. Source pixels just outside
/// the part contribute within the range of the filter.
pub fn resize_box(image: &RgbImage, part: (f64, f64, f64, f64), width: usize, height: usize) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    resize_window(image, part, (width, height), Window { columns: 0..width, rows: 0..height })
}

/// Copies a rectangle like Pillow's `crop`. Pixels outside of the image are black.
///
/// A width or height of 0 counts as 1.
pub fn crop(image: &RgbImage, left: i64, top: i64, width: usize, height: usize) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    let mut pixels = vec![0; width * height * CHANNELS];
    let (source_columns, column) = overlap(left, width, image.width);
    let (source_rows, row) = overlap(top, height, image.height);
    let bytes = source_columns.len() * CHANNELS;
    for (source_row, row) in source_rows.zip(row..) {
        let from = (source_row * image.width + source_columns.start) * CHANNELS;
        let to = (row * width + column) * CHANNELS;
        pixels[to..to + bytes].copy_from_slice(&image.pixels[from..from + bytes]);
    }
    RgbImage { width, height, pixels }
}

/// Returns which of `size` source pixels are covered by the `length` pixels from `start`, and the destination of the
/// first one.
fn overlap(start: i64, length: usize, size: usize) -> (Range<usize>, usize) {
    let start = i128::from(start);
    let end = start + length as i128;
    let first = start.clamp(0, size as i128);
    let last = end.clamp(first, size as i128);
    (first as usize..last as usize, (first - start).clamp(0, length as i128) as usize)
}

/// Crops, then resizes: `resize(&crop(…), width, height)` without the copy between. Pixels outside the area, which must
/// be within the image and not be empty, contribute nothing.
pub(crate) fn resize_area(image: &RgbImage, area: &Window, (width, height): (usize, usize)) -> RgbImage {
    let source = Source::area(image, area);
    let whole = (0.0, 0.0, source.width as f64, source.height as f64);
    source.resized(whole, (width, height), Window { columns: 0..width, rows: 0..height })
}

/// The window of the image resized to `size` (width, height), without computing the rest of it.
///
/// The window must be within `size` and not be empty.
pub(crate) fn resize_window(
    image: &RgbImage,
    part: (f64, f64, f64, f64),
    size: (usize, usize),
    window: Window,
) -> RgbImage {
    let whole = Window { columns: 0..image.width, rows: 0..image.height };
    Source::area(image, &whole).resized(part, size, window)
}

/// The pixels to resize.
struct Source<'a> {
    plane: Plane<'a>,
    width: usize,
    height: usize,
}

impl<'a> Source<'a> {
    fn area(image: &'a RgbImage, area: &Window) -> Self {
        let stride = image.width * CHANNELS;
        let pixels = &image.pixels[area.rows.start * stride + area.columns.start * CHANNELS..];
        Self { plane: Plane { pixels, stride }, width: area.columns.len(), height: area.rows.len() }
    }

    fn resized(
        &self,
        (left, top, right, bottom): (f64, f64, f64, f64),
        (width, height): (usize, usize),
        window: Window,
    ) -> RgbImage {
        let horizontal = Weights::<Exact>::new(self.width, (left, right), width, window.columns.clone());
        let vertical = Weights::<Exact>::new(self.height, (top, bottom), height, window.rows.clone());
        let source_columns = horizontal.reach();
        let source_rows = vertical.reach();

        // Each pass rounds, so the order of the passes affects the result. Pillow chooses it from the sizes of the whole
        // images:
        let fewer_rows = self.height as i64 - height as i64;
        let fewer_columns = self.width as i64 - width as i64;
        let vertical_first = fewer_rows > 0 && fewer_rows > fewer_columns * 2;

        let pixels = if vertical_first {
            let narrowed = vertical_pass(self.plane, &vertical, source_columns.clone());
            let narrowed = Plane { pixels: &narrowed, stride: source_columns.len() * CHANNELS };
            horizontal_pass(narrowed, &horizontal.shifted(source_columns.start), 0..window.rows.len())
        } else {
            let narrowed = horizontal_pass(self.plane, &horizontal, source_rows.clone());
            let narrowed = Plane { pixels: &narrowed, stride: window.columns.len() * CHANNELS };
            vertical_pass(narrowed, &vertical.shifted(source_rows.start), 0..window.columns.len())
        };
        RgbImage { width: window.columns.len(), height: window.rows.len(), pixels }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize) -> RgbImage {
        let value = |x: usize, y: usize, channel: usize| ((x * 37 + y * 91 + channel * 53) % 256) as u8;
        let pixels = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| (0..CHANNELS).map(move |channel| value(x, y, channel))))
            .collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    /// Values computed with Pillow 13.0.
    #[test]
    fn bytes_match_pillow() {
        let smaller = [81, 118, 150, 111, 155, 123, 160, 151, 157, 114, 120, 111, 87, 116, 140, 121, 153, 127];
        assert_eq!(resize(&image(5, 4), 3, 2).pixels, smaller);
        let larger = [
            0, 53, 106, 19, 72, 125, 37, 90, 143, 46, 99, 152, 65, 118, 171, 83, 136, 189, 91, 144, 197, 110, 163, 216,
            128, 181, 234,
        ];
        assert_eq!(resize(&image(2, 2), 3, 3).pixels, larger);
        let rows_first = [108, 131, 135, 105, 128, 127, 136, 130, 132, 126, 145, 124];
        assert_eq!(resize(&image(3, 9), 2, 2).pixels, rows_first);
        let part = [127, 150, 147, 153, 170, 83, 115, 92, 106, 72, 123, 155];
        assert_eq!(resize_box(&image(5, 4), (0.5, 1.0, 4.25, 3.5), 2, 2).pixels, part);
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let source = image(13, 7);
        assert_eq!(resize(&source, 13, 7), source);
    }

    #[test]
    fn one_color_stays_one_color() {
        for value in [0, 1, 127, 254, 255] {
            let source = RgbImage::new(19, 31, vec![value; 19 * 31 * 3]).unwrap();
            for (width, height) in [(1, 1), (7, 100), (64, 3), (19, 500)] {
                assert!(resize(&source, width, height).pixels.iter().all(|&found| found == value));
            }
        }
    }

    #[test]
    fn window_equals_the_crop_of_the_full_result() {
        for (source, width, height) in [(image(40, 30), 17, 23), (image(20, 90), 15, 11), (image(5, 6), 31, 29)] {
            let full = (0.0, 0.0, source.width as f64, source.height as f64);
            let window = Window { columns: 3..12, rows: 5..9 };
            let part = resize_window(&source, full, (width, height), window);
            assert_eq!(part, crop(&resize(&source, width, height), 3, 5, 9, 4));
        }
    }

    #[test]
    fn resized_area_equals_the_resized_crop() {
        let source = image(40, 30);
        for (columns, rows) in [(0..40, 0..30), (3..20, 7..29), (39..40, 29..30), (10..30, 0..1)] {
            let cropped = crop(&source, columns.start as i64, rows.start as i64, columns.len(), rows.len());
            for (width, height) in [(17, 23), (9, 2), (64, 1)] {
                let area = Window { columns: columns.clone(), rows: rows.clone() };
                let resized = resize_area(&source, &area, (width, height));
                assert_eq!(resized, resize(&cropped, width, height), "{area:?} to {width} x {height}");
            }
        }
    }

    #[test]
    fn a_crop_beyond_the_image_is_black() {
        let source = image(3, 2);
        let part = crop(&source, -1, 1, 3, 2);
        let mut expected = vec![0; 18];
        expected[3..9].copy_from_slice(&source.pixels[9..15]);
        assert_eq!(part.pixels, expected);
        for (left, top) in [(3, 0), (-3, 0), (0, 2), (0, -2), (i64::MIN, i64::MAX), (i64::MAX, i64::MIN)] {
            assert_eq!(crop(&source, left, top, 3, 2).pixels, [0; 18], "{left} {top}");
        }
    }

    #[test]
    fn areas_and_sizes_out_of_range_are_clamped() {
        let source = image(6, 6);
        assert_eq!(resize_box(&source, (-4.0, -4.0, 60.0, 60.0), 3, 3), resize(&source, 3, 3));
        assert_eq!(resize(&source, 0, 0).pixels.len(), 3);
        for part in [(5.0, 5.0, 2.0, 2.0), (6.0, 6.0, 6.0, 6.0), (f64::NAN, 0.0, f64::INFINITY, f64::NAN)] {
            assert_eq!(resize_box(&source, part, 4, 4).pixels.len(), 48, "{part:?}");
        }
    }
}
