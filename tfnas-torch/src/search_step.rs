//! One step of the search, of the weights or of the architecture.

use std::rc::Rc;

use tch::{Device, Kind, Tensor, no_grad};
use tfnas_c10d::grad_scaler::GradScalerError;
use tfnas_c10d::{CollectiveError, ProcessGroup};

use crate::batch_too_small::BatchTooSmall;
use crate::gradient::{Gradients, average_over_ranks, clip_by_global_norm, global_norm, gradients};
use crate::gumbel::{Noise, Path, relaxed_sample};
use crate::loss::cross_entropy;
use crate::mixed_precision::{MixedPrecision, MixedPrecisionStateError};
use crate::named_tensors::NamedTensors;
use crate::optim::{Adam, Optimizer, OptimizerStateError, Sgd};
use crate::phase::{Phase, Step, in_phase, in_step};
use crate::supernet::{Latencies, Supernet};

/// An optimizer with gradient clipping and a precision.
#[derive(Debug)]
pub struct OptimizerStep<O> {
    /// Optimizer of the weights or of the architecture parameters.
    pub optimizer: O,
    /// Maximum norm of the gradients; 0 disables clipping.
    pub max_norm: f64,
    /// Precision of the forward pass.
    pub precision: MixedPrecision,
    /// Ranks that take the step together, each with its part of the batch: the gradients are averaged over them.
    pub ranks: Option<Rc<ProcessGroup>>,
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SearchStepError {
    /// The batch is a single image whose last feature map is 1x1; nothing is changed.
    #[error(transparent)]
    BatchTooSmall(#[from] BatchTooSmall),
    /// The gradients cannot be unscaled.
    #[error(transparent)]
    Scaler(#[from] GradScalerError),
    /// The exchange with another rank failed; the search cannot continue.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
}

/// Why a saved state cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum OptimizerStepStateError {
    /// The optimizer state does not match.
    #[error(transparent)]
    Optimizer(#[from] OptimizerStateError),
    /// The state of the loss scale does not match.
    #[error(transparent)]
    Precision(#[from] MixedPrecisionStateError),
}

impl<O: Optimizer> OptimizerStep<O> {
    /// Creates a step in f32 for a single process.
    pub fn in_f32(optimizer: O, max_norm: f64, device: Device) -> Self {
        Self { optimizer, max_norm, precision: MixedPrecision::none(device), ranks: None }
    }

    /// Returns the state to save: that of the optimizer, and of the loss scale for f16.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert_all("optimiser", self.optimizer.state());
        state.insert_all("precision", self.precision.state());
        state
    }

    /// Restores a saved state.
    ///
    /// # Errors
    /// Returns an [`OptimizerStepStateError`] for a state of other parameters or of another precision.
    pub fn restore(&mut self, saved: &NamedTensors) -> Result<(), OptimizerStepStateError> {
        self.optimizer.restore(&saved.under("optimiser"))?;
        Ok(self.precision.restore(&saved.under("precision"))?)
    }

    /// Updates the parameters with the gradients of the scaled loss. Returns the norm of the unscaled gradients before
    /// clipping, `[]`, and whether the gradients are finite; in f16 the update is skipped if they are not.
    fn step(&mut self, mut gradients: Gradients) -> Result<(Tensor, bool), SearchStepError> {
        if let Some(ranks) = &self.ranks {
            in_phase(Phase::Backward, || average_over_ranks(&mut gradients, ranks))?;
        }
        in_phase(Phase::Optimizer, || {
            if !self.precision.unscale(&gradients)? {
                return Ok((global_norm(&gradients), false));
            }
            let norm = clip_by_global_norm(&mut gradients, self.max_norm);
            self.optimizer.step(&gradients);
            Ok((norm, true))
        })
    }
}

/// Result of a weight step; all tensors are on the device.
#[derive(Debug)]
pub struct WeightOutcome {
    /// Logits of each path, `[N, classes]`.
    pub logits: Vec<Tensor>,
    /// Cross-entropy of each path, `[]`.
    pub losses: Vec<Tensor>,
    /// Norm of the gradients before clipping, `[]`.
    pub gradient_norm: Tensor,
}

/// Trains the weights on a batch. The loss is the sum of the cross-entropies of the paths.
///
/// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64.
/// * `paths`: one path in the warm-up epochs; afterwards the Gumbel path and a path through other operations.
/// * `weights`: holds the supernet's [`Role::Weight`](crate::Role::Weight) tensors. Operations on no path are not
///   changed.
///
/// Source: `train_wo_arch` and `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// Returns a [`SearchStepError`] if the batch is too small or the gradients cannot be unscaled.
pub fn weight_step(
    supernet: &Supernet,
    weights: &mut OptimizerStep<Sgd>,
    x: &Tensor,
    labels: &Tensor,
    paths: &[Path],
) -> Result<WeightOutcome, SearchStepError> {
    BatchTooSmall::check(x, supernet.final_size)?;
    let precision = &weights.precision;
    // One path after the other, so that only one is in memory. All share the stem, whose backward pass comes last.
    let stem = in_phase(Phase::Forward, || precision.forward(|| supernet.forward_stem(x)));
    let input = stem.detach().set_requires_grad(true);
    let mut wanted = weights.optimizer.parameters().to_vec();
    wanted.push(input.shallow_clone());
    let mut total: Gradients = wanted.iter().map(|_| None).collect();
    let (mut logits, mut losses) = (Vec::with_capacity(paths.len()), Vec::with_capacity(paths.len()));
    for path in paths {
        let (path_logits, loss) = in_phase(Phase::Forward, || {
            let logits = precision.forward(|| supernet.forward_path_from(&input, path)).to_kind(Kind::Float);
            let loss = cross_entropy(&logits, labels, 0.0);
            (logits, loss)
        });
        in_phase(Phase::Backward, || add(&mut total, gradients(&precision.scaled(&loss), &wanted)));
        logits.push(path_logits.detach());
        losses.push(loss.detach());
    }
    let of_input = total.pop().flatten();
    wanted.truncate(total.len());
    if let Some(of_input) = of_input {
        // The gradient of this sum with respect to the stem's output is `of_input`.
        in_phase(Phase::Backward, || add(&mut total, gradients(&(stem * of_input).sum(Kind::Float), &wanted)));
    }
    let (gradient_norm, _) = weights.step(total)?;
    Ok(WeightOutcome { logits, losses, gradient_norm })
}

/// Adds gradients of the same parameters.
fn add(total: &mut Gradients, gradients: Gradients) {
    for (sum, gradient) in total.iter_mut().zip(gradients) {
        *sum = match (sum.take(), gradient) {
            (Some(sum), Some(gradient)) => Some(sum + gradient),
            (sum, gradient) => sum.or(gradient),
        };
    }
}

/// The latency term of the architecture loss.
#[derive(Debug)]
pub struct LatencyObjective<'a> {
    /// Latencies of all operations.
    pub latencies: &'a Latencies,
    /// Target latency, in milliseconds.
    pub target_ms: f64,
    /// λ: added to the cross-entropy when the latency deviates from the target by 100 %.
    pub weight: f64,
}

/// Result of an architecture step; all tensors are on the device and `[]` except the logits.
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

/// Trains `log_alphas` and `betas` on a batch, with frozen weights; then replaces each of them by its log_softmax.
///
/// * `x`: `[N, 3, H, W]` f32; `labels`: `[N]` i64: a batch of the images that train the architecture.
/// * `noise`, `temperature`: of the relaxed sample that mixes the operations.
/// * `architecture`: holds the supernet's [`Role::Architecture`](crate::Role::Architecture) tensors.
///
/// Source: `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// Returns a [`SearchStepError`] if the batch is too small or the gradients cannot be unscaled.
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
    let step = || {
        let (logits, cross_entropy, latency_ms, latency_loss) = in_phase(Phase::Forward, || {
            let weights = relaxed_sample(&supernet.log_alphas(), noise, temperature);
            let output = architecture.precision.forward(|| supernet.forward_mixed(x, &weights, objective.latencies));
            let logits = output.logits.to_kind(Kind::Float);
            let cross_entropy = cross_entropy(&logits, labels, 0.0);
            let deviation = (&output.latency_ms / objective.target_ms - 1.0).abs();
            (logits, cross_entropy, output.latency_ms, deviation * objective.weight)
        });
        let loss = &cross_entropy + &latency_loss;
        let gradients = in_phase(Phase::Backward, || {
            gradients(&architecture.precision.scaled(&loss), &architecture.optimizer.parameters().to_vec())
        });
        let (gradient_norm, has_moved) = architecture.step(gradients)?;
        if has_moved {
            supernet.normalize_architecture();
        }
        Ok(ArchitectureOutcome {
            logits: logits.detach(),
            cross_entropy: cross_entropy.detach(),
            latency_ms: latency_ms.detach(),
            latency_loss: latency_loss.detach(),
            gradient_norm,
        })
    };
    in_step(Step::Architecture, || supernet.with_frozen_weights(step))
}

/// Returns the logits `[N, classes]` of a path, without autograd. Used for validation in the search.
pub fn validate_path(supernet: &Supernet, x: &Tensor, path: &Path) -> Tensor {
    no_grad(|| supernet.forward_path(x, path))
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use tfnas::{Space, Widths};

    use super::*;
    use crate::initialize::initialize;
    use crate::named_tensors::{Module, Role};
    use crate::optim::SgdSettings;

    #[test]
    fn paths_one_after_the_other_give_the_gradient_of_the_sum_of_their_losses() {
        let space = Space::small();
        let supernet = Supernet::new(&space, &Widths::initial(&space), 5, Device::Cpu);
        initialize(&supernet, 3);
        let x = Tensor::arange(4 * 32 * 32 * 3, (Kind::Float, Device::Cpu)).square().sin().view([4, 32, 32, 3]);
        let x = x.permute([0, 3, 1, 2]);
        let labels = Tensor::from_slice(&[0i64, 3, 1, 4]);
        let paths = [vec![0; 6], vec![3, 2, 1, 0, 1, 2]];

        let parameters = supernet.tensors(Role::Weight);
        let before: Vec<Tensor> = parameters.iter().map(|(_, weight)| weight.detach().copy()).collect();
        let total: Tensor =
            paths.iter().map(|path| cross_entropy(&supernet.forward_path(&x, path), &labels, 0.0)).sum();
        let expected = gradients(&total, &parameters.to_vec());

        // A rate of 1 subtracts the gradient itself.
        let settings = SgdSettings { rate: 1.0, momentum: 0.0, weight_decay: 0.0 };
        let sgd = Sgd::new(supernet.tensors(Role::Weight), settings);
        let outcome =
            weight_step(&supernet, &mut OptimizerStep::in_f32(sgd, 0.0, Device::Cpu), &x, &labels, &paths).unwrap();
        assert_eq!((outcome.logits.len(), outcome.losses.len()), (2, 2));
        let mut unused = 0;
        for (((name, weight), before), expected) in parameters.iter().zip(before).zip(expected) {
            let moved = before - weight.detach();
            match expected {
                Some(gradient) => assert!(moved.allclose(&gradient, 1e-4, 1e-6, false), "{name}"),
                None => unused += i64::from(moved.abs().max().double_value(&[]) == 0.0),
            }
        }
        assert!(unused > 0, "operations on no path are not changed");
    }
}
