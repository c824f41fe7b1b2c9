//! The network that is searched: every block holds all operations, every group all depths.

use tch::{Device, Tensor, no_grad};
use tfnas::{Architecture, Choice, LatencyTable, ModelConfig, Space, TableError, Widths};

use crate::gumbel::Path;
use crate::layers::{Head, MbConv, Normalisation, Stem};
use crate::mixed_group::MixedGroup;
use crate::named_tensors::{Module, Role, Visitor, join};

/// The supernet of a space, its operations at their current widths.
///
/// Batch norms have no affine part and no running statistics: every forward pass normalises with its own batch, so there
/// is no evaluation mode. Names of its tensors are those of the original's search checkpoints.
#[derive(Debug)]
pub struct Supernet {
    pub(crate) stem: Stem,
    pub(crate) groups: Vec<MixedGroup>,
    pub(crate) head: Head,
}

/// The latency of every operation at its current width, looked up once for the steps of an epoch.
#[derive(Debug)]
pub struct Latencies {
    base_ms: f64,
    /// `[blocks, K]` f32, milliseconds.
    operations_ms: Tensor,
}

impl Latencies {
    /// Looks all of them up.
    ///
    /// # Errors
    /// [`TableError`] where the table has no latency for an operation of the space: never counted as 0, which would make
    /// it look free.
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

/// What a pass through the mixture of all operations gives.
#[derive(Debug)]
pub struct MixedOutput {
    /// `[N, classes]`.
    pub logits: Tensor,
    /// Expected latency in milliseconds, `[]` f32, differentiable in the weights of operations and depths.
    pub latency_ms: Tensor,
}

impl Supernet {
    /// A supernet of weight 0, every operation and every depth equally probable.
    pub fn new(space: &Space, widths: &Widths, classes: usize, device: Device) -> Self {
        let shared = shared_layers(space, classes);
        let normalisation = Normalisation::BatchStatistics;
        Self {
            stem: Stem::new(&shared.first_stem, &shared.second_stem, normalisation, device),
            groups: (0..space.groups().len()).map(|group| MixedGroup::new(space, group, widths, device)).collect(),
            head: Head::new(&shared.feature_mix, &shared.classifier, normalisation, device),
        }
    }

    /// Logits `[N, classes]` of `x`, `[N, 3, H, W]`, where each block takes the operation of `path`.
    pub fn forward_path(&self, x: &Tensor, path: &Path) -> Tensor {
        self.forward_path_from(&self.stem.forward(x, true), path)
    }

    /// [`forward_path`](Supernet::forward_path) of several paths, in order; they share the pass through the stem.
    pub fn forward_paths(&self, x: &Tensor, paths: &[Path]) -> Vec<Tensor> {
        let x = self.stem.forward(x, true);
        paths.iter().map(|path| self.forward_path_from(&x, path)).collect()
    }

    fn forward_path_from(&self, x: &Tensor, path: &Path) -> Tensor {
        let mut x = x.shallow_clone();
        let mut rest = path.as_slice();
        for group in &self.groups {
            let (here, after) = rest.split_at(group.blocks.len());
            x = group.forward_path(&x, here);
            rest = after;
        }
        self.head.forward(&x, true)
    }

    /// Logits and expected latency of `x`, `[N, 3, H, W]`, where each block mixes its operations.
    ///
    /// `weights`: `[blocks, K]` f32, each row of sum 1: see [`relaxed_sample`](crate::gumbel::relaxed_sample).
    ///
    /// Source: `Network.forward` with `sampling=False` in the authors' `models/model_search.py`.
    pub fn forward_mixed(&self, x: &Tensor, weights: &Tensor, latencies: &Latencies) -> MixedOutput {
        let block_ms = (weights * &latencies.operations_ms).sum_dim_intlist([1i64].as_slice(), false, None);
        let rows = weights.unbind(0);
        let mut x = self.stem.forward(x, true);
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

    /// Where the supernet lives.
    pub fn device(&self) -> Device {
        self.head.classifier.weight.device()
    }

    /// The `log_alphas` as numbers, `[block][operation]`; waits for the device.
    pub fn read_log_alphas(&self) -> Vec<Vec<f32>> {
        rows_of(&self.log_alphas())
    }

    /// The `betas` as numbers, `[group][block]`; waits for the device.
    pub fn read_betas(&self) -> Vec<Vec<f32>> {
        rows_of(&self.betas())
    }

    /// Makes every `log_alphas` and every `betas` vector its own log_softmax.
    pub fn normalise_architecture(&self) {
        no_grad(|| {
            for vector in self.architecture() {
                let normalised = vector.log_softmax(-1, None);
                vector.shallow_clone().copy_(&normalised);
            }
        });
    }

    /// Runs `step` with weights that need no gradient: what then depends on weights and images alone, such as the whole
    /// stem, leaves nothing to keep for a backward pass.
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

/// A network of the space, for the stems and the head, which are the same in all of them.
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

/// The values of vectors of one length or several, one row each, read from the device at once.
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
