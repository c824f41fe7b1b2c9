//! Training images at the highest speed: JPEG files are decoded at the size that the crop needs, and resizing and color
//! changes round less often or in other places than Pillow.
//!
//! The random numbers, and therefore the crops, are those of the exact transform. The bytes depend on the file, the
//! transform, the random numbers and the version of libjpeg-turbo, whose vector instructions compute the same as its
//! portable code. They do not depend on the machine or the number of threads.

mod color;
mod geometry;

use image::metadata::Orientation;
use turbojpeg::ScalingFactor;

use crate::decode::{DecodeError, Jpeg};
use crate::planes::{Placement, Planes};
use crate::resize::{Part, resize_to_planes};
use crate::{RgbImage, TrainParameters, TrainTransform};

/// Memory that is reused from image to image.
#[derive(Default)]
pub(crate) struct Workspace {
    /// The bytes of a file.
    pub file: Vec<u8>,
    /// The pixels of a decoded image.
    pub decoded: Vec<u8>,
    /// The training image.
    pub planes: Planes,
}

/// Makes a training image of a decoded, upright image.
pub(crate) fn transform_image(
    image: &RgbImage,
    transform: &TrainTransform,
    parameters: &TrainParameters,
    planes: &mut Planes,
) {
    let part = geometry::part(parameters.crop, Orientation::NoTransforms, (image.width, image.height));
    finish(image, part, Orientation::NoTransforms, transform, parameters, planes);
}

/// Makes a training image of a JPEG file, which is decoded at the smallest scale at which the crop has the resolution of
/// the transform. `draw` gets the size of the upright image.
///
/// # Errors
/// Returns the errors of [`decode`](crate::decode()).
pub(crate) fn transform_jpeg(
    mut jpeg: Jpeg<'_>,
    orientation: Orientation,
    transform: &TrainTransform,
    draw: impl FnOnce(usize, usize) -> TrainParameters,
    decoded: &mut Vec<u8>,
    planes: &mut Planes,
) -> Result<(), DecodeError> {
    let (width, height) = jpeg.size();
    let (upright_width, upright_height) = geometry::upright_size(orientation, (width, height));
    let parameters = draw(upright_width, upright_height);
    let part = geometry::part(parameters.crop, orientation, (width, height));
    let scale = match jpeg.is_scalable() {
        true => geometry::scale(part, transform.resolution),
        false => ScalingFactor::ONE,
    };
    jpeg.keep_rows(part.rows.1.ceil() as usize);
    let image = jpeg.decode_scaled(scale, std::mem::take(decoded))?;
    finish(&image, geometry::scaled(part, scale), orientation, transform, &parameters, planes);
    *decoded = image.pixels;
    Ok(())
}

fn finish(
    image: &RgbImage,
    part: Part,
    orientation: Orientation,
    transform: &TrainTransform,
    parameters: &TrainParameters,
    planes: &mut Planes,
) {
    planes.set_side(transform.resolution);
    resize_to_planes(image, part, Placement { orientation, flip: parameters.flip }, planes);
    color::change(planes, &parameters.colors);
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests;
