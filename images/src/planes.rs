//! Square images with one plane per channel.

use image::metadata::Orientation;

use crate::rgb_image::CHANNELS;

/// A square image: one plane each of red, green and blue.
#[derive(Default)]
pub(crate) struct Planes {
    side: usize,
    /// `[3][side * side]`.
    values: [Vec<u8>; CHANNELS],
}

/// How pixels that are computed row by row are turned and mirrored.
#[derive(Clone, Copy)]
pub(crate) struct Placement {
    /// How the image is stored.
    pub orientation: Orientation,
    /// Whether the upright image is mirrored horizontally.
    pub flip: bool,
}

/// The place in a plane by row and column as computed.
pub(crate) struct Offsets {
    first: usize,
    per_row: isize,
    per_column: isize,
}

impl Offsets {
    #[inline]
    pub(crate) fn of(&self, row: usize, column: usize) -> usize {
        let offset = row as isize * self.per_row + column as isize * self.per_column;
        self.first.wrapping_add_signed(offset)
    }
}

impl Placement {
    fn offsets(self, side: usize) -> Offsets {
        let Axes { swapped, mirrored: [mut across, mut down] } = Axes::of(self.orientation);
        let last = side.saturating_sub(1);
        let (mut x_step, mut y_step) = (1, side as isize);
        let mut first = 0;
        // The horizontal axis of the upright image is the vertical one of the stored image if axes are swapped.
        let upright_across = if swapped { &mut down } else { &mut across };
        *upright_across ^= self.flip;
        if swapped {
            std::mem::swap(&mut across, &mut down);
        }
        if across {
            (first, x_step) = (first + last, -x_step);
        }
        if down {
            (first, y_step) = (first + last * side, -y_step);
        }
        let (per_row, per_column) = if swapped { (x_step, y_step) } else { (y_step, x_step) };
        Offsets { first, per_row, per_column }
    }
}

/// The axes of a stored image in its upright form.
pub(crate) struct Axes {
    /// Whether the stored horizontal axis becomes the vertical one.
    pub swapped: bool,
    /// Whether the stored horizontal and vertical axes run backwards in the upright image.
    pub mirrored: [bool; 2],
}

impl Axes {
    pub(crate) fn of(orientation: Orientation) -> Self {
        let (swapped, mirrored) = match orientation {
            Orientation::NoTransforms => (false, [false, false]),
            Orientation::FlipHorizontal => (false, [true, false]),
            Orientation::FlipVertical => (false, [false, true]),
            Orientation::Rotate180 => (false, [true, true]),
            Orientation::Rotate90 => (true, [false, true]),
            Orientation::Rotate270 => (true, [true, false]),
            Orientation::Rotate90FlipH => (true, [false, false]),
            Orientation::Rotate270FlipH => (true, [true, true]),
        };
        Self { swapped, mirrored }
    }
}

impl Planes {
    /// Sets the side length in pixels. The pixels keep no meaning.
    pub(crate) fn set_side(&mut self, side: usize) {
        self.side = side;
        for values in &mut self.values {
            values.resize(side * side, 0);
        }
    }

    pub(crate) fn side(&self) -> usize {
        self.side
    }

    pub(crate) fn values_mut(&mut self) -> [&mut [u8]; CHANNELS] {
        self.values.each_mut().map(Vec::as_mut_slice)
    }

    /// Returns the planes, and where each pixel of the stored image belongs.
    pub(crate) fn placed(&mut self, placement: Placement) -> ([&mut [u8]; CHANNELS], Offsets) {
        let offsets = placement.offsets(self.side);
        (self.values_mut(), offsets)
    }

    /// Appends `[side, side, 3]` bytes.
    pub(crate) fn append_to(&self, pixels: &mut Vec<u8>) {
        let start = pixels.len();
        pixels.resize(start + self.side * self.side * CHANNELS, 0);
        let [reds, greens, blues] = &self.values;
        let channels = reds.iter().zip(greens).zip(blues);
        for (pixel, ((red, green), blue)) in pixels[start..].as_chunks_mut::<CHANNELS>().0.iter_mut().zip(channels) {
            *pixel = [*red, *green, *blue];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RgbImage, flip_horizontal};

    #[test]
    fn placed_pixels_equal_the_turned_and_mirrored_image() {
        const SIDE: usize = 5;
        let pixels: Vec<u8> = (0..SIDE * SIDE * CHANNELS).map(|index| index as u8).collect();
        for value in 1..=8 {
            let Some(orientation) = Orientation::from_exif(value) else { panic!("{value} is an orientation") };
            for flip in [false, true] {
                let mut planes = Planes::default();
                planes.set_side(SIDE);
                let (values, offsets) = planes.placed(Placement { orientation, flip });
                for (channel, values) in values.into_iter().enumerate() {
                    for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
                        values[offsets.of(row, column)] = pixels[(row * SIDE + column) * CHANNELS + channel];
                    }
                }
                let mut found = vec![7];
                planes.append_to(&mut found);
                let stored = RgbImage { width: SIDE, height: SIDE, pixels: pixels.clone() };
                let mut expected = stored.turned(orientation);
                if flip {
                    flip_horizontal(&mut expected);
                }
                assert_eq!(found[1..], expected.pixels, "{orientation:?}, mirrored: {flip}");
            }
        }
    }
}
