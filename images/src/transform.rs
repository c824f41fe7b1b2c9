//! The transform of images for evaluation.

use crate::RgbImage;
use crate::resize::{Window, crop, resize_window};

/// The evaluation transform: resizes the shorter side, then crops the center.
///
/// It equals torchvision's `Resize(resize)` and `CenterCrop(resolution)` on a Pillow image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalTransform {
    /// The shorter side after resizing, in pixels.
    pub resize: usize,
    /// Both sides of the result, in pixels.
    pub resolution: usize,
}

impl Default for EvalTransform {
    /// As published for ImageNet: 256, then 224.
    fn default() -> Self {
        Self { resize: 256, resolution: 224 }
    }
}

impl EvalTransform {
    /// Returns the `resolution` x `resolution` pixels at the center, with a black border if the resized image is
    /// smaller.
    ///
    /// Time and memory depend on the image and the resolution, not on the size of the resized image, which is enormous
    /// for an extreme aspect ratio.
    pub fn apply(&self, image: &RgbImage) -> RgbImage {
        let (width, height) = self.resized(image.width, image.height);
        let columns = Center::new(width, self.resolution);
        let rows = Center::new(height, self.resolution);
        let whole = (0.0, 0.0, image.width as f64, image.height as f64);
        let window = Window {
            columns: columns.start..columns.start + columns.length,
            rows: rows.start..rows.start + rows.length,
        };
        let seen = resize_window(image, whole, (width, height), window);
        if seen.width == self.resolution && seen.height == self.resolution {
            return seen;
        }
        crop(&seen, -(columns.border as i64), -(rows.border as i64), self.resolution, self.resolution)
    }

    /// Width and height after resizing: the shorter side as wanted, the longer one cut to an integer.
    fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let short = self.resize.max(1);
        // torchvision divides in double precision. The longer side cannot be shorter than the shorter one.
        let long = |long: usize, of: usize| ((short * long) as f64 / of as f64) as usize;
        if width <= height { (short, long(height, width)) } else { (long(width, height), short) }
    }
}

/// The middle of one axis.
struct Center {
    /// First pixel taken.
    start: usize,
    /// Number of pixels taken.
    length: usize,
    /// Black pixels before them.
    border: usize,
}

impl Center {
    fn new(size: usize, wanted: usize) -> Self {
        let wanted = wanted.max(1);
        if size < wanted {
            return Self { start: 0, length: size, border: (wanted - size) / 2 };
        }
        // A half is rounded to even, as Python does.
        let start = ((size - wanted) as f64 / 2.0).round_ties_even() as usize;
        Self { start, length: wanted, border: 0 }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::resize::resize;

    fn image(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height * 3).map(|index| (index * 31 % 253) as u8).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    #[test]
    fn crop_equals_the_center_of_the_resized_image() {
        let transform = EvalTransform { resize: 20, resolution: 15 };
        for (width, height, left, top) in
            [(50, 33, 8, 2), (33, 50, 2, 8), (7, 9, 2, 5), (20, 20, 2, 2), (40, 401, 2, 92)]
        {
            let source = image(width, height);
            let (resized_width, resized_height) = transform.resized(width, height);
            let full = resize(&source, resized_width, resized_height);
            assert_eq!(transform.apply(&source), crop(&full, left, top, 15, 15), "{width} x {height}");
        }
    }

    #[test]
    fn crop_offset_is_rounded_half_to_even() {
        let transform = EvalTransform::default();
        assert_eq!(transform.resized(500, 375), (341, 256));
        assert_eq!(transform.resized(375, 500), (256, 341));
        assert_eq!(transform.resized(220, 530), (256, 616));
        assert_eq!(Center::new(341, 224).start, 58);
        assert_eq!(Center::new(343, 224).start, 60);
    }

    #[test]
    fn a_resized_image_smaller_than_the_crop_gets_a_black_border() {
        let transform = EvalTransform { resize: 4, resolution: 7 };
        let result = transform.apply(&RgbImage::new(4, 4, vec![200; 48]).unwrap());
        assert_eq!((result.width, result.height), (7, 7));
        let lit = |row: usize, column: usize| result.pixels[(row * 7 + column) * 3] == 200;
        for (row, column) in (0..7).flat_map(|row| (0..7).map(move |column| (row, column))) {
            assert_eq!(lit(row, column), (1..5).contains(&row) && (1..5).contains(&column));
        }
    }

    /// The full resized image would have 25 million columns.
    #[test]
    fn extreme_aspect_ratio_computes_only_the_center() {
        for (width, height) in [(100_000, 1), (1, 100_000)] {
            let result = EvalTransform::default().apply(&image(width, height));
            assert_eq!(result.pixels.len(), 224 * 224 * 3);
        }
    }
}
