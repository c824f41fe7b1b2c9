//! Data-parallel training on several ranks gives the same network as one process that trains on full batches.
#![allow(clippy::unwrap_used)]

mod device;
mod synthetic;
#[path = "../../c10d/tests/support/world.rs"]
mod world;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use device::device;
use synthetic::{BATCH, CLASSES, SEED, SGD, batch, flat_table, masks, network};
use tch::{Kind, Tensor};
use tfnas::{Space, Widths};
use tfnas_c10d::{Environment, ProcessGroup, rendezvous};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::data_parallel::DataParallel;
use tfnas_torch::gumbel::{draw_noise, draw_remaining_path, gumbel_path};
use tfnas_torch::mixed_precision::MixedPrecision;
use tfnas_torch::optim::{Adam, AdamSettings, Sgd};
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
use tfnas_torch::supernet::Latencies;
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::trainer::Trainer;
use tfnas_torch::weights::{read_file, write_file};
use tfnas_torch::{Module, NamedTensors, Role};
use world::{environment, free_port, report, start};

const STEPS: u32 = 20;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Environment variable with the folder in which each rank writes its network.
const FOLDER: &str = "TFNAS_TEST_FOLDER";

/// Trains on full batches; returns the loss of each step and the network.
fn train_in_one_process() -> (Vec<f64>, NamedTensors) {
    tch::set_num_threads(1);
    let network = network(SEED);
    let mut trainer = Trainer::single_process(Sgd::new(network.tensors(Role::Weight), SGD), 5.0, 0.1, device());
    let losses = (0..STEPS).map(|step| {
        let (x, labels) = batch(step);
        let outcome = trainer.step(&network, &x, &labels, &masks(&network, step));
        outcome.unwrap().loss.double_value(&[])
    });
    (losses.collect(), network.state())
}

/// Trains on this rank's part of the batches, prints the losses, and writes the network.
fn train_on_ranks(shares_statistics: bool) {
    let environment = Environment::read().unwrap().expect("a rank");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    let group = ProcessGroup::gloo(&store, &environment, TIMEOUT).unwrap();
    let rank = environment.rank();
    // Only rank 0 starts with the right weights.
    let mut network = network(SEED + rank as u64);
    let mut trainer = Trainer {
        ranks: Some(DataParallel::new(group, &mut network, shares_statistics).unwrap()),
        optimizer: Sgd::new(network.tensors(Role::Weight), SGD),
        max_norm: 5.0,
        label_smoothing: 0.1,
        precision: MixedPrecision::none(device()),
    };
    let count = BATCH / environment.world_size();
    let first = rank * count;
    for step in 0..STEPS {
        let (x, labels) = batch(step);
        let [x, labels] = [x, labels].map(|tensor| tensor.narrow(0, first as i64, count as i64));
        let masks = masks(&network, step).of_samples(first, count);
        let outcome = trainer.step(&network, &x, &labels, &masks).unwrap();
        report(outcome.loss.double_value(&[]));
    }
    let ranks = trainer.ranks.unwrap();
    ranks.share_buffers(&network).unwrap();
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("this test is started only by other tests"));
    write_file(&network.state(), &network_file(&folder, rank)).unwrap();
    ranks.group().barrier().unwrap();
}

/// Runs weight and architecture steps of a search on batches; returns the supernet.
fn search(group: Option<Rc<ProcessGroup>>, batch: impl Fn(u32) -> [Tensor; 2]) -> NamedTensors {
    tch::set_num_threads(1);
    let space = Space::small();
    let supernet = SupernetState::new(&space, CLASSES, SEED, device()).slice();
    let latencies = Latencies::look_up(&flat_table(&space), &space, &Widths::initial(&space), device()).unwrap();
    let sgd = Sgd::new(supernet.tensors(Role::Weight), SGD);
    let adam = AdamSettings { rate: 0.01, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };
    let adam = Adam::new(supernet.tensors(Role::Architecture), adam);
    let mut weights = OptimizerStep { ranks: group.clone(), ..OptimizerStep::in_f32(sgd, 5.0, device()) };
    let mut architecture = OptimizerStep { ranks: group, ..OptimizerStep::in_f32(adam, 5.0, device()) };
    let objective = LatencyObjective { latencies: &latencies, target_ms: 3.0, weight: 0.1 };
    for step in 0..4 {
        let [x, labels] = batch(step);
        let log_alphas = supernet.read_log_alphas();
        let noise = |id| draw_noise(log_alphas.len(), log_alphas[0].len(), &mut Stream::new(SEED, id, 0, step));
        let gumbel = gumbel_path(&log_alphas, &noise(StreamId::Gumbel));
        let other =
            draw_remaining_path(&gumbel, log_alphas[0].len(), &mut Stream::new(SEED, StreamId::UniformPath, 0, step));
        weight_step(&supernet, &mut weights, &x, &labels, &[gumbel, other]).unwrap();
        let noise = noise(StreamId::ArchitectureGumbel);
        architecture_step(&supernet, &mut architecture, &objective, &x, &labels, &noise, 5.0).unwrap();
    }
    supernet.state()
}

