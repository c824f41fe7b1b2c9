//! Converts the bytes of a batch to input tensors.

use tch::{Device, Kind, Tensor};
use tfnas::normalization::{IMAGENET_MEAN, IMAGENET_STD};

/// Why a batch is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The number of bytes is wrong.
    #[error("{found} bytes given, but a batch of {images} images of {size}x{size} RGB pixels has {} bytes", .images * .size * .size * 3)]
    Length {
        /// Number of bytes given.
        found: usize,
        /// Expected number of images.
        images: usize,
        /// Side of each image, in pixels.
        size: usize,
    },
    /// A label is out of range.
    #[error("label {label} of image {position} of the batch: there are {classes} classes, from 0")]
    Label {
        /// The label.
        label: i64,
        /// Position of the image in the batch, from 0.
        position: usize,
        /// Number of classes.
        classes: usize,
    },
}

/// Normalizes square images of one size on one device.
#[derive(Debug)]
pub struct Preprocess {
    size: usize,
    device: Device,
    /// The mean for each byte of a row of pixels, `[W * 3]` f32, so that complete rows are normalized at once.
    mean: Tensor,
    /// The standard deviation, in the same layout.
    std: Tensor,
}

impl Preprocess {
    /// Creates the normalization for images of `size` x `size` pixels, with ImageNet's mean and standard deviation.
    pub fn new(size: usize, device: Device) -> Self {
        let row = |channels: [f32; 3]| Tensor::from_slice(&channels.repeat(size)).to_device(device);
        Self {
            size,
            device,
            mean: row(IMAGENET_MEAN.map(|mean| mean as f32)),
            std: row(IMAGENET_STD.map(|std| std as f32)),
        }
    }

    /// Returns input images: `[N, 3, H, W]` f32, channels-last, on the device.
    ///
    /// `pixels`: N images, each H x W pixels row by row, three bytes (RGB) per pixel. The bytes are copied once.
    ///
    /// # Errors
    /// Returns [`BatchError::Length`] if the number of bytes does not match.
    pub fn images(&self, pixels: &[u8], images: usize) -> Result<Tensor, BatchError> {
        Ok(self.normalize(&pixel_rows(pixels, images, self.size)?))
    }

    /// Returns input images from [`pixel_rows`], u8 on any device: `[N, 3, H, W]` f32, channels-last, on this device.
    ///
    /// Values are `(x / 255 - mean) / std`, each operation rounded to f32, as in torchvision's `ToTensor` and
    /// `Normalize`.
    pub fn normalize(&self, rows: &Tensor) -> Tensor {
        self.normalize_values(rows.to_device(self.device).to_kind(Kind::Float))
    }

    /// Does the same in place with the values of pixels: `[N * H, W * 3]` f32 from 0 to 255, on this device.
    pub fn normalize_values(&self, mut values: Tensor) -> Tensor {
        let size = self.size as i64;
        let values = values.g_div_scalar_(255.0).g_sub_(&self.mean).g_div_(&self.std);
        values.view([-1, size, size, 3]).permute([0, 3, 1, 2])
    }

    /// Returns the labels for a loss: `[N]` i64, on the device.
    ///
    /// # Errors
    /// Returns [`BatchError::Label`] for the first label that is out of range.
    pub fn labels(&self, labels: &[i64], classes: usize) -> Result<Tensor, BatchError> {
        Ok(checked_labels(labels, classes)?.to_device(self.device))
    }
}

/// Returns the pixels of images of `size` x `size` pixels as a CPU tensor with one row of pixels per row: `[N * H, W *
/// 3]` u8.
///
/// # Errors
/// Returns [`BatchError::Length`] if the number of bytes does not match.
pub fn pixel_rows(pixels: &[u8], images: usize, size: usize) -> Result<Tensor, BatchError> {
    if images.checked_mul(size * size * 3) != Some(pixels.len()) {
        return Err(BatchError::Length { found: pixels.len(), images, size });
    }
    Ok(Tensor::from_data_size(pixels, &[(images * size) as i64, (size * 3) as i64], Kind::Uint8))
}

/// Checks that all labels are below `classes`; returns them as `[N]` i64 on the CPU.
///
/// # Errors
/// Returns [`BatchError::Label`] for the first label that is out of range.
pub fn checked_labels(labels: &[i64], classes: usize) -> Result<Tensor, BatchError> {
    let is_class = |label: i64| usize::try_from(label).is_ok_and(|label| label < classes);
    match labels.iter().position(|&label| !is_class(label)) {
        Some(position) => Err(BatchError::Label { label: labels[position], position, classes }),
        None => Ok(Tensor::from_slice(labels)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pixels_are_normalized_like_torchvision() {
        let pixels: Vec<u8> = (0..2 * 4 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
        let images = Preprocess::new(4, Device::Cpu).images(&pixels, 2).unwrap();
        assert_eq!(images.size(), [2, 3, 4, 4]);
        for (index, &byte) in pixels.iter().enumerate() {
            let (image, row, column, channel) = (index / 48, index / 12 % 4, index / 3 % 4, index % 3);
            let position = [image, channel, row, column].map(|i| i as i64);
            let expected = (f32::from(byte) / 255.0 - IMAGENET_MEAN[channel] as f32) / IMAGENET_STD[channel] as f32;
            assert_eq!(images.double_value(&position) as f32, expected);
        }
    }

    #[test]
    fn images_are_channels_last() {
        let images = Preprocess::new(4, Device::Cpu).images(&[0; 96], 2).unwrap();
        assert_eq!(images.stride(), [48, 1, 12, 3]);
    }

    #[test]
    fn invalid_byte_counts_and_labels_are_rejected() {
        let preprocess = Preprocess::new(4, Device::Cpu);
        assert!(matches!(preprocess.images(&[0; 95], 2), Err(BatchError::Length { found: 95, .. })));
        assert!(preprocess.images(&[], usize::MAX).is_err());
        for label in [-1, 3, i64::MAX] {
            let refused = preprocess.labels(&[0, label], 3);
            assert_eq!(refused.map(|_| ()), Err(BatchError::Label { label, position: 1, classes: 3 }));
        }
        assert!(preprocess.labels(&[0, 2], 3).is_ok());
    }
}
