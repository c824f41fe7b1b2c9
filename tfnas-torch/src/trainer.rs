//! Steps of training in any precision, on one rank or on several.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::CollectiveError;
use tfnas_c10d::grad_scaler::GradScalerError;

use crate::batch_too_small::BatchTooSmall;
use crate::data_parallel::DataParallel;
use crate::derived::DerivedNetwork;
use crate::drop_masks::DropMasks;
use crate::gradient::{Gradients, clip_by_global_norm, global_norm, gradients};
use crate::loss::cross_entropy;
use crate::mixed_precision::MixedPrecision;
use crate::optim::{Optimizer, Sgd};

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
    /// Leaves the optimizer as it is.
    pub(crate) fn left_out(gradients: &Gradients, logits: &Tensor, loss: &Tensor) -> Self {
        Self { logits: logits.detach(), loss: loss.detach(), gradient_norm: global_norm(gradients) }
    }

    /// Clips the gradients, and lets the optimizer step.
    pub(crate) fn of_step(
        optimizer: &mut Sgd,
        max_norm: f64,
        mut gradients: Gradients,
        logits: &Tensor,
        loss: &Tensor,
    ) -> Self {
        let gradient_norm = clip_by_global_norm(&mut gradients, max_norm);
        optimizer.step(&gradients);
        Self { logits: logits.detach(), loss: loss.detach(), gradient_norm }
    }
}

/// Everything of a training step but its network and its data.
#[derive(Debug)]
pub struct Trainer {
    /// Of the network's [`Role::Weight`](crate::Role::Weight) tensors.
    pub optimizer: Sgd,
    /// What the gradients are clipped to; 0 leaves them as they are.
    pub max_norm: f64,
    /// As in [`cross_entropy`].
    pub label_smoothing: f64,
    /// Precision of the forward pass.
    pub precision: MixedPrecision,
    /// The ranks that train together, if there are several.
    pub ranks: Option<DataParallel>,
}

/// Why a step has not been taken.
#[derive(Debug, thiserror::Error)]
pub enum TrainStepError {
    /// This rank's part is too small.
    #[error(transparent)]
    BatchTooSmall(#[from] BatchTooSmall),
    /// Another rank does not do its part; the training cannot go on.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Gradients that cannot be unscaled.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
}

impl Trainer {
    /// One process that trains in f32.
    pub fn alone(optimizer: Sgd, max_norm: f64, label_smoothing: f64, device: Device) -> Self {
        Self { optimizer, max_norm, label_smoothing, precision: MixedPrecision::none(device), ranks: None }
    }

    /// Trains a network on a batch, of which each rank has its part: as many samples on each.
    ///
    /// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64; `masks`: of these N samples.
    ///
    /// The outcome's logits (f32) and loss are of this rank's samples, the gradient's norm is of all. In f16 a step whose gradients
    /// are not all finite is left out: only running statistics and the loss scale have moved then.
    ///
    /// Source: `train` in the authors' `train_eval.py`.
    ///
    /// # Errors
    /// [`TrainStepError::BatchTooSmall`] for one image whose feature map ends as 1x1, where no other rank's are added to its
    /// statistics; nothing is changed then. Otherwise as the variants say.
    pub fn step(
        &mut self,
        network: &DerivedNetwork,
        x: &Tensor,
        labels: &Tensor,
        masks: &DropMasks,
    ) -> Result<TrainOutcome, TrainStepError> {
        if !self.ranks.as_ref().is_some_and(DataParallel::shares_statistics) {
            BatchTooSmall::check(x, network.final_size(x.size()[2] as usize))?;
        }
        let logits = self.precision.forward(|| network.forward_training(x, masks)).to_kind(Kind::Float);
        let loss = cross_entropy(&logits, labels, self.label_smoothing);
        let scaled = self.precision.scaled(&loss);
        let gradients = match &mut self.ranks {
            Some(ranks) => ranks.gradients(&scaled)?,
            None => gradients(&scaled, &self.optimizer.parameters().to_vec()),
        };
        if self.precision.unscale(&gradients)? {
            Ok(TrainOutcome::of_step(&mut self.optimizer, self.max_norm, gradients, &logits, &loss))
        } else {
            Ok(TrainOutcome::left_out(&gradients, &logits, &loss))
        }
    }
}