/// Searches on this rank's part of the batches, or on all of them, and writes the supernet.
fn search_on_ranks(splits_batches: bool) {
    let environment = Environment::read().unwrap().expect("a rank");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    let group = Rc::new(ProcessGroup::gloo(&store, &environment, TIMEOUT).unwrap());
    let count = (BATCH / environment.world_size()) as i64;
    let first = environment.rank() as i64 * count;
    let supernet = search(Some(Rc::clone(&group)), |step| {
        let (x, labels) = batch(step);
        [x, labels].map(|tensor| if splits_batches { tensor.narrow(0, first, count) } else { tensor })
    });
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("this test is started only by other tests"));
    write_file(&supernet, &network_file(&folder, environment.rank())).unwrap();
    group.barrier().unwrap();
}

fn network_file(folder: &Path, rank: usize) -> PathBuf {
    folder.join(format!("{rank}.safetensors"))
}

mod rank {
    #[test]
    #[ignore = "a rank of other tests"]
    fn run() {
        tch::set_num_threads(1);
        match std::env::var(crate::world::SCENARIO).expect("this test is started only by other tests").as_str() {
            "shared" => super::train_on_ranks(true),
            "own" => super::train_on_ranks(false),
            "search" => super::search_on_ranks(true),
            "search_same_images" => super::search_on_ranks(false),
            unknown => panic!("no scenario {unknown}"),
        }
    }
}

/// Results of the ranks.
struct Trained {
    /// Losses by rank and step.
    losses: Vec<Vec<f64>>,
    /// The bytes of each rank's network file.
    files: Vec<Vec<u8>>,
    network: NamedTensors,
}

fn on_ranks(scenario: &str, world_size: usize) -> Trained {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let start = |rank| start(scenario, &environment(rank, world_size, port), &[(FOLDER, folder.path().as_os_str())]);
    let ranks: Vec<_> = (0..world_size).map(start).collect();
    let ended: Vec<_> = ranks.into_iter().map(world::Rank::finish).collect();
    let losses = ended.iter().map(|rank| {
        assert!(rank.is_success, "{}", rank.output);
        rank.reported.iter().map(|loss| loss.parse().unwrap()).collect()
    });
    Trained {
        losses: losses.collect(),
        files: (0..world_size).map(|rank| std::fs::read(network_file(folder.path(), rank)).unwrap()).collect(),
        network: read_file(&network_file(folder.path(), 0)).unwrap(),
    }
}

/// Returns the largest difference between two networks' entries, and its name. Differences of running variances, which
/// may be large, are relative to the largest variance.
fn largest_difference(one: &NamedTensors, other: &NamedTensors) -> (f64, String) {
    let differences = one.iter().map(|(name, tensor)| {
        let largest = |tensor: Tensor| tensor.abs().max().double_value(&[]);
        let [one, other] = [tensor, other.get(name).unwrap()].map(|tensor| tensor.to_kind(Kind::Double));
        let unit = if name.ends_with("running_var") { largest(one.shallow_clone()).max(1.0) } else { 1.0 };
        (largest(one - other) / unit, name.to_owned())
    });
    differences.fold((0.0, String::new()), |largest, next| if next.0 > largest.0 { next } else { largest })
}

#[test]
fn two_ranks_with_sync_batch_norm_match_one_process() {
    let (losses, network) = train_in_one_process();
    let ranks = on_ranks("shared", 2);
    for (step, alone) in losses.iter().enumerate() {
        let together = (ranks.losses[0][step] + ranks.losses[1][step]) / 2.0;
        assert!((together - alone).abs() < 1e-5, "step {step}: {together} on two ranks, {alone} on one");
    }
    assert!(losses[STEPS as usize - 1] < 0.9 * losses[0], "{losses:?}");
    let (difference, name) = largest_difference(&network, &ranks.network);
    assert!(difference < 1e-5, "{name} differs by {difference}");
    assert!(ranks.files[0] == ranks.files[1], "the ranks have different bytes");
    assert!(on_ranks("shared", 2).files == ranks.files, "a second run has different bytes");
}

#[test]
fn ranks_with_own_statistics_keep_identical_weights() {
    let ranks = on_ranks("own", 2);
    assert!(ranks.files[0] == ranks.files[1], "the ranks have different bytes");
    let (difference, _) = largest_difference(&train_in_one_process().1, &ranks.network);
    assert!(difference > 1e-5, "each rank should use the statistics of its half of the batch: {difference}");
}

#[test]
fn ranks_of_a_search_average_their_gradients() {
    let alone = search(None, |step| batch(step).into());
    // The mean of two equal gradients is exact.
    let same = on_ranks("search_same_images", 2);
    assert_eq!(largest_difference(&alone, &same.network), (0.0, String::new()));

    let parts = on_ranks("search", 2);
    assert!(parts.files[0] == parts.files[1], "the ranks have different bytes");
    let (difference, _) = largest_difference(&alone, &parts.network);
    assert!(difference > 1e-5, "each rank should use the statistics of its half of the batch: {difference}");
}
