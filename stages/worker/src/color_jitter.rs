//! Color jitter of a batch on the device (`data.color_jitter: device`).

use std::ops::Range;

use tch::{Kind, Tensor};
use tfnas_images::ColorChange;

/// Weights of red, green and blue in the gray value of a pixel: ITU-R 601-2 luma, as in torchvision and Pillow.
const LUMA: [f64; 3] = [0.299, 0.587, 0.114];

/// The color changes of a batch as tensors, with which a few operations change all its images.
///
/// Each image has its changes in its own order. Round 0 applies the first change of each image, round 1 the second one, and so
/// on.
pub struct ColorJitter<T = Tensor> {
    /// `[rounds, 3, N, 1, 1, 1]` f32. A round replaces each value by an interpolation between a base and the value: the weight of
    /// the value (1 in images that do not change), and the parts of the pixel's gray and of the image's mean gray in the base.
    blends: T,
    /// `[K]` i64: the images with a change of hue, ordered by round.
    hue_images: T,
    /// `[K, 1, 1, 1]` f32: their changes of hue, in turns.
    hue_turns: T,
    /// The part of these images in each round.
    hue_rounds: Vec<Range<i64>>,
}

impl ColorJitter {
    /// Creates the tensors on the CPU from the changes of each image. Returns `None` if there are no changes.
    pub fn new(changes: &[Vec<ColorChange>]) -> Option<Self> {
        let rounds = changes.iter().map(Vec::len).max().filter(|&rounds| rounds > 0)?;
        let mut blends = Vec::new();
        let (mut hue_images, mut hue_turns, mut hue_rounds) = (Vec::<i64>::new(), Vec::<f32>::new(), Vec::new());
        for round in 0..rounds {
            let (mut weights, mut grays, mut means) = (Vec::new(), Vec::new(), Vec::new());
            let first_hue = hue_images.len() as i64;
            for (image, changes) in changes.iter().enumerate() {
                let (weight, gray, mean) = match changes.get(round) {
                    Some(&ColorChange::Brightness(factor)) => (factor, 0.0, 0.0),
                    Some(&ColorChange::Contrast(factor)) => (factor, 0.0, 1.0),
                    Some(&ColorChange::Saturation(factor)) => (factor, 1.0, 0.0),
                    Some(&ColorChange::Hue(turns)) => {
                        hue_images.push(image as i64);
                        hue_turns.push(turns as f32);
                        (1.0, 0.0, 0.0)
                    }
                    None => (1.0, 0.0, 0.0),
                };
                weights.push(weight as f32);
                grays.push(gray);
                means.push(mean);
            }
            blends.extend([weights, grays, means].concat());
            hue_rounds.push(first_hue..hue_images.len() as i64);
        }
        if hue_images.is_empty() {
            // Not in any round: an empty tensor has no memory that could be copied to a device.
            hue_images.push(0);
            hue_turns.push(0.0);
        }
        Some(Self {
            blends: Tensor::from_slice(&blends).view([rounds as i64, 3, changes.len() as i64, 1, 1, 1]),
            hue_images: Tensor::from_slice(&hue_images),
            hue_turns: Tensor::from_slice(&hue_turns).view([-1, 1, 1, 1]),
            hue_rounds,
        })
    }

    /// Changes the colors of images: `[N, H, W, 3]` f32 from 0 to 255, on the device of the tensors.
    ///
    /// The changes are those of torchvision for images of floating-point numbers: in contrast to [`ColorChange::apply`], which
    /// equals Pillow, nothing is rounded to bytes.
    pub fn apply(&self, images: &Tensor) -> Tensor {
        let mut images = images.shallow_clone();
        for (round, hue) in self.hue_rounds.iter().enumerate() {
            images = blend(&images, &self.blends.get(round as i64));
            let count = hue.end - hue.start;
            if count > 0 {
                let places = self.hue_images.narrow(0, hue.start, count);
                let turned = turn_hue(&images.index_select(0, &places), &self.hue_turns.narrow(0, hue.start, count));
                images = images.index_copy_(0, &places, &turned);
            }
        }
        images
    }
}

