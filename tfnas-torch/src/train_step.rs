//! One step of training a derived network.

use tch::Tensor;

use crate::derived::DerivedNetwork;
use crate::drop_masks::DropMasks;
use crate::gradient::{Gradients, clip_by_global_norm, global_norm, gradients};
use crate::loss::cross_entropy;
use crate::optim::Sgd;

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

/// What a training step reports; all on the device.
#[derive(Debug)]
pub struct TrainOutcome {
    /// `[N, classes]`.
    pub logits: Tensor,
    /// Cross-entropy with label smoothing, `[]`.
    pub loss: Tensor,
    /// Norm of the gradients before clipping, `[]`.
    pub gradient_norm: Tensor,
}

impl TrainOutcome {
    /// Leaves the optimiser as it is.
    pub(crate) fn left_out(gradients: &Gradients, logits: &Tensor, loss: &Tensor) -> Self {
        Self { logits: logits.detach(), loss: loss.detach(), gradient_norm: global_norm(gradients) }
    }

    /// Clips the gradients, and lets the optimiser step.
    pub(crate) fn of_step(
        optimiser: &mut Sgd,
        max_norm: f64,
        mut gradients: Gradients,
        logits: &Tensor,
        loss: &Tensor,
    ) -> Self {
        let gradient_norm = clip_by_global_norm(&mut gradients, max_norm);
        optimiser.step(&gradients);
        Self { logits: logits.detach(), loss: loss.detach(), gradient_norm }
    }
}

/// Trains a network on a batch.
///
/// * `optimiser`: of the network's [`Role::Weight`](crate::Role::Weight) tensors.
/// * `max_norm`: what the gradients are clipped to; 0 leaves them as they are.
/// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64.
/// * `masks`: of this step, for N samples.
///
/// Source: `train` in the authors' `train_eval.py`.
///
/// # Errors
/// [`BatchTooSmall`] for one image whose feature map ends as 1x1; nothing is changed then.
pub fn train_step(
    network: &DerivedNetwork,
    optimiser: &mut Sgd,
    max_norm: f64,
    label_smoothing: f64,
    x: &Tensor,
    labels: &Tensor,
    masks: &DropMasks,
) -> Result<TrainOutcome, BatchTooSmall> {
    BatchTooSmall::check(x, network.final_size(x.size()[2] as usize))?;
    let logits = network.forward_training(x, masks);
    let loss = cross_entropy(&logits, labels, label_smoothing);
    let gradients = gradients(&loss, &optimiser.parameters().to_vec());
    Ok(TrainOutcome::of_step(optimiser, max_norm, gradients, &logits, &loss))
}
