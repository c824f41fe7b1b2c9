//! Training augmentation: crop, resize, flip and color jitter.

mod color;
mod hue;

use tfnas_random::Stream;

pub use color::{adjust_brightness, adjust_contrast, adjust_saturation};
pub use hue::adjust_hue;

use crate::RgbImage;
use crate::resize::{Window, crop, resize, resize_area};
use crate::rgb_image::CHANNELS;

/// How often a crop that does not fit is drawn again.
const CROP_TRIES: usize = 10;

/// Mirrors the image horizontally.
pub fn flip_horizontal(image: &mut RgbImage) {
    for row in image.pixels.chunks_exact_mut(image.width * CHANNELS) {
        row.as_chunks_mut::<CHANNELS>().0.reverse();
    }
}

/// Which part of a training image is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CropRule {
    /// A rectangle of random area and shape, resized: torchvision's `RandomResizedCrop`.
    RandomResized {
        /// Smallest and largest area, as a part of the image's.
        scale: [f64; 2],
        /// Smallest and largest width over height.
        ratio: [f64; 2],
    },
    /// A square of the resolution out of the image with a black border, not resized: torchvision's `RandomCrop`.
    Padded {
        /// Width of the border on each side, in pixels.
        padding: usize,
    },
}

/// Random changes of a training image. See [`TrainTransform::draw`] and [`TrainTransform::apply`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrainTransform {
    /// Both sides of the result, in pixels.
    pub resolution: usize,
    /// Which part is taken.
    pub crop: CropRule,
    /// Whether every second image is mirrored.
    pub flip: bool,
    /// Strength of the change of brightness: the factor is drawn from 1 - strength to 1 + strength, and not below 0.
    pub brightness: f64,
    /// Strength of the change of contrast, as for brightness.
    pub contrast: f64,
    /// Strength of the change of saturation, as for brightness.
    pub saturation: f64,
    /// Maximum hue shift in either direction, in turns. At most 0.5.
    pub hue: f64,
}

impl Default for TrainTransform {
    /// As published for ImageNet.
    fn default() -> Self {
        Self {
            resolution: 224,
            crop: CropRule::RandomResized { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] },
            flip: true,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.2,
        }
    }
}

/// A rectangle in pixel coordinates. It may extend beyond the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CropArea {
    /// First column.
    pub left: i64,
    /// First row.
    pub top: i64,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl CropArea {
    /// The area as a window of the image, if it does not extend beyond it and is not empty.
    fn within(self, image: &RgbImage) -> Option<Window> {
        let axis = |start: i64, length: usize, size: usize| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(length).filter(|&end| start < end && end <= size)?;
            Some(start..end)
        };
        Some(Window {
            columns: axis(self.left, self.width, image.width)?,
            rows: axis(self.top, self.height, image.height)?,
        })
    }
}

/// A change of colors by a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColorChange {
    /// By [`adjust_brightness`].
    Brightness(f64),
    /// By [`adjust_contrast`].
    Contrast(f64),
    /// By [`adjust_saturation`].
    Saturation(f64),
    /// By [`adjust_hue`].
    Hue(f64),
}

impl ColorChange {
    /// Changes the image.
    pub fn apply(self, image: &mut RgbImage) {
        match self {
            Self::Brightness(factor) => adjust_brightness(image, factor),
            Self::Contrast(factor) => adjust_contrast(image, factor),
            Self::Saturation(factor) => adjust_saturation(image, factor),
            Self::Hue(factor) => adjust_hue(image, factor),
        }
    }
}

/// The random parameters drawn for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainParameters {
    /// The part taken.
    pub crop: CropArea,
    /// Whether it is mirrored.
    pub flip: bool,
    /// The color changes, in the order of their application.
    pub colors: Vec<ColorChange>,
}

impl TrainTransform {
    /// Draws the parameters for an image of `width` x `height` pixels.
    pub fn draw(&self, width: usize, height: usize, stream: &mut Stream) -> TrainParameters {
        let crop = match self.crop {
            CropRule::RandomResized { scale, ratio } => draw_resized_crop(width, height, scale, ratio, stream),
            CropRule::Padded { padding } => CropArea {
                left: draw_padded_start(width, padding, self.resolution, stream),
                top: draw_padded_start(height, padding, self.resolution, stream),
                width: self.resolution,
                height: self.resolution,
            },
        };
        let flip = self.flip && stream.below(2) == 1;
        TrainParameters { crop, flip, colors: self.draw_colors(stream) }
    }