impl<T> ColorJitter<T> {
    /// Converts each tensor, for example by copying it to a device.
    pub fn try_map<U, E>(self, mut convert: impl FnMut(T) -> Result<U, E>) -> Result<ColorJitter<U>, E> {
        Ok(ColorJitter {
            blends: convert(self.blends)?,
            hue_images: convert(self.hue_images)?,
            hue_turns: convert(self.hue_turns)?,
            hue_rounds: self.hue_rounds,
        })
    }
}

/// Changes brightness, contrast and saturation by the numbers of one round, `[3, N, 1, 1, 1]`.
fn blend(images: &Tensor, numbers: &Tensor) -> Tensor {
    let [weights, gray_parts, mean_parts] = [0, 1, 2].map(|number| numbers.get(number));
    let [red, green, blue] = channels(images);
    let gray = red * LUMA[0] + green * LUMA[1] + blue * LUMA[2];
    let mean = gray.mean_dim([1, 2].as_slice(), true, Kind::Float);
    let base = gray * gray_parts + mean * mean_parts;
    base.lerp_tensor(images, &weights).clamp_(0.0, 255.0)
}

/// Turns the hue of images, `[K, H, W, 3]`, by `[K, 1, 1, 1]` turns. Value and saturation (of HSV) stay the same.
fn turn_hue(images: &Tensor, turns: &Tensor) -> Tensor {
    let [red, green, blue] = channels(images);
    let largest = images.amax([3].as_slice(), true);
    let range = &largest - images.amin([3].as_slice(), true);
    // The hue in sixths of a turn, times the range. A gray pixel has no hue, and its range is 0.
    let from_red = &green - &blue;
    let from_green = (&blue - &red) + &range * 2.0;
    let from_blue = (&red - &green) + &range * 4.0;
    let scaled = from_green.where_self(&green.eq_tensor(&largest), &from_blue);
    let scaled = from_red.where_self(&red.eq_tensor(&largest), &scaled);
    let hue = scaled / range.clamp_min(f64::from(f32::MIN_POSITIVE)) + turns * 6.0;
    // Each channel falls from the largest to the smallest value and rises again, a third of a turn apart from the others:
    // https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    let turned = [5.0, 3.0, 1.0].map(|offset| {
        let place = (&hue + offset).remainder(6.0);
        let below_largest = place.minimum(&(4.0 - &place)).clamp_(0.0, 1.0);
        &largest - &range * below_largest
    });
    Tensor::cat(&turned, 3)
}

