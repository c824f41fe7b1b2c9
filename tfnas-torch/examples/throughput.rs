//! Measures the images per second of every kind of step on one device, with generated images.
//!
//! `cargo run -p tfnas-torch --example throughput -- [SPACE] [BATCH] [THREADS] [DEVICE] [PRECISION] [CONFIG] [KIND]
//! [SIZE]`. Defaults: small 64 2 cpu f32, and a random network of the space. CONFIG is a model.config, or `-` for the random network;
//! KIND is `train`, `weight` or `architecture` (the steps of the search) or `all`; SIZE is the side of the images (default: that of the space). PRECISION is f32, tf32 (on a GPU), bf16 or
//! f16.
//!
//! On a CPU with glibc, set both `MALLOC_MMAP_THRESHOLD_` and `MALLOC_TRIM_THRESHOLD_` to 1000000000, as the workers
//! do. Otherwise the allocator returns large blocks to the system after each use, and page faults dominate the step
//! time.
//!
//! Prints the rate of the median step, synchronized after each step; the rate of many steps with one synchronization at
//! the end; and on a GPU the peak memory of tensors.

use std::time::Instant;

use tch::{Device, Kind, Tensor};
use tfnas::{Architecture, Knot, LatencyCurve, LatencyTable, ModelConfig, Space, TableHeader};
use tfnas_c10d::Precision;
use tfnas_c10d::cuda::{peak_memory, reset_peak_memory, set_numerics};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::device::{find_device, set_threads, synchronize};
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::gumbel::{Noise, draw_noise, draw_remaining_path, gumbel_path};
use tfnas_torch::initialize::initialize;
use tfnas_torch::mixed_precision::MixedPrecision;
use tfnas_torch::optim::{Adam, AdamSettings, Sgd, SgdSettings};
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
use tfnas_torch::supernet::{Latencies, Supernet};
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::trainer::Trainer;
use tfnas_torch::{Module, Role};

const REPEATS: usize = 10;
const WARM_UP: usize = 3;
const SGD: SgdSettings = SgdSettings { rate: 0.025, momentum: 0.9, weight_decay: 1e-5 };
const ADAM: AdamSettings = AdamSettings { rate: 0.01, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |index, default: &str| std::env::args().nth(index).unwrap_or_else(|| default.to_owned());
    let name = argument(1, "small");
    let space = Space::by_name(&name).ok_or(format!("unknown space '{name}', expected one of {:?}", Space::names()))?;
    let batch: usize = argument(2, "64").parse()?;
    set_threads(argument(3, "2").parse()?);
    let device = find_device(&argument(4, "cpu"))?;
    let precision_name = argument(5, "f32");
    if device.is_cuda() {
        set_numerics(precision_name == "tf32")?;
    }
    let precision = match precision_name.as_str() {
        "f32" | "tf32" => Precision::F32,
        "bf16" => Precision::Bf16,
        "f16" => Precision::F16,
        other => return Err(format!("unknown precision '{other}'").into()),
    };
    let classes = space.definition().classes.unwrap_or(10);
    let config = match std::env::args().nth(6).filter(|path| path != "-") {
        Some(path) => ModelConfig::parse(&std::fs::read_to_string(path)?)?,
        None => {
            let architecture = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, 0));
            ModelConfig::from_architecture(&space, &architecture, classes)?
        }
    };
    println!("{name}, batch {batch}, {precision_name}");
    let size = match std::env::args().nth(8) {
        Some(size) => size.parse()?,
        None => space.definition().resolution as i64,
    };
    let rows = Tensor::randn([batch as i64, size, size, 3], (Kind::Float, device));
    let images = rows.permute([0, 3, 1, 2]);
    let labels = Tensor::randint(config.classifier.out_features as i64, [batch as i64], (Kind::Int64, device));
    let kind = argument(7, "all");
    let wanted = |name: &str| kind == "all" || kind == name;
    if wanted("train") {
        train(&config, precision, &images, &labels)?;
    }
    if wanted("weight") {
        search_weights(&space, precision, &images, &labels)?;
    }
    if wanted("architecture") {
        search_architecture(&space, precision, &images, &labels)?;
    }
    Ok(())
}

/// A supernet with random weights, as at the beginning of a search.
fn supernet(space: &Space, images: &Tensor, labels: &Tensor) -> Supernet {
    let classes = 1 + labels.max().int64_value(&[]) as usize;
    SupernetState::new(space, classes, 0, images.device()).slice()
}

fn noise(space: &Space, step: u32) -> Noise {
    draw_noise(space.blocks().len(), space.operations().len(), &mut Stream::new(0, StreamId::Gumbel, 0, step))
}

