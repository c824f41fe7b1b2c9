//! The error for a batch whose batch norm variance is undefined.

use tch::Tensor;

/// A batch of one image whose last feature map has a single pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a batch of one image is too small: its last feature map is 1x1, so batch norm cannot compute a variance\nhint: choose a batch size that leaves no single image for the last batch, or drop that image"
)]
pub struct BatchTooSmall;

impl BatchTooSmall {
    /// Returns an error if `x` (`[N, 3, H, W]`) holds one image and the last feature map is 1x1 pixel.
    pub(crate) fn check(x: &Tensor, final_size: usize) -> Result<(), Self> {
        if x.size()[0] == 1 && final_size == 1 { Err(Self) } else { Ok(()) }
    }
}
