//! The supernet: every block holds all operations, every group all depths.

use tch::{Device, Tensor, no_grad};
use tfnas::{Architecture, Choice, LatencyTable, ModelConfig, Space, TableError, Widths};

use crate::gumbel::Path;
use crate::layers::{Head, MbConv, Normalization, Stem};
use crate::mixed_group::MixedGroup;
use crate::named_tensors::{Module, Role, Visitor, join};

/// The supernet of a space, with its operations at their current widths.
///
/// Batch norms have no affine part and no running statistics: every forward pass normalizes with its own batch, so
/// there is no evaluation mode. The names of the tensors are those of the authors' search checkpoints.
#[derive(Debug)]
pub struct Supernet {
    pub(crate) stem: Stem,
    pub(crate) groups: Vec<MixedGroup>,
    pub(crate) head: Head,
    /// Side of the input of the last batch norm, in pixels.
    pub(crate) final_size: usize,
}

/// The latency of every operation at its current width, looked up once per epoch.
#[derive(Debug)]
pub struct Latencies {
    base_ms: f64,
    /// `[blocks, K]` f32, milliseconds.
    operations_ms: Tensor,
}

impl Latencies {
    /// Looks up the latencies of all operations.
    ///
    /// # Errors
    /// Returns a [`TableError`] if the table has no latency for an operation of the space. A missing latency never
    /// counts as 0.
    pub fn look_up(table: &LatencyTable, space: &Space, widths: &Widths, device: Device) -> Result<Self, TableError> {
        let rows = table.operations_ms(space, widths)?;
        let latencies: Vec<f32> = rows.iter().flatten().map(|&ms| ms as f32).collect();
        let shape = [-1, space.operations().len() as i64];
        Ok(Self {
            base_ms: table.base_ms(),
            operations_ms: Tensor::from_slice(&latencies).view(shape).to_device(device),
        })
    }
}

/// Output of a pass through the mixture of all operations.
#[derive(Debug)]
pub struct MixedOutput {
    /// `[N, classes]`.
    pub logits: Tensor,
    /// Expected latency in milliseconds, `[]` f32, differentiable in the weights of operations and depths.
    pub latency_ms: Tensor,
}

impl Supernet {
    /// Creates a supernet with zero weights, and equally probable operations and depths.
    pub fn new(space: &Space, widths: &Widths, classes: usize, device: Device) -> Self {
        let shared = shared_layers(space, classes);
        let normalization = Normalization::BatchStatistics;
        Self {
            stem: Stem::new(&shared.first_stem, &shared.second_stem, normalization, device),
            groups: (0..space.groups().len()).map(|group| MixedGroup::new(space, group, widths, device)).collect(),
            head: Head::new(&shared.feature_mix, &shared.classifier, normalization, device),
            final_size: space.final_size().div_ceil(shared.feature_mix.stride),
        }
    }

    /// Returns the logits `[N, classes]` of `x`, `[N, 3, H, W]`, if each block uses the operation of `path`.
    pub fn forward_path(&self, x: &Tensor, path: &Path) -> Tensor {
        self.forward_path_from(&self.forward_stem(x), path)
    }

    /// Returns the input of the blocks, which all paths share.
    pub(crate) fn forward_stem(&self, x: &Tensor) -> Tensor {
        self.stem.forward(x, true)
    }

    /// [`forward_path`](Supernet::forward_path) after [`forward_stem`](Supernet::forward_stem).
    pub(crate) fn forward_path_from(&self, x: &Tensor, path: &Path) -> Tensor {
        let mut x = x.shallow_clone();
        let mut rest = path.as_slice();
        for group in &self.groups {
            let (here, after) = rest.split_at(group.blocks.len());
            x = group.forward_path(&x, here);
            rest = after;
        }
        self.head.forward(&x, true)
    }

