//! Steps of training in any precision, on one rank or on several.

use tch::{Kind, Tensor};
use tfnas_c10d::CollectiveError;
use tfnas_c10d::grad_scaler::GradScalerError;

use crate::data_parallel::DataParallel;
use crate::derived::DerivedNetwork;
use crate::drop_masks::DropMasks;
use crate::gradient::gradients;
use crate::loss::cross_entropy;
use crate::mixed_precision::MixedPrecision;
use crate::optim::Sgd;
use crate::train_step::{BatchTooSmall, TrainOutcome};

/// Everything of a training step but its network and its data.
#[derive(Debug)]
pub struct Trainer {
    /// Of the network's [`Role::Weight`](crate::Role::Weight) tensors.
    pub optimiser: Sgd,
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
    /// Trains a network on a batch, of which each rank has its part: as many samples on each.
    ///
    /// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64; `masks`: of these N samples.
    ///
    /// The outcome's logits (f32) and loss are of this rank's samples, the gradient's norm is of all. In f16 a step whose gradients
    /// are not all finite is left out: only running statistics and the loss scale have moved then.
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
            None => gradients(&scaled, &self.optimiser.parameters().to_vec()),
        };
        if self.precision.unscale(&gradients)? {
            Ok(TrainOutcome::of_step(&mut self.optimiser, self.max_norm, gradients, &logits, &loss))
        } else {
            Ok(TrainOutcome::left_out(&gradients, &logits, &loss))
        }
    }
}