    /// Applies drawn parameters: crop, resize to `resolution` x `resolution`, flip, color changes.
    pub fn apply(&self, image: &RgbImage, parameters: &TrainParameters) -> RgbImage {
        let CropArea { left, top, width, height } = parameters.crop;
        let size = (self.resolution, self.resolution);
        let mut result = match parameters.crop.within(image) {
            _ if (width, height) == size => crop(image, left, top, width, height),
            Some(area) => resize_area(image, &area, size),
            None => resize(&crop(image, left, top, width, height), self.resolution, self.resolution),
        };
        if parameters.flip {
            flip_horizontal(&mut result);
        }
        for change in &parameters.colors {
            change.apply(&mut result);
        }
        result
    }

    /// Draws factors and order of the color changes. Changes of strength 0 are skipped.
    fn draw_colors(&self, stream: &mut Stream) -> Vec<ColorChange> {
        let mut colors = Vec::with_capacity(4);
        let around_one = |strength: f64, stream: &mut Stream| stream.between((1.0 - strength).max(0.0), 1.0 + strength);
        if self.brightness != 0.0 {
            colors.push(ColorChange::Brightness(around_one(self.brightness, stream)));
        }
        if self.contrast != 0.0 {
            colors.push(ColorChange::Contrast(around_one(self.contrast, stream)));
        }
        if self.saturation != 0.0 {
            colors.push(ColorChange::Saturation(around_one(self.saturation, stream)));
        }
        if self.hue != 0.0 {
            colors.push(ColorChange::Hue(stream.between(-self.hue, self.hue)));
        }
        stream.shuffle(&mut colors);
        colors
    }
}

/// Draws a rectangle with a uniform area and a log-uniform aspect ratio. After ten rectangles that do not fit, it
/// returns the largest centered one with an allowed aspect ratio.
fn draw_resized_crop(
    width: usize,
    height: usize,
    [smallest, largest]: [f64; 2],
    [narrowest, widest]: [f64; 2],
    stream: &mut Stream,
) -> CropArea {
    let area = width as f64 * height as f64;
    for _ in 0..CROP_TRIES {
        let target = area * stream.between(smallest, largest);
        let ratio = stream.between(narrowest.ln(), widest.ln()).exp();
        let crop_width = (target * ratio).sqrt().round_ties_even() as usize;
        let crop_height = (target / ratio).sqrt().round_ties_even() as usize;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            let top = stream.below((height - crop_height) as u64 + 1) as i64;
            let left = stream.below((width - crop_width) as u64 + 1) as i64;
            return CropArea { left, top, width: crop_width, height: crop_height };
        }
    }
    let ratio = width as f64 / height as f64;
    let (crop_width, crop_height) = if ratio < narrowest {
        (width, (width as f64 / narrowest).round_ties_even() as usize)
    } else if ratio > widest {
        ((height as f64 * widest).round_ties_even() as usize, height)
    } else {
        (width, height)
    };
    let (crop_width, crop_height) = (crop_width.clamp(1, width), crop_height.clamp(1, height));
    CropArea {
        left: ((width - crop_width) / 2) as i64,
        top: ((height - crop_height) / 2) as i64,
        width: crop_width,
        height: crop_height,
    }
}

