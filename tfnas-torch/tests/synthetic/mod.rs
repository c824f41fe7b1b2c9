//! A small network and generated batches that it can learn.
#![allow(dead_code, clippy::unwrap_used)]

use tch::Tensor;
use tfnas::{Activation, Architecture, Knot, LatencyCurve, LatencyTable, ModelConfig, NeededRow, Space, TableHeader};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::initialize::initialize;
use tfnas_torch::optim::SgdSettings;
use tfnas_torch::preprocess::Preprocess;

use crate::device::device;

/// Seed of weights, batches and masks.
pub const SEED: u64 = 5;
/// Number of classes.
pub const CLASSES: usize = 4;
/// Batch size.
pub const BATCH: usize = 16;
/// Optimizer settings.
pub const SGD: SgdSettings = SgdSettings { rate: 0.02, momentum: 0.9, weight_decay: 1e-5 };

/// Returns the images and labels of a step. The classes differ in brightness, so that they can be learned.
pub fn batch(step: u32) -> (Tensor, Tensor) {
    let size = Space::small().definition().resolution;
    let mut stream = Stream::new(SEED, StreamId::Synthetic, 0, step);
    let labels: Vec<i64> = (0..BATCH).map(|_| stream.below(CLASSES as u64) as i64).collect();
    let pixels = labels.iter().flat_map(|&label| vec![label as u64 * 50; size * size * 3]);
    let pixels: Vec<u8> = pixels.map(|brightness| (brightness + stream.below(100)) as u8).collect();
    let preprocess = Preprocess::new(size, device());
    (preprocess.images(&pixels, BATCH).unwrap(), preprocess.labels(&labels, CLASSES).unwrap())
}

/// Returns a network with the weights of a seed and smooth activations. At the kink of a ReLU, rounding becomes a jump
/// of the gradient, so that even another order of the same samples changes the losses after a few steps.
pub fn network(seed: u64) -> DerivedNetwork {
    let space = Space::small();
    let architecture = Architecture::random(&space, &mut Stream::new(SEED, StreamId::RandomArchitecture, 0, 0));
    let mut config = ModelConfig::from_architecture(&space, &architecture, CLASSES).unwrap();
    let layers = [&mut config.first_stem, &mut config.feature_mix].into_iter().map(|layer| &mut layer.activation);
    let blocks = std::iter::once(&mut config.second_stem).chain(config.groups.iter_mut().flatten());
    for activation in layers.chain(blocks.map(|block| &mut block.activation)) {
        *activation = Activation::Swish;
    }
    let network = DerivedNetwork::new(&config, device());
    initialize(&network, seed);
    network
}

/// Returns the drop masks of a step.
pub fn masks(network: &DerivedNetwork, step: u32) -> DropMasks {
    let rates = DropRates { dropout: 0.2, drop_connect: 0.2 };
    DropMasks::draw(network, rates, BATCH, StepKey { seed: SEED, epoch: 0, step })
}

/// A table in which every block costs 1 ms.
pub fn flat_table(space: &Space) -> LatencyTable {
    let curve = |row: NeededRow| {
        let knots = [row.min_width, row.max_width].map(|width| Knot { width, ms: 1.0 });
        (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
    };
    let header = TableHeader { name: "flat".to_owned(), ..TableHeader::default() };
    LatencyTable::new(header, 1.0, space.needed_rows().into_iter().map(curve).collect()).unwrap()
}
