//! Where a crop of the upright image is in the stored image, and how far the stored image can be reduced.

use image::metadata::Orientation;
use turbojpeg::ScalingFactor;

use crate::CropArea;
use crate::planes::Axes;
use crate::resize::Part;

/// The scales at which libjpeg-turbo decodes faster than at the full size: it has vector instructions for them.
const SCALES: [ScalingFactor; 3] = [ScalingFactor::ONE_EIGHTH, ScalingFactor::ONE_QUARTER, ScalingFactor::ONE_HALF];

/// Width and height of the upright image.
pub(super) fn upright_size(orientation: Orientation, (width, height): (usize, usize)) -> (usize, usize) {
    if Axes::of(orientation).swapped { (height, width) } else { (width, height) }
}

/// Returns the part of the stored image of this size that a crop within the upright image shows.
pub(super) fn part(crop: CropArea, orientation: Orientation, (width, height): (usize, usize)) -> Part {
    let across = (crop.left as f64, crop.left as f64 + crop.width as f64);
    let down = (crop.top as f64, crop.top as f64 + crop.height as f64);
    let Axes { swapped, mirrored } = Axes::of(orientation);
    let (columns, rows) = if swapped { (down, across) } else { (across, down) };
    let stored = |(start, end): (f64, f64), mirrored: bool, size: usize| match mirrored {
        true => (size as f64 - end, size as f64 - start),
        false => (start, end),
    };
    Part { columns: stored(columns, mirrored[0], width), rows: stored(rows, mirrored[1], height) }
}

/// Returns the smallest scale at which both sides of the part have at least `resolution` pixels; 1 if there is none.
pub(super) fn scale(part: Part, resolution: usize) -> ScalingFactor {
    let suffices = |scale: &ScalingFactor| {
        let needed = resolution * scale.denom();
        [part.columns, part.rows].iter().all(|(start, end)| (end - start) * scale.num() as f64 >= needed as f64)
    };
    SCALES.into_iter().find(suffices).unwrap_or(ScalingFactor::ONE)
}

/// Returns the part of the reduced image.
pub(super) fn scaled(part: Part, scale: ScalingFactor) -> Part {
    let factor = scale.num() as f64 / scale.denom() as f64;
    let scaled = |(start, end): (f64, f64)| (start * factor, end * factor);
    Part { columns: scaled(part.columns), rows: scaled(part.rows) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIENTATIONS: [Orientation; 8] = [
        Orientation::NoTransforms,
        Orientation::FlipHorizontal,
        Orientation::FlipVertical,
        Orientation::Rotate90,
        Orientation::Rotate180,
        Orientation::Rotate270,
        Orientation::Rotate90FlipH,
        Orientation::Rotate270FlipH,
    ];

    fn of_size(width: f64, height: f64) -> Part {
        Part { columns: (3.0, 3.0 + width), rows: (5.0, 5.0 + height) }
    }

    #[test]
    fn the_reduced_crop_is_never_smaller_than_the_resolution() {
        let cases = [
            (223.0, 1000.0, ScalingFactor::ONE),
            (447.0, 448.0, ScalingFactor::ONE),
            (448.0, 448.0, ScalingFactor::ONE_HALF),
            (895.0, 2000.0, ScalingFactor::ONE_HALF),
            (896.0, 2000.0, ScalingFactor::ONE_QUARTER),
            (1792.0, 1791.0, ScalingFactor::ONE_QUARTER),
            (1792.0, 1792.0, ScalingFactor::ONE_EIGHTH),
            (60_000.0, 60_000.0, ScalingFactor::ONE_EIGHTH),
        ];
        for (width, height, expected) in cases {
            assert_eq!(scale(of_size(width, height), 224), expected, "{width} x {height}");
        }
        for width in 1..700 {
            let part = of_size(f64::from(width), 650.0);
            let Part { columns: (left, right), .. } = scaled(part, scale(part, 80));
            assert!(right - left >= 80.0 || scale(part, 80) == ScalingFactor::ONE, "{width}");
        }
    }

    #[test]
    fn a_crop_of_the_upright_image_is_the_turned_part_of_the_stored_image() {
        let (width, height) = (7, 4);
        let pixels = (0..width * height).flat_map(|index| [index as u8, 0, 0]).collect();
        let image = crate::RgbImage { width, height, pixels };
        for orientation in ORIENTATIONS {
            let upright = image.clone().turned(orientation);
            assert_eq!(upright_size(orientation, (width, height)), (upright.width, upright.height));
            for (left, top) in [(0, 0), (1, 2), (2, 1)] {
                let crop = CropArea { left, top, width: 2, height: 2 };
                let Part { columns, rows } = part(crop, orientation, (width, height));
                assert_eq!((columns.1 - columns.0, rows.1 - rows.0), (2.0, 2.0));
                let stored = crate::resize::crop(&image, columns.0 as i64, rows.0 as i64, 2, 2);
                let expected = crate::resize::crop(&upright, left, top, 2, 2);
                assert_eq!(stored.turned(orientation), expected, "{orientation:?} {left} {top}");
            }
        }
    }
}