/// Draws the first of `wanted` pixels out of `size` pixels with `padding` on both sides. An image that is smaller even
/// with padding is centered.
fn draw_padded_start(size: usize, padding: usize, wanted: usize, stream: &mut Stream) -> i64 {
    match size.saturating_add(padding.saturating_mul(2)).checked_sub(wanted) {
        Some(room) => stream.below(room as u64 + 1) as i64 - padding as i64,
        None => -((wanted.saturating_sub(size) / 2) as i64),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use tfnas_random::StreamId;

    use super::*;

    fn stream(index: u32) -> Stream {
        Stream::new(5, StreamId::Augment, 0, index)
    }

    fn image(width: usize, height: usize) -> RgbImage {
        let pixels = (0..width * height * CHANNELS).map(|index| (index * 29 % 251) as u8).collect();
        RgbImage::new(width, height, pixels).unwrap()
    }

    fn padded(padding: usize) -> TrainTransform {
        TrainTransform { resolution: 32, crop: CropRule::Padded { padding }, ..TrainTransform::default() }
    }

    #[test]
    fn flip_swaps_pixels_and_not_channels() {
        let mut mirrored = RgbImage::new(3, 2, (0..18).collect()).unwrap();
        flip_horizontal(&mut mirrored);
        assert_eq!(mirrored.pixels, [6, 7, 8, 3, 4, 5, 0, 1, 2, 15, 16, 17, 12, 13, 14, 9, 10, 11]);
    }

    #[test]
    fn the_same_stream_draws_the_same_parameters() {
        let transform = TrainTransform::default();
        let drawn = transform.draw(500, 375, &mut stream(3));
        assert_eq!(transform.draw(500, 375, &mut stream(3)), drawn);
        assert_ne!(transform.draw(500, 375, &mut stream(4)), drawn);
    }

    #[test]
    fn resized_crops_stay_within_the_image_the_scale_and_the_ratio() {
        let transform = TrainTransform::default();
        let (mut flips, mut first_is_hue) = (0, 0);
        for index in 0..2000 {
            let drawn = transform.draw(500, 375, &mut stream(index));
            let CropArea { left, top, width, height } = drawn.crop;
            assert!(left >= 0 && top >= 0 && left as usize + width <= 500 && top as usize + height <= 375);
            let share = (width * height) as f64 / (500.0 * 375.0);
            assert!((0.079..=1.0).contains(&share), "share {share}");
            let ratio = width as f64 / height as f64;
            assert!((0.74..1.35).contains(&ratio), "ratio {ratio}");
            flips += u32::from(drawn.flip);
            first_is_hue += u32::from(matches!(drawn.colors[0], ColorChange::Hue(_)));
            assert_eq!(drawn.colors.len(), 4);
        }
        assert!((900..1100).contains(&flips), "{flips} flips");
        assert!((400..600).contains(&first_is_hue), "{first_is_hue} with hue first");
    }

    #[test]
    fn factors_stay_within_their_strengths() {
        let transform = TrainTransform { brightness: 3.0, ..TrainTransform::default() };
        for index in 0..500 {
            for change in transform.draw(40, 40, &mut stream(index)).colors {
                assert!(match change {
                    ColorChange::Brightness(factor) => (0.0..4.0).contains(&factor),
                    ColorChange::Contrast(factor) | ColorChange::Saturation(factor) => (0.6..1.4).contains(&factor),
                    ColorChange::Hue(factor) => (-0.2..0.2).contains(&factor),
                });
            }
        }
    }

    #[test]
    fn a_crop_that_never_fits_becomes_the_largest_allowed_one_at_the_center() {
        let transform = TrainTransform {
            crop: CropRule::RandomResized { scale: [1.0, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] },
            ..TrainTransform::default()
        };
        let wide = transform.draw(1000, 30, &mut stream(0)).crop;
        assert_eq!(wide, CropArea { left: 480, top: 0, width: 40, height: 30 });
        let tall = transform.draw(30, 1000, &mut stream(0)).crop;
        assert_eq!(tall, CropArea { left: 0, top: 480, width: 30, height: 40 });
        let dot = transform.draw(1, 1, &mut stream(0)).crop;
        assert_eq!(dot, CropArea { left: 0, top: 0, width: 1, height: 1 });
    }

    #[test]
    fn padded_crops_reach_every_offset_and_show_a_black_border() {
        let transform = padded(4);
        let mut seen = [false; 9];
        for index in 0..300 {
            let crop = transform.draw(32, 32, &mut stream(index)).crop;
            assert_eq!((crop.width, crop.height), (32, 32));
            seen[(crop.left + 4) as usize] = true;
        }
        assert_eq!(seen, [true; 9]);

        let parameters = TrainParameters {
            crop: CropArea { left: -4, top: 0, width: 32, height: 32 },
            flip: false,
            colors: Vec::new(),
        };
        let source = image(32, 32);
        let shown = transform.apply(&source, &parameters);
        assert_eq!(shown.pixels[..12], [0; 12]);
        assert_eq!(shown.pixels[12..96], source.pixels[..84]);
    }

    #[test]
    fn image_smaller_than_its_crop_is_centered() {
        let drawn = padded(2).draw(10, 40, &mut stream(1));
        assert_eq!(drawn.crop.left, -11);
        assert!((-2..=10).contains(&drawn.crop.top));
        assert_eq!(padded(2).apply(&image(10, 40), &drawn).pixels.len(), 32 * 32 * 3);
    }

    #[test]
    fn changes_of_strength_zero_are_skipped() {
        let still = TrainTransform {
            flip: false,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            ..TrainTransform::default()
        };
        let drawn = still.draw(64, 64, &mut stream(9));
        assert!(!drawn.flip && drawn.colors.is_empty());
        let only_hue = TrainTransform { hue: 0.1, ..still };
        assert!(matches!(only_hue.draw(64, 64, &mut stream(9)).colors[..], [ColorChange::Hue(_)]));
    }

    #[test]
    fn result_has_the_resolution_for_any_image() {
        let transform = TrainTransform { resolution: 48, ..TrainTransform::default() };
        for (index, (width, height)) in [(1, 1), (1, 900), (900, 1), (48, 48), (200, 100)].into_iter().enumerate() {
            let drawn = transform.draw(width, height, &mut stream(index as u32));
            let result = transform.apply(&image(width, height), &drawn);
            assert_eq!((result.width, result.height, result.pixels.len()), (48, 48, 48 * 48 * 3));
        }
    }
}
