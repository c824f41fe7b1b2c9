//! A block of the supernet.

use tch::{Device, Kind, Tensor};
use tfnas::{Block, MbConvConfig, Space};

use crate::layers::{MbConv, Normalization};
use crate::named_tensors::{Module, Role, Visitor, join};

/// A block of the supernet: all candidate operations and their log-probabilities.
#[derive(Debug)]
pub struct MixedBlock {
    /// `[K]` f32, log-probabilities.
    pub(crate) log_alphas: Tensor,
    pub(crate) operations: Vec<MbConv>,
}

impl MixedBlock {
    /// Creates a block with zero weights and equally probable operations of the given widths.
    pub fn new(space: &Space, block: &Block, widths: &[usize], device: Device) -> Self {
        let operations: Vec<MbConv> = space
            .operations()
            .iter()
            .zip(widths)
            .map(|(operation, &width)| {
                MbConv::new(&MbConvConfig::of(block, operation, width), Normalization::BatchStatistics, device)
            })
            .collect();
        let alphas = Tensor::zeros([operations.len() as i64], (Kind::Float, device));
        Self { log_alphas: alphas.log_softmax(-1, Kind::Float).set_requires_grad(true), operations }
    }

    /// Returns the output of one operation.
    pub fn forward_one(&self, x: &Tensor, operation: usize) -> Tensor {
        self.operations[operation].forward(x, true)
    }

    /// Returns the outputs of all operations, mixed by `weights`, `[K]` f32 with sum 1. Differentiable.
    ///
    /// The residual input is the same for all operations, so it is added once.
    pub fn forward_mixed(&self, x: &Tensor, weights: &Tensor) -> Tensor {
        let branches = self.operations.iter().map(|operation| operation.branch(x, true));
        let residual = self.operations.iter().any(MbConv::has_residual);
        let mut mixed = residual.then(|| x.shallow_clone());
        for (branch, weight) in branches.zip(weights.unbind(0)) {
            mixed = Some(match mixed {
                Some(sum) => sum.addcmul(&branch, &weight),
                None => branch * weight,
            });
        }
        mixed.expect("a space has at least one operation")
    }
}

impl Module for MixedBlock {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        visitor(join(prefix, "log_alphas"), &self.log_alphas, Role::Architecture);
        for (index, operation) in self.operations.iter().enumerate() {
            operation.visit(&join(prefix, &format!("m_ops.{index}")), visitor);
        }
    }
}
