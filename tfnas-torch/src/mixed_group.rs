//! A block group of the supernet.

use tch::{Device, Kind, Tensor};
use tfnas::{Space, Widths};

use crate::mixed_block::MixedBlock;
use crate::named_tensors::{Module, Role, Visitor, join};

/// A block group of the supernet. Its output is the sum of its blocks' outputs weighted by softmax(`betas`)
/// (sink-connecting), so that the depth is searched too.
#[derive(Debug)]
pub struct MixedGroup {
    /// `[blocks]` f32.
    pub(crate) betas: Tensor,
    pub(crate) blocks: Vec<MixedBlock>,
}

impl MixedGroup {
    /// Creates a group with zero weights, and equally probable depths and operations.
    pub fn new(space: &Space, group: usize, widths: &Widths, device: Device) -> Self {
        let blocks: Vec<MixedBlock> = space
            .blocks_of(group)
            .iter()
            .map(|block| {
                let row = &widths.rows()[space.position(group, block.index)];
                MixedBlock::new(space, block, row, device)
            })
            .collect();
        let betas = Tensor::zeros([blocks.len() as i64], (Kind::Float, device));
        Self { betas: betas.set_requires_grad(true), blocks }
    }

    /// Returns the group's output if each block uses the operation of `path`.
    pub fn forward_path(&self, x: &Tensor, path: &[usize]) -> Tensor {
        let mut outputs: Vec<Tensor> = Vec::with_capacity(self.blocks.len());
        for (block, &operation) in self.blocks.iter().zip(path) {
            let output = block.forward_one(outputs.last().unwrap_or(x), operation);
            outputs.push(output);
        }
        self.sink(&outputs, &self.depth_weights())
    }

    /// Returns the group's output if each block mixes its operations, and the expected latency in milliseconds, `[]`
    /// f32.
    ///
    /// * `weights`: one row `[K]` per block.
    /// * `latency_ms`: `[blocks]`, the expected latency of each block under the same weights. A depth costs the sum of
    ///   all blocks up to it.
    pub fn forward_mixed(&self, x: &Tensor, weights: &[Tensor], latency_ms: &Tensor) -> (Tensor, Tensor) {
        let mut outputs: Vec<Tensor> = Vec::with_capacity(self.blocks.len());
        for (block, weights) in self.blocks.iter().zip(weights) {
            let output = block.forward_mixed(outputs.last().unwrap_or(x), weights);
            outputs.push(output);
        }
        let depth_weights = self.depth_weights();
        let latency_ms = depth_weights.dot(&latency_ms.cumsum(0, Kind::Float));
        (self.sink(&outputs, &depth_weights), latency_ms)
    }

    fn depth_weights(&self) -> Tensor {
        self.betas.softmax(-1, Kind::Float)
    }

    /// Sums the blocks' outputs, weighted by the probabilities of the depths.
    fn sink(&self, outputs: &[Tensor], weights: &Tensor) -> Tensor {
        let mut weighted = outputs.iter().zip(weights.unbind(0));
        let (first, weight) = weighted.next().expect("a group has at least one block");
        weighted.fold(first * weight, |sum, (output, weight)| sum.addcmul(output, &weight))
    }
}

impl Module for MixedGroup {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        visitor(join(prefix, "betas"), &self.betas, Role::Architecture);
        for (index, block) in self.blocks.iter().enumerate() {
            block.visit(&join(prefix, &format!("block{}", index + 1)), visitor);
        }
    }
}
