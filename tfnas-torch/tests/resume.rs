//! A run resumed in the middle of an epoch gives the same bytes as an uninterrupted one.
#![allow(clippy::unwrap_used)]

use tch::{Device, Tensor};
use tfnas::{Architecture, Knot, LatencyCurve, LatencyTable, ModelConfig, Space, TableHeader, Widths};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::gumbel::{draw_noise, draw_remaining_path, gumbel_path};
use tfnas_torch::initialize::initialize;
use tfnas_torch::optim::{Adam, AdamSettings, Optimizer as _, Sgd, SgdSettings};
use tfnas_torch::preprocess::Preprocess;
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
use tfnas_torch::supernet::{Latencies, Supernet};
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::trainer::Trainer;
use tfnas_torch::weights::{from_bytes, load, to_bytes};
use tfnas_torch::{Module, NamedTensors, Role};

const SEED: u64 = 5;
const CLASSES: usize = 3;
const BATCH: usize = 4;
const SGD: SgdSettings = SgdSettings { rate: 0.05, momentum: 0.9, weight_decay: 1e-5 };
const ADAM: AdamSettings = AdamSettings { rate: 0.01, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };

/// The images and labels of a step.
fn batch(step: u32) -> (Tensor, Tensor) {
    let size = Space::small().definition().resolution;
    let mut stream = Stream::new(SEED, StreamId::Synthetic, 0, step);
    let pixels: Vec<u8> = (0..BATCH * size * size * 3).map(|_| stream.below(256) as u8).collect();
    let labels: Vec<i64> = (0..BATCH).map(|_| stream.below(CLASSES as u64) as i64).collect();
    let preprocess = Preprocess::new(size, Device::Cpu);
    (preprocess.images(&pixels, BATCH).unwrap(), preprocess.labels(&labels, CLASSES).unwrap())
}

/// Runs steps 0 to 3 uninterrupted, then with a stop and resume in the middle; checks that both end with the same
/// state.
fn both<R>(begin: impl Fn(Option<&NamedTensors>) -> R, step: impl Fn(&mut R, u32), state: impl Fn(&R) -> NamedTensors) {
    let mut uninterrupted = begin(None);
    (0..4).for_each(|index| step(&mut uninterrupted, index));
    let mut first = begin(None);
    (0..2).for_each(|index| step(&mut first, index));
    let saved = from_bytes(&to_bytes(&state(&first)).unwrap()).unwrap();
    let mut second = begin(Some(&saved));
    (2..4).for_each(|index| step(&mut second, index));
    let (expected, found) = (to_bytes(&state(&uninterrupted)).unwrap(), to_bytes(&state(&second)).unwrap());
    assert!(expected == found, "the resumed run ended with different bytes");
    assert!(expected != to_bytes(&state(&first)).unwrap(), "the steps changed nothing");
}

#[test]
fn training_resumes_to_the_same_bytes() {
    let space = Space::small();
    let architecture = Architecture::random(&space, &mut Stream::new(SEED, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &architecture, CLASSES).unwrap();
    both(
        |saved| {
            let network = DerivedNetwork::new(&config, Device::Cpu);
            initialize(&network, SEED);
            let optimizer = Sgd::new(network.tensors(Role::Weight), SGD);
            let mut trainer = Trainer::single_process(optimizer, 5.0, 0.1, Device::Cpu);
            if let Some(saved) = saved {
                load(&network, &saved.under("network")).unwrap();
                trainer.optimizer.restore(&saved.under("optimiser")).unwrap();
            }
            (network, trainer)
        },
        |(network, trainer), step| {
            let (images, labels) = batch(step);
            let rates = DropRates { dropout: 0.2, drop_connect: 0.2 };
            let masks = DropMasks::draw(network, rates, BATCH, StepKey { seed: SEED, epoch: 0, step });
            trainer.step(network, &images, &labels, &masks).unwrap();
        },
        |(network, trainer)| {
            let mut state = NamedTensors::new();
            state.insert_all("network", network.state());
            state.insert_all("optimiser", trainer.optimizer.state());
            state
        },
    );
}

#[test]
fn a_search_resumes_to_the_same_bytes() {
    let space = Space::small();
    let widths = Widths::initial(&space);
    let latencies = Latencies::look_up(&table(&space), &space, &widths, Device::Cpu).unwrap();
    let (blocks, operations) = (space.blocks().len(), space.operations().len());
    let optimizers = |supernet: &Supernet| {
        let weights = Sgd::new(supernet.tensors(Role::Weight), SGD);
        let architecture = Adam::new(supernet.tensors(Role::Architecture), ADAM);
        (OptimizerStep::in_f32(weights, 5.0, Device::Cpu), OptimizerStep::in_f32(architecture, 5.0, Device::Cpu))
    };
    both(
        |saved| {
            let state = SupernetState::new(&space, CLASSES, SEED, Device::Cpu);
            let supernet = state.slice();
            let (mut weights, mut architecture) = optimizers(&supernet);
            if let Some(saved) = saved {
                load(&supernet, &saved.under("supernet")).unwrap();
                weights.restore(&saved.under("weights")).unwrap();
                architecture.restore(&saved.under("architecture")).unwrap();
            }
            (supernet, weights, architecture)
        },
        |(supernet, weights, architecture), step| {
            let (images, labels) = batch(step);
            let stream = |purpose| Stream::new(SEED, purpose, 0, step);
            let noise = draw_noise(blocks, operations, &mut stream(StreamId::Gumbel));
            let path = gumbel_path(&supernet.read_log_alphas(), &noise);
            let other = draw_remaining_path(&path, operations, &mut stream(StreamId::UniformPath));
            weight_step(supernet, weights, &images, &labels, &[path, other]).unwrap();
            let noise = draw_noise(blocks, operations, &mut stream(StreamId::ArchitectureGumbel));
            let objective = LatencyObjective { latencies: &latencies, target_ms: 3.0, weight: 0.1 };
            architecture_step(supernet, architecture, &objective, &images, &labels, &noise, 2.0).unwrap();
        },
        |(supernet, weights, architecture)| {
            let mut state = NamedTensors::new();
            state.insert_all("supernet", supernet.state());
            state.insert_all("weights", weights.state());
            state.insert_all("architecture", architecture.state());
            state
        },
    );
}

/// A table in which a block costs 0.01 ms per channel.
fn table(space: &Space) -> LatencyTable {
    let rows = space.needed_rows().into_iter().map(|row| {
        let knots = [row.min_width, row.max_width].map(|width| Knot { width, ms: width as f64 / 100.0 });
        (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
    });
    let header = TableHeader { name: "test".to_owned(), ..TableHeader::default() };
    LatencyTable::new(header, 1.0, rows.collect()).unwrap()
}
