//! Measures the images per second of training on several processes. Run as one of these processes, with the environment
//! variables that torchrun sets.
//!
//! `scaling SPACE BATCH STEPS THREADS STATISTICS`. BATCH is the total batch size over all processes. STATISTICS is
//! `shared` or `own` (batch norm statistics), or `alone`, where each process trains on its part without communication.
//! Without the environment variables, a single process trains. Rank 0 prints JSON: the median step time, images per
//! second, the size of the gradients in bytes, and the time of a very small all-reduce, which is dominated by latency.

use std::error::Error;
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use tfnas::{Architecture, ModelConfig, Space};
use tfnas_c10d::{Environment, ProcessGroup, ReduceOperation, rendezvous};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::data_parallel::DataParallel;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::device::set_threads;
use tfnas_torch::drop_masks::DropMasks;
use tfnas_torch::initialize::initialize;
use tfnas_torch::optim::{Sgd, SgdSettings};
use tfnas_torch::trainer::Trainer;
use tfnas_torch::{Module, Role};

const CLASSES: usize = 10;
const SGD: SgdSettings = SgdSettings { rate: 0.025, momentum: 0.9, weight_decay: 1e-5 };
/// Untimed steps.
const WARM_UP: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [space, batch, steps, threads, statistics] = arguments.as_slice() else {
        return Err("scaling SPACE BATCH STEPS THREADS shared|own|alone".into());
    };
    let space =
        Space::by_name(space).ok_or(format!("unknown space '{space}', expected one of {:?}", Space::names()))?;
    let (batch, steps): (usize, usize) = (batch.parse()?, steps.parse()?);
    set_threads(threads.parse()?);
    let environment = Environment::read()?;
    let (rank, world_size) = environment.as_ref().map_or((0, 1), |ranks| (ranks.rank(), ranks.world_size()));

    let architecture = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
    let config = ModelConfig::from_architecture(&space, &architecture, CLASSES)?;
    let mut network = DerivedNetwork::new(&config, Device::Cpu);
    initialize(&network, 0);
    let mut trainer = Trainer::single_process(Sgd::new(network.tensors(Role::Weight), SGD), 5.0, 0.1, Device::Cpu);
    if let Some(environment) = environment.filter(|_| statistics != "alone") {
        let group = ProcessGroup::gloo(&rendezvous(&environment, TIMEOUT)?, &environment, TIMEOUT)?;
        trainer.ranks = Some(DataParallel::new(group, &mut network, statistics == "shared")?);
    }

    let (part, size) = ((batch / world_size) as i64, space.definition().resolution as i64);
    let rows = Tensor::randn([part, size, size, 3], (Kind::Float, Device::Cpu));
    let images = rows.permute([0, 3, 1, 2]);
    let labels = Tensor::randint(CLASSES as i64, [part], (Kind::Int64, Device::Cpu));
    let masks = DropMasks::none(&network);
    let mut times = Vec::new();
    for _ in 0..WARM_UP + steps {
        let began = Instant::now();
        trainer.step(&network, &images, &labels, &masks)?;
        times.push(began.elapsed().as_secs_f64());
    }
    times.drain(..WARM_UP);
    let step_s = median(times);
    let exchange_s = match &trainer.ranks {
        Some(ranks) => exchange_s(ranks.group())?,
        None => 0.0,
    };
    if rank == 0 {
        let numbers = |role| network.tensors(role).iter().map(|(_, tensor)| tensor.numel()).sum::<usize>();
        println!(
            r#"{{"step_s": {step_s}, "images_per_s": {}, "gradient_bytes": {}, "exchange_s": {exchange_s}}}"#,
            batch as f64 / step_s,
            4 * numbers(Role::Weight)
        );
    }
    Ok(())
}

/// Returns the median time in seconds of an all-reduce of the size that a batch norm exchanges.
fn exchange_s(group: &ProcessGroup) -> Result<f64, Box<dyn Error>> {
    let mut statistics = Tensor::zeros([257], (Kind::Double, Device::Cpu));
    let mut times = Vec::new();
    for _ in 0..200 {
        let began = Instant::now();
        group.all_reduce(&mut statistics, ReduceOperation::Sum)?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(median(times))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