/// Returns the red, green and blue of images, `[…, 3]`, as views of `[…, 1]`.
fn channels(images: &Tensor) -> [Tensor; 3] {
    [0, 1, 2].map(|channel| images.narrow(3, channel, 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas_images::RgbImage;
    use tfnas_random::{Stream, StreamId};

    use super::*;

    const SIDE: usize = 12;

    /// Images with all kinds of colors: random ones, gray ones, black and white.
    fn pixels(images: usize) -> Vec<u8> {
        let mut stream = Stream::new(3, StreamId::Augment, 0, 0);
        let mut pixels: Vec<u8> = (0..images * SIDE * SIDE * 3).map(|_| stream.below(256) as u8).collect();
        for image in pixels.chunks_exact_mut(SIDE * SIDE * 3) {
            image[..30].fill(0);
            image[30..60].fill(255);
            image[60..90].fill(77);
        }
        pixels
    }

    fn tensor(pixels: &[u8]) -> Tensor {
        Tensor::from_slice(pixels).view([-1, SIDE as i64, SIDE as i64, 3]).to_kind(Kind::Float)
    }

    fn values(images: &Tensor) -> Vec<f32> {
        images.contiguous().view([-1]).try_into().unwrap()
    }

    /// Largest and mean difference from the changes on bytes.
    fn differences_from_bytes(changes: &[Vec<ColorChange>]) -> (f32, f32) {
        let pixels = pixels(changes.len());
        let found = values(&ColorJitter::new(changes).unwrap().apply(&tensor(&pixels)));
        let expected = pixels.chunks_exact(SIDE * SIDE * 3).zip(changes).flat_map(|(pixels, changes)| {
            let mut image = RgbImage::new(SIDE, SIDE, pixels.to_vec()).unwrap();
            for change in changes {
                change.apply(&mut image);
            }
            image.pixels
        });
        let differences: Vec<f32> =
            found.iter().zip(expected).map(|(found, byte)| (found - f32::from(byte)).abs()).collect();
        (differences.iter().copied().fold(0.0, f32::max), differences.iter().sum::<f32>() / differences.len() as f32)
    }

    #[test]
    fn brightness_contrast_and_saturation_differ_from_bytes_by_rounding_alone() {
        for change in [ColorChange::Brightness, ColorChange::Contrast, ColorChange::Saturation] {
            let changes: Vec<_> = [0.0, 0.6, 1.0, 1.4, 3.0].map(|factor| vec![change(factor)]).into();
            let (largest, mean) = differences_from_bytes(&changes);
            assert!(largest <= 3.0 && mean < 0.8, "{:?}: {largest} {mean}", changes[0]);
        }
    }

    /// The textbook conversion of a color to HSV and back, in double precision.
    fn turned([red, green, blue]: [f64; 3], turns: f64) -> [f64; 3] {
        let largest = red.max(green).max(blue);
        let range = largest - red.min(green).min(blue);
        if range == 0.0 {
            return [red, green, blue];
        }
        let hue = if red == largest {
            (green - blue) / range
        } else if green == largest {
            2.0 + (blue - red) / range
        } else {
            4.0 + (red - green) / range
        };
        let hue = (hue + 6.0 * turns).rem_euclid(6.0);
        let chroma = range * (1.0 - (hue % 2.0 - 1.0).abs());
        let [red, green, blue] = match hue as u8 {
            0 => [range, chroma, 0.0],
            1 => [chroma, range, 0.0],
            2 => [0.0, range, chroma],
            3 => [0.0, chroma, range],
            4 => [chroma, 0.0, range],
            _ => [range, 0.0, chroma],
        };
        [red, green, blue].map(|channel| channel + largest - range)
    }

    #[test]
    fn hue_is_turned_as_in_double_precision() {
        for turns in [-0.5, -0.2, 0.0, 0.07, 0.5] {
            let pixels = pixels(1);
            let jitter = ColorJitter::new(&[vec![ColorChange::Hue(turns)]]).unwrap();
            let found = values(&jitter.apply(&tensor(&pixels)));
            let expected = pixels.as_chunks::<3>().0.iter().flat_map(|pixel| turned(pixel.map(f64::from), turns));
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{turns}: {found} instead of {expected}");
            }
        }
    }

    #[test]
    fn each_image_has_its_changes_in_its_order() {
        use ColorChange::{Brightness, Contrast, Hue, Saturation};
        let changes = [
            vec![Brightness(0.7), Contrast(1.3), Saturation(0.8), Hue(0.1)],
            vec![Hue(-0.15), Saturation(1.4), Brightness(1.2), Contrast(0.6)],
            vec![],
            vec![Contrast(0.9)],
            vec![Saturation(0.6), Hue(0.2), Contrast(1.4), Brightness(1.4)],
        ];
        let together = ColorJitter::new(&changes).unwrap().apply(&tensor(&pixels(5)));
        for (image, changes) in changes.iter().enumerate() {
            let before = tensor(&pixels(5)).narrow(0, image as i64, 1);
            let mut alone = before.shallow_clone();
            for change in changes {
                alone = ColorJitter::new(&[vec![*change]]).unwrap().apply(&alone);
            }
            for (found, expected) in values(&together.narrow(0, image as i64, 1)).iter().zip(values(&alone)) {
                assert!((found - expected).abs() < 1e-3, "image {image}: {found} instead of {expected}");
            }
        }
        // Bytes of hue are coarse, so single values differ more than by rounding.
        let (largest, mean) = differences_from_bytes(&changes);
        assert!(largest < 20.0 && mean < 1.5, "{largest} {mean}");
    }

    #[test]
    fn no_changes_need_no_tensors() {
        assert!(ColorJitter::new(&[]).is_none());
        assert!(ColorJitter::new(&[vec![], vec![]]).is_none());
    }

    #[test]
    fn input_is_not_modified() {
        let images = tensor(&pixels(2));
        let changes = [vec![ColorChange::Hue(0.3)], vec![ColorChange::Contrast(0.5)]];
        let _ = ColorJitter::new(&changes).unwrap().apply(&images);
        assert_eq!(values(&images), values(&tensor(&pixels(2))));
    }
}
