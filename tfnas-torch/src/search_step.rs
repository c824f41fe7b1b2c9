//! One step of the search: of the weights, or of the architecture.

use tch::{Tensor, no_grad};

use crate::gradient::{clip_by_global_norm, gradients};
use crate::gumbel::{Noise, Path, relaxed_sample};
use crate::loss::cross_entropy;
use crate::optim::{Adam, Sgd};
use crate::supernet::{Latencies, Supernet};
use crate::train_step::BatchTooSmall;

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
/// * `optimiser`: of the supernet's [`Role::Weight`](crate::Role::Weight) tensors. Operations on no path stay as they are.
///
/// Source: `train_wo_arch` and `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// [`BatchTooSmall`] for one image whose feature map ends as 1x1; nothing is changed then.
pub fn weight_step(
    supernet: &Supernet,
    optimiser: &mut Sgd,
    max_norm: f64,
    x: &Tensor,
    labels: &Tensor,
    paths: &[Path],
) -> Result<WeightOutcome, BatchTooSmall> {
    BatchTooSmall::check(x, supernet.final_size)?;
    let logits = supernet.forward_paths(x, paths);
    let losses: Vec<Tensor> = logits.iter().map(|logits| cross_entropy(logits, labels, 0.0)).collect();
    let total: Tensor = losses.iter().sum();
    let mut gradients = gradients(&total, &optimiser.parameters().to_vec());
    let gradient_norm = clip_by_global_norm(&mut gradients, max_norm);
    optimiser.step(&gradients);
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
/// * `optimiser`: of the supernet's [`Role::Architecture`](crate::Role::Architecture) tensors.
///
/// Source: `train_w_arch` in the authors' `train_search.py`.
///
/// # Errors
/// [`BatchTooSmall`] for one image whose feature map ends as 1x1; nothing is changed then.
#[expect(clippy::too_many_arguments, reason = "a step is a supernet, an optimiser, a batch and what is sampled")]
pub fn architecture_step(
    supernet: &Supernet,
    optimiser: &mut Adam,
    max_norm: f64,
    objective: &LatencyObjective<'_>,
    x: &Tensor,
    labels: &Tensor,
    noise: &Noise,
    temperature: f64,
) -> Result<ArchitectureOutcome, BatchTooSmall> {
    BatchTooSmall::check(x, supernet.final_size)?;
    Ok(supernet.with_frozen_weights(|| {
        let weights = relaxed_sample(&supernet.log_alphas(), noise, temperature);
        let output = supernet.forward_mixed(x, &weights, objective.latencies);
        let cross_entropy = cross_entropy(&output.logits, labels, 0.0);
        let deviation = (&output.latency_ms / objective.target_ms - 1.0).abs();
        let latency_loss = deviation * objective.weight;
        let loss = &cross_entropy + &latency_loss;
        let mut gradients = gradients(&loss, &optimiser.parameters().to_vec());
        let gradient_norm = clip_by_global_norm(&mut gradients, max_norm);
        optimiser.step(&gradients);
        supernet.normalise_architecture();
        ArchitectureOutcome {
            logits: output.logits.detach(),
            cross_entropy: cross_entropy.detach(),
            latency_ms: output.latency_ms.detach(),
            latency_loss: latency_loss.detach(),
            gradient_norm,
        }
    }))
}

/// Logits `[N, classes]` of a path, nothing kept for a backward pass: the search's validation.
pub fn validate_path(supernet: &Supernet, x: &Tensor, path: &Path) -> Tensor {
    no_grad(|| supernet.forward_path(x, path))
}