    /// Returns the logits and the expected latency of `x`, `[N, 3, H, W]`, if each block mixes its operations.
    ///
    /// `weights`: `[blocks, K]` f32, each row with sum 1: see [`relaxed_sample`](crate::gumbel::relaxed_sample).
    ///
    /// Source: `Network.forward` with `sampling=False` in the authors' `models/model_search.py`.
    pub fn forward_mixed(&self, x: &Tensor, weights: &Tensor, latencies: &Latencies) -> MixedOutput {
        let block_ms = (weights * &latencies.operations_ms).sum_dim_intlist([1i64].as_slice(), false, None);
        let rows = weights.unbind(0);
        let mut x = self.forward_stem(x);
        let mut latency_ms = Tensor::from(latencies.base_ms as f32).to_device(x.device());
        let mut first = 0;
        for group in &self.groups {
            let count = group.blocks.len();
            let here_ms = block_ms.narrow(0, first as i64, count as i64);
            let (output, group_ms) = group.forward_mixed(&x, &rows[first..first + count], &here_ms);
            x = output;
            latency_ms += group_ms;
            first += count;
        }
        MixedOutput { logits: self.head.forward(&x, true), latency_ms }
    }

    /// The `log_alphas` of every block, `[K]` each, shared.
    pub fn log_alphas(&self) -> Vec<&Tensor> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        blocks.map(|block| &block.log_alphas).collect()
    }

    /// The `betas` of every group, one per block, shared.
    pub fn betas(&self) -> Vec<&Tensor> {
        self.groups.iter().map(|group| &group.betas).collect()
    }

    /// All `log_alphas`, then all `betas`.
    pub(crate) fn architecture(&self) -> Vec<&Tensor> {
        self.log_alphas().into_iter().chain(self.betas()).collect()
    }

    /// All operations of all blocks, in order.
    pub(crate) fn operations(&self) -> impl Iterator<Item = &MbConv> {
        let blocks = self.groups.iter().flat_map(|group| &group.blocks);
        blocks.flat_map(|block| &block.operations)
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.head.classifier.weight.device()
    }

    /// Returns the `log_alphas` as numbers, `[block][operation]`; synchronizes with the device.
    pub fn read_log_alphas(&self) -> Vec<Vec<f32>> {
        rows_of(&self.log_alphas())
    }

    /// Returns the `betas` as numbers, `[group][block]`; synchronizes with the device.
    pub fn read_betas(&self) -> Vec<Vec<f32>> {
        rows_of(&self.betas())
    }

    /// Replaces every `log_alphas` and `betas` vector by its log_softmax.
    pub fn normalize_architecture(&self) {
        no_grad(|| {
            for vector in self.architecture() {
                let normalized = vector.log_softmax(-1, None);
                vector.shallow_clone().copy_(&normalized);
            }
        });
    }

    /// Runs `step` with weights that require no gradient. Computations that depend only on weights and images, such as
    /// the complete stem, then keep nothing for a backward pass.
    pub(crate) fn with_frozen_weights<T>(&self, step: impl FnOnce() -> T) -> T {
        self.set_weights_trainable(false);
        let result = step();
        self.set_weights_trainable(true);
        result
    }

    fn set_weights_trainable(&self, trainable: bool) {
        self.visit("", &mut |_, tensor, role| {
            if role == Role::Weight {
                let _ = tensor.set_requires_grad(trainable);
            }
        });
    }
}

impl Module for Supernet {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.stem.visit(prefix, visitor);
        for (index, group) in self.groups.iter().enumerate() {
            group.visit(&join(prefix, &format!("stage{}", index + 1)), visitor);
        }
        self.head.visit(prefix, visitor);
    }
}

/// Returns a network of the space, for the stems and the head, which all networks of the space share.
fn shared_layers(space: &Space, classes: usize) -> ModelConfig {
    let shallowest = (0..space.groups().len())
        .map(|group| {
            let block = &space.blocks_of(group)[0];
            vec![Choice { operation: 0, width: block.max_width(&space.operations()[0]) }]
        })
        .collect();
    Architecture::new(space, shallowest)
        .and_then(|architecture| ModelConfig::from_architecture(space, &architecture, classes))
        .expect("a checked space has a block in every group, and an operation of its largest width")
}

