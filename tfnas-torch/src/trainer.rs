//! Training steps in any precision, on one rank or on several.

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
use crate::phase::{Phase, in_phase};

/// Result of a training step; all tensors are on the device.
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
    /// The outcome of a skipped optimizer step.
    pub(crate) fn skipped(gradients: &Gradients, logits: &Tensor, loss: &Tensor) -> Self {
        Self { logits: logits.detach(), loss: loss.detach(), gradient_norm: global_norm(gradients) }
    }

    /// Clips the gradients and runs the optimizer step.
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

/// Optimizer, precision and ranks of a training.
#[derive(Debug)]
pub struct Trainer {
    /// Holds the network's [`Role::Weight`](crate::Role::Weight) tensors.
    pub optimizer: Sgd,
    /// Maximum norm of the gradients; 0 disables clipping.
    pub max_norm: f64,
    /// See [`cross_entropy`].
    pub label_smoothing: f64,
    /// Precision of the forward pass.
    pub precision: MixedPrecision,
    /// Data parallelism, if several ranks train together.
    pub ranks: Option<DataParallel>,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TrainStepError {
    /// This rank's part of the batch is too small.
    #[error(transparent)]
    BatchTooSmall(#[from] BatchTooSmall),
    /// The exchange with another rank failed; training cannot continue.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The gradients cannot be unscaled.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
}

impl Trainer {
    /// Creates a trainer for a single process in f32.
    pub fn single_process(optimizer: Sgd, max_norm: f64, label_smoothing: f64, device: Device) -> Self {
        Self { optimizer, max_norm, label_smoothing, precision: MixedPrecision::none(device), ranks: None }
    }

    /// Trains a network on a batch. Each rank passes its part, with the same number of samples on each rank.
    ///
    /// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64; `masks`: for these N samples.
    ///
    /// The logits (f32) and the loss of the outcome are those of this rank's samples; the gradient norm is that of the
    /// averaged gradients. In f16 the optimizer step is skipped if a gradient is not finite: only running statistics
    /// and the loss scale change then.
    ///
    /// Source: `train` in the authors' `train_eval.py`.
    ///
    /// # Errors
    /// Returns [`TrainStepError::BatchTooSmall`] for a single image whose last feature map is 1x1, unless statistics
    /// are computed over several ranks; nothing is changed then. See the variants for other errors.
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
        let (logits, loss) = in_phase(Phase::Forward, || {
            let logits = self.precision.forward(|| network.forward_training(x, masks)).to_kind(Kind::Float);
            let loss = cross_entropy(&logits, labels, self.label_smoothing);
            (logits, loss)
        });
        let gradients = in_phase(Phase::Backward, || {
            let scaled = self.precision.scaled(&loss);
            match &mut self.ranks {
                Some(ranks) => ranks.gradients(&scaled),
                None => Ok(gradients(&scaled, &self.optimizer.parameters().to_vec())),
            }
        })?;
        in_phase(Phase::Optimizer, || {
            if self.precision.unscale(&gradients)? {
                Ok(TrainOutcome::of_step(&mut self.optimizer, self.max_norm, gradients, &logits, &loss))
            } else {
                Ok(TrainOutcome::skipped(&gradients, &logits, &loss))
            }
        })
    }
}
