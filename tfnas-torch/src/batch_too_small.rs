use tch::Tensor;

/// A batch whose statistics are those of a single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a batch of one image is too small: its last feature map is 1x1, and batch norm has no variance of one number; leave the image out, or choose a batch size that leaves no single one over"
)]
pub struct BatchTooSmall;

impl BatchTooSmall {
    /// Refuses one image, `x` being `[N, 3, H, W]`, of which a feature map of one pixel is left at the end.
    pub(crate) fn check(x: &Tensor, final_size: usize) -> Result<(), Self> {
        if x.size()[0] == 1 && final_size == 1 { Err(Self) } else { Ok(()) }
    }
}
