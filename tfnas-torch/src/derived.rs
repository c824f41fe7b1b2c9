//! The network of a single architecture, which is trained, tested and published.

use std::rc::Rc;

use tch::{Device, Tensor, no_grad};
use tfnas::ModelConfig;

use crate::data_parallel::SyncBatchNorm;
use crate::drop_masks::DropMasks;
use crate::layers::{Head, MbConv, Normalization, Stem};
use crate::named_tensors::{Module, Visitor, join};

/// The network that a [`ModelConfig`] describes. Its batch norms have an affine part and running statistics.
///
/// The names and the order of its tensors are those of the `state_dict` of the authors' code.
#[derive(Debug)]
pub struct DerivedNetwork {
    config: ModelConfig,
    stem: Stem,
    groups: Vec<Vec<MbConv>>,
    head: Head,
}

/// A derived network for evaluation: each batch norm is folded into the preceding convolution.
///
/// Its logits equal those of the original network up to rounding, in less time.
#[derive(Debug)]
pub struct FoldedNetwork(DerivedNetwork);

impl DerivedNetwork {
    /// Creates the network with zero weights; set them with [`initialize`](crate::initialize::initialize) or
    /// [`load`](crate::weights::load).
    pub fn new(config: &ModelConfig, device: Device) -> Self {
        let normalization = Normalization::Affine;
        let block = |block| MbConv::new(block, normalization, device);
        Self {
            stem: Stem::new(&config.first_stem, &config.second_stem, normalization, device),
            groups: config.groups.iter().map(|group| group.iter().map(block).collect()).collect(),
            head: Head::new(&config.feature_mix, &config.classifier, normalization, device),
            config: config.clone(),
        }
    }

    /// The configuration that the network was built from.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The device of the weights.
    pub fn device(&self) -> Device {
        self.head.classifier.weight.device()
    }

    /// Returns the logits `[N, classes]` of `x`, `[N, 3, H, W]`, computed with the running statistics and without
    /// autograd.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        no_grad(|| {
            let first = self.stem.first.forward(x, false);
            let x = self.blocks().fold(first, |x, block| block.forward(&x, false));
            self.head.forward(&x, false)
        })
    }

    /// Returns the logits `[N, classes]` of `x`, `[N, 3, H, W]`, in training mode: with batch statistics, which update
    /// the running statistics, and with the given drop masks.
    pub fn forward_training(&self, x: &Tensor, masks: &DropMasks) -> Tensor {
        let first = self.stem.first.forward(x, true);
        let blocks = self.blocks().zip(&masks.blocks);
        let x = blocks.fold(first, |x, (block, keep)| match keep {
            Some(keep) => block.forward_with_drop_connect(&x, keep),
            None => block.forward(&x, true),
        });
        let features = self.head.features(&x, true);
        let features = match &masks.classifier {
            Some(keep) => features * keep,
            None => features,
        };
        self.head.classifier.forward(&features)
    }

    /// The second stem and all blocks, in order.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &MbConv> {
        std::iter::once(&self.stem.second).chain(self.groups.iter().flatten())
    }

    /// Makes every batch norm use the statistics of all ranks' batches in training.
    pub(crate) fn share_statistics(&mut self, statistics: &Rc<SyncBatchNorm>) {
        let blocks = std::iter::once(&mut self.stem.second).chain(self.groups.iter_mut().flatten());
        let layers = blocks.flat_map(MbConv::layers_mut);
        for layer in [&mut self.stem.first, &mut self.head.feature_mix].into_iter().chain(layers) {
            layer.norm.share_statistics(statistics);
        }
    }

    /// Side of the input of the last batch norm, for images of side `resolution`.
    pub(crate) fn final_size(&self, resolution: usize) -> usize {
        let config = &self.config;
        let blocks = std::iter::once(&config.second_stem).chain(config.groups.iter().flatten());
        let strides = blocks.map(|block| block.stride);
        std::iter::once(config.first_stem.stride)
            .chain(strides)
            .chain([config.feature_mix.stride])
            .fold(resolution, usize::div_ceil)
    }

    /// Returns a copy for evaluation, without batch norms.
    pub fn folded(&self) -> FoldedNetwork {
        let folded = || {
            let group = |group: &Vec<MbConv>| group.iter().map(MbConv::folded).collect();
            Some(FoldedNetwork(Self {
                config: self.config.clone(),
                stem: self.stem.folded()?,
                groups: self.groups.iter().map(group).collect::<Option<_>>()?,
                head: self.head.folded()?,
            }))
        };
        folded().expect("a derived network is built with running statistics everywhere")
    }
}

impl FoldedNetwork {
    /// Returns the same network without this project's fused kernels, computed by libtorch's own operations only. This
    /// is the form whose latency is measured and which is exported.
    pub fn in_libtorch_operations(mut self) -> Self {
        let network = &mut self.0;
        let blocks = std::iter::once(&mut network.stem.second).chain(network.groups.iter_mut().flatten());
        blocks.for_each(MbConv::disable_kernels);
        self
    }

    /// Returns the logits `[N, classes]` of `x`, `[N, 3, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.0.forward(x)
    }

    /// [`forward`](FoldedNetwork::forward) that calls `done` after each part: the first stem, the second stem, each
    /// block, and the head.
    pub(crate) fn forward_in_parts(&self, x: &Tensor, mut done: impl FnMut()) -> Tensor {
        no_grad(|| {
            let mut x = self.0.stem.first.forward(x, false);
            done();
            for block in self.0.blocks() {
                x = block.forward(&x, false);
                done();
            }
            let logits = self.0.head.forward(&x, false);
            done();
            logits
        })
    }
}

impl Module for DerivedNetwork {
    fn visit(&self, prefix: &str, visitor: &mut Visitor<'_>) {
        self.stem.visit(prefix, visitor);
        for (group, blocks) in self.groups.iter().enumerate() {
            for (index, block) in blocks.iter().enumerate() {
                block.visit(&join(prefix, &format!("stage{}.{index}", group + 1)), visitor);
            }
        }
        self.head.visit(prefix, visitor);
    }
}
