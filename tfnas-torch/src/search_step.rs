//! One step of the search: of the weights, or of the architecture.

use tch::{Device, Kind, Tensor, no_grad};
use tfnas_c10d::grad_scaler::GradScalerError;

use crate::batch_too_small::BatchTooSmall;
use crate::gradient::{Gradients, clip_by_global_norm, global_norm, gradients};
use crate::gumbel::{Noise, Path, relaxed_sample};
use crate::loss::cross_entropy;
use crate::mixed_precision::{MixedPrecision, MixedPrecisionStateError};
use crate::named_tensors::NamedTensors;
use crate::optim::{Adam, Optimizer, OptimizerStateError, Sgd};
use crate::supernet::{Latencies, Supernet};

/// How a step moves some parameters of the supernet.
#[derive(Debug)]
pub struct OptimizerStep<O> {
    /// Of these parameters.
    pub optimizer: O,
    /// What the gradients are clipped to; 0 leaves them as they are.
    pub max_norm: f64,
    /// Precision of the forward pass.
    pub precision: MixedPrecision,
}

/// Why a step has not been taken.
#[derive(Debug, thiserror::Error)]
pub enum SearchStepError {
    /// One image whose feature map ends as 1x1; nothing is changed then.
    #[error(transparent)]
    BatchTooSmall(#[from] BatchTooSmall),
    /// Gradients that cannot be unscaled.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
}

/// Why a saved state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerStepStateError {
    /// That of the optimizer.
    #[error(transparent)]
    Optimizer(#[from] OptimizerStateError),
    /// That of the precision.
    #[error(transparent)]
    Precision(#[from] MixedPrecisionStateError),
}

impl<O: Optimizer> OptimizerStep<O> {
    /// In f32 throughout.
    pub fn in_f32(optimizer: O, max_norm: f64, device: Device) -> Self {
        Self { optimizer, max_norm, precision: MixedPrecision::none(device) }
    }

    /// The state to save: that of the optimizer, and of the loss scale where the precision has one.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert_all("optimiser", self.optimizer.state());
        state.insert_all("precision", self.precision.state());
        state
    }

    /// Puts a saved state back.
    ///
    /// # Errors
    /// [`OptimizerStepStateError`].
    pub fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStepStateError> {
        self.optimizer.restore(&saved.under("optimiser"))?;
        Ok(self.precision.restore(&saved.under("precision"))?)
    }

    /// Moves the parameters by the gradients of a loss `[]`; the gradients' norm before clipping, `[]`, and whether they
    /// were finite, without which f16 does not step.
    fn step(&mut self, loss: &Tensor) -> Result<(Tensor, bool), GradScalerError> {
        let mut gradients: Gradients = gradients(&self.precision.scaled(loss), &self.optimizer.parameters().to_vec());
        if !self.precision.unscale(&gradients)? {
            return Ok((global_norm(&gradients), false));
        }
        let norm = clip_by_global_norm(&mut gradients, self.max_norm);
        self.optimizer.step(&gradients);
        Ok((norm, true))
    }
}

/// What a weight step reports; all on the device.
#[derive(Debug)]
pub struct WeightOutcome {
    /// Logits of each path, `[N, classes]`.
    pub logits: Vec<Tensor>,
    /// Cross-entropy of each path, `[]`.
    pub losses: Vec<Tensor>,
    /// Norm of the gradients before clipping, `[]`.
    pub gradient_norm: Tensor,
}

/// Trains the weights on a batch: the cross-entropies of the paths are added.
///
/// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64.
/// * `paths`: one path in the first epochs; then the Gumbel path, and one through other operations.
/// * `weights`: of the supernet's [`Role::Weight`](crate::Role::Weight) tensors. Operations on no path stay as they are.
///
/// Source: `train_wo_arch` and `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// [`SearchStepError`].
pub fn weight_step(
    supernet: &Supernet,
    weights: &mut OptimizerStep<Sgd>,
    x: &Tensor,
    labels: &Tensor,
    paths: &[Path],
) -> Result<WeightOutcome, SearchStepError> {
    BatchTooSmall::check(x, supernet.final_size)?;
    let logits = weights.precision.forward(|| supernet.forward_paths(x, paths));
    let logits: Vec<Tensor> = logits.iter().map(|logits| logits.to_kind(Kind::Float)).collect();
    let losses: Vec<Tensor> = logits.iter().map(|logits| cross_entropy(logits, labels, 0.0)).collect();
    let total: Tensor = losses.iter().sum();
    let (gradient_norm, _) = weights.step(&total)?;
    Ok(WeightOutcome {
        logits: logits.iter().map(Tensor::detach).collect(),
        losses: losses.iter().map(Tensor::detach).collect(),
        gradient_norm,
    })
}

/// What the architecture is searched for.
#[derive(Debug)]
pub struct LatencyObjective<'a> {
    /// Latencies of all operations.
    pub latencies: &'a Latencies,
    /// The latency wanted, in milliseconds.
    pub target_ms: f64,
    /// λ: what a latency off by its whole target adds to the cross-entropy.
    pub weight: f64,
}

/// What an architecture step reports; all on the device, `[]` but the logits.
#[derive(Debug)]
pub struct ArchitectureOutcome {
    /// `[N, classes]`.
    pub logits: Tensor,
    /// Cross-entropy.
    pub cross_entropy: Tensor,
    /// Expected latency in milliseconds.
    pub latency_ms: Tensor,
    /// λ * |latency / target - 1|.
    pub latency_loss: Tensor,
    /// Norm of the gradients before clipping.
    pub gradient_norm: Tensor,
}

/// Trains `log_alphas` and `betas` on a batch, the weights frozen; then each of them becomes its own log_softmax.
///
/// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64: of the images that train the architecture.
/// * `noise`, `temperature`: of the relaxed sample by which the operations are mixed.
/// * `architecture`: of the supernet's [`Role::Architecture`](crate::Role::Architecture) tensors.
///
/// Source: `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// [`SearchStepError`].
pub fn architecture_step(
    supernet: &Supernet,
    architecture: &mut OptimizerStep<Adam>,
    objective: &LatencyObjective<'_>,
    x: &Tensor,
    labels: &Tensor,
    noise: &Noise,
    temperature: f64,
) -> Result<ArchitectureOutcome, SearchStepError> {
    BatchTooSmall::check(x, supernet.final_size)?;
    supernet.with_frozen_weights(|| {
        let weights = relaxed_sample(&supernet.log_alphas(), noise, temperature);
        let output = architecture.precision.forward(|| supernet.forward_mixed(x, &weights, objective.latencies));
        let logits = output.logits.to_kind(Kind::Float);
        let cross_entropy = cross_entropy(&logits, labels, 0.0);
        let deviation = (&output.latency_ms / objective.target_ms - 1.0).abs();
        let latency_loss = deviation * objective.weight;
        let loss = &cross_entropy + &latency_loss;
        let (gradient_norm, has_moved) = architecture.step(&loss)?;
        if has_moved {
            supernet.normalize_architecture();
        }
        Ok(ArchitectureOutcome {
            logits: logits.detach(),
            cross_entropy: cross_entropy.detach(),
            latency_ms: output.latency_ms.detach(),
            latency_loss: latency_loss.detach(),
            gradient_norm,
        })
    })
}

/// Logits `[N, classes]` of a path, nothing kept for a backward pass: the search's validation.
pub fn validate_path(supernet: &Supernet, x: &Tensor, path: &Path) -> Tensor {
    no_grad(|| supernet.forward_path(x, path))
}