fn search_weights(
    space: &Space,
    precision: Precision,
    images: &Tensor,
    labels: &Tensor,
) -> Result<(), Box<dyn std::error::Error>> {
    let device = images.device();
    let supernet = supernet(space, images, labels);
    let operations = space.operations().len();
    let mut optimizer = OptimizerStep::in_f32(Sgd::new(supernet.tensors(Role::Weight), SGD), 5.0, device);
    optimizer.precision = MixedPrecision::new(precision, device)?;
    for (what, count) in [("weight step, one path", 1), ("weight step, two paths", 2)] {
        rate(what, images, |step| {
            let path = gumbel_path(&supernet.read_log_alphas(), &noise(space, step));
            let other = draw_remaining_path(&path, operations, &mut Stream::new(0, StreamId::UniformPath, 0, step));
            weight_step(&supernet, &mut optimizer, images, labels, &[path, other][..count])
                .expect("a batch of more than one image");
        });
    }
    Ok(())
}

fn search_architecture(
    space: &Space,
    precision: Precision,
    images: &Tensor,
    labels: &Tensor,
) -> Result<(), Box<dyn std::error::Error>> {
    let device = images.device();
    let supernet = supernet(space, images, labels);
    let table = flat_table(space)?;
    let latencies = Latencies::look_up(&table, space, &tfnas::Widths::initial(space), device)?;
    let mut optimizer = OptimizerStep::in_f32(Adam::new(supernet.tensors(Role::Architecture), ADAM), 5.0, device);
    optimizer.precision = MixedPrecision::new(precision, device)?;
    let objective = LatencyObjective { latencies: &latencies, target_ms: 10.0, weight: 0.1 };
    rate("architecture step", images, |step| {
        let noise = noise(space, step);
        architecture_step(&supernet, &mut optimizer, &objective, images, labels, &noise, 5.0)
            .expect("a batch of more than one image");
    });
    Ok(())
}

fn train(
    config: &ModelConfig,
    precision: Precision,
    images: &Tensor,
    labels: &Tensor,
) -> Result<(), Box<dyn std::error::Error>> {
    let flops = tfnas::cost::flops(config, images.size()[2] as usize);
    println!("network of {:.1} million multiply-adds", flops as f64 / 1e6);
    let network = DerivedNetwork::new(config, images.device());
    initialize(&network, 0);
    let optimizer = Sgd::new(network.tensors(Role::Weight), SGD);
    let mut trainer = Trainer::single_process(optimizer, 5.0, 0.1, images.device());
    trainer.precision = MixedPrecision::new(precision, images.device())?;
    let rates = DropRates { dropout: 0.2, drop_connect: 0.2 };
    let samples = images.size()[0] as usize;
    rate("training", images, |step| {
        let masks = DropMasks::draw(&network, rates, samples, StepKey { seed: 0, epoch: 0, step });
        let outcome = trainer.step(&network, images, labels, &masks);
        outcome.expect("the batch is larger than one image");
    });
    rate("evaluation", images, |_| drop(trainer.precision.forward(|| network.forward(images))));
    let folded = network.folded();
    rate("evaluation, folded", images, |_| drop(trainer.precision.forward(|| folded.forward(images))));
    Ok(())
}

/// Runs a step several times and prints its rates.
fn rate(what: &str, images: &Tensor, mut step: impl FnMut(u32)) {
    let device: Device = images.device();
    (0..WARM_UP).for_each(|index| step(index as u32));
    synchronize(device);
    // Without CUDA there is no peak memory counter to reset.
    let _ = reset_peak_memory(device);
    let mut timed = |count: usize| {
        let start = Instant::now();
        (0..count).for_each(|index| step(index as u32));
        synchronize(device);
        start.elapsed().as_secs_f64()
    };
    let mut steps: Vec<f64> = (0..REPEATS).map(|_| timed(1)).collect();
    steps.sort_by(f64::total_cmp);
    let pipelined = timed(REPEATS) / REPEATS as f64;
    let [median, pipelined] = [steps[REPEATS / 2], pipelined].map(|seconds| images.size()[0] as f64 / seconds);
    let memory = peak_memory(device).map_or_else(|_| String::new(), |bytes| format!(", {} MiB", bytes >> 20));
    println!("{what:<24} {median:8.1} images/s, pipelined {pipelined:8.1}{memory}");
}

/// A table in which every block costs the same.
fn flat_table(space: &Space) -> Result<LatencyTable, Box<dyn std::error::Error>> {
    let curve = |row: tfnas::NeededRow| {
        let knot = |width| Knot { width, ms: 1.0 };
        Ok::<_, Box<dyn std::error::Error>>((
            row.key,
            LatencyCurve::new(vec![knot(row.min_width), knot(row.max_width)])?,
        ))
    };
    let curves = space.needed_rows().into_iter().map(curve).collect::<Result<_, _>>()?;
    let header = TableHeader { name: "flat".to_owned(), ..TableHeader::default() };
    Ok(LatencyTable::new(header, 1.0, curves)?)
}