/// Returns the values of several vectors, one row each, with a single read from the device.
fn rows_of(vectors: &[&Tensor]) -> Vec<Vec<f32>> {
    let flat = Tensor::cat(vectors, 0).detach();
    let mut values = vec![0f32; flat.numel()];
    flat.copy_data(&mut values, flat.numel());
    let mut rest = values.as_slice();
    let row = |vector: &&Tensor| {
        let (row, after) = rest.split_at(vector.numel());
        rest = after;
        row.to_vec()
    };
    vectors.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::initialize::initialize;
    use tch::Kind;
    use tfnas::{Knot, LatencyCurve, TableHeader};

    const CLASSES: usize = 5;

    fn supernet() -> Supernet {
        let space = Space::small();
        let supernet = Supernet::new(&space, &Widths::initial(&space), CLASSES, Device::Cpu);
        initialize(&supernet, 3);
        supernet
    }

    fn images() -> Tensor {
        let rows = Tensor::arange(3 * 32 * 32 * 3, (Kind::Float, Device::Cpu)).square().sin().view([3, 32, 32, 3]);
        rows.permute([0, 3, 1, 2])
    }

    /// Every block costs 0.01 ms per channel, everything else 1 ms.
    fn latencies() -> Latencies {
        let space = Space::small();
        let rows = space.needed_rows().into_iter().map(|row| {
            let knots = [row.min_width, row.max_width].map(|width| Knot { width, ms: width as f64 / 100.0 });
            (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
        });
        let header = TableHeader { name: "test".to_owned(), ..TableHeader::default() };
        let table = LatencyTable::new(header, 1.0, rows.collect()).unwrap();
        Latencies::look_up(&table, &space, &Widths::initial(&space), Device::Cpu).unwrap()
    }

    /// Mixing weights that select exactly the operations of a path.
    fn one_hot(path: &Path) -> Tensor {
        let operations = Space::small().operations().len() as i64;
        let path: Vec<i64> = path.iter().map(|&operation| operation as i64).collect();
        Tensor::from_slice(&path).one_hot(operations).to_kind(Kind::Float)
    }

    #[test]
    fn a_one_hot_mixture_equals_the_path() {
        let supernet = supernet();
        let path = vec![2, 0, 3, 1, 2, 0];
        let mixed = supernet.forward_mixed(&images(), &one_hot(&path), &latencies()).logits;
        assert!(mixed.allclose(&supernet.forward_path(&images(), &path), 1e-4, 1e-5, false));
    }

    #[test]
    fn a_depth_costs_all_blocks_up_to_it() {
        let supernet = supernet();
        // Operation 0 starts with three times its block's input channels: 8; 12 and 16; 16, 32 and 32.
        let widths = [[24.0].as_slice(), &[36.0, 48.0], &[48.0, 96.0, 96.0]];
        for depth in 0..2 {
            let certain_depth = |betas: &Tensor| {
                let last = (betas.numel() as i64 - 1).min(depth);
                no_grad(|| {
                    let _ = betas.shallow_clone().fill_(-100.0);
                    let _ = betas.get(last).fill_(0.0);
                });
                last as usize
            };
            let groups = supernet.betas().into_iter().zip(widths);
            let blocks: f64 = groups.map(|(betas, widths)| widths[..=certain_depth(betas)].iter().sum::<f64>()).sum();
            let output = supernet.forward_mixed(&images(), &one_hot(&vec![0; 6]), &latencies());
            assert!((output.latency_ms.double_value(&[]) - (1.0 + blocks / 100.0)).abs() < 1e-5);
        }
    }

    #[test]
    fn operations_and_depths_are_initially_uniform() {
        let supernet = supernet();
        for row in supernet.read_log_alphas() {
            assert!(row.iter().all(|&log| (log + 4f32.ln()).abs() < 1e-6), "{row:?}");
        }
        assert_eq!(supernet.read_betas(), [vec![0.0], vec![0.0; 2], vec![0.0; 3]]);
    }

    #[test]
    fn frozen_weights_can_be_trained_again_afterwards() {
        let supernet = supernet();
        let trainable = || supernet.tensors(Role::Weight).iter().all(|(_, weight)| weight.requires_grad());
        assert!(!supernet.with_frozen_weights(trainable));
        assert!(trainable());
    }
}
