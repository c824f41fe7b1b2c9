//! Batch normalization of the supernet and of derived networks.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};
use tfnas_c10d::BatchNormTensors;

use super::fused::{self, Then};
use crate::data_parallel::SyncBatchNorm;
use crate::named_tensors::{Module, Role, Visitor, join};

/// Added to the variance.
pub(super) const EPSILON: f64 = 1e-5;
/// Weight of the new batch in the running statistics: `running = 0.9 * running + 0.1 * batch`.
pub(super) const MOMENTUM: f64 = 0.1;

/// The kind of batch norm that a network is built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// Always batch statistics, no parameters. Used in the supernet.
    BatchStatistics,
    /// Trainable weight and bias, running statistics for evaluation. Used in derived networks.
    Affine,
}

/// Batch norm over N, H and W per channel.
#[derive(Debug)]
pub enum BatchNorm {
    /// See [`Normalization::BatchStatistics`].
    BatchStatistics,
    /// See [`Normalization::Affine`]. All tensors are `[C]` f32, except `batches`: `[]` i64, PyTorch's
    /// `num_batches_tracked`.
    Affine {
        /// Scale.
        weight: Tensor,
        /// Shift.
        bias: Tensor,
        /// Running mean.
        mean: Tensor,
        /// Running variance (unbiased).
        variance: Tensor,
        /// Number of batches processed.
        batches: Tensor,
        /// Set if the training statistics are computed over all ranks.
        shared: Option<Rc<SyncBatchNorm>>,
    },
    /// The identity: the batch norm has been folded into the preceding convolution.
    Folded,
}

impl BatchNorm {
    /// Creates a batch norm for `channels` channels, initially the identity.
    pub fn new(channels: usize, normalization: Normalization, device: Device) -> Self {
        let shape = [channels as i64];
        match normalization {
            Normalization::BatchStatistics => Self::BatchStatistics,
            Normalization::Affine => Self::Affine {
                weight: Tensor::ones(shape, (Kind::Float, device)).set_requires_grad(true),
                bias: Tensor::zeros(shape, (Kind::Float, device)).set_requires_grad(true),
                mean: Tensor::zeros(shape, (Kind::Float, device)),
                variance: Tensor::ones(shape, (Kind::Float, device)),
                batches: Tensor::zeros([0i64; 0], (Kind::Int64, device)),
                shared: None,
            },
        }
    }

    /// Normalizes `x`, `[N, C, H, W]`; in training with batch statistics, which update the running statistics.
    pub fn forward(&self, x: Tensor, training: bool) -> Tensor {
        self.forward_then(x, training, Then::default())
    }

    /// [`forward`](BatchNorm::forward) followed by an activation and a residual connection.
    pub(crate) fn forward_then(&self, x: Tensor, training: bool, then: Then<'_>) -> Tensor {
        if let (Self::Affine { batches, .. }, true) = (self, training) {
            let _ = batches.shallow_clone().g_add_scalar_(1);
        }
        let has_batch_statistics = training || matches!(self, Self::BatchStatistics);
        match has_batch_statistics.then(|| fused::batch_norm(self, &x, then)).flatten() {
            Some(fused) => fused,
            None => fused::compose(self.normalized(x, training), then),
        }
    }

    /// Normalizes `x` with libtorch's operations.
    fn normalized(&self, x: Tensor, training: bool) -> Tensor {
        match self {
            Self::BatchStatistics => {
                let none = None::<&Tensor>;
                x.batch_norm(none, none, none, none, true, MOMENTUM, EPSILON, true)
            }
            Self::Affine { weight, bias, mean, variance, shared, .. } => {
                if let (Some(shared), true) = (shared, training) {
                    return shared.batch_norm(
                        &x,
                        &BatchNormTensors {
                            weight,
                            bias,
                            running_mean: mean,
                            running_variance: variance,
                            momentum: MOMENTUM,
                            epsilon: EPSILON,
                        },
                    );
                }
                x.batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), training, MOMENTUM, EPSILON, true)
            }
            Self::Folded => x,
        }
    }

    /// Computes the training statistics over all ranks. No effect on a batch norm without running statistics.
    pub(crate) fn share_statistics(&mut self, statistics: &Rc<SyncBatchNorm>) {
        if let Self::Affine { shared, .. } = self {
            *shared = Some(Rc::clone(statistics));
        }
    }

    /// Returns the per-channel scale and shift of this batch norm in evaluation, f64 `[C]` each; `None` without running
    /// statistics.
    pub(crate) fn scale_and_shift(&self) -> Option<(Tensor, Tensor)> {
        let Self::Affine { weight, bias, mean, variance, .. } = self else {
            return None;
        };
        let double = |tensor: &Tensor| tensor.detach().to_kind(Kind::Double);
        let scale = double(weight) / (double(variance) + EPSILON).sqrt();
        let shift = double(bias) - double(mean) * &scale;
        Some((scale, shift))
    }
}

impl Module for BatchNorm {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        if let Self::Affine { weight, bias, mean, variance, batches, .. } = self {
            visitor(join(prefix, "weight"), weight, Role::Weight);
            visitor(join(prefix, "bias"), bias, Role::Weight);
            visitor(join(prefix, "running_mean"), mean, Role::Buffer);
            visitor(join(prefix, "running_var"), variance, Role::Buffer);
            visitor(join(prefix, "num_batches_tracked"), batches, Role::Buffer);
        }
    }
}
