//! Searches the space `small` on generated images, with a made-up latency table, in some seconds on a CPU.

use tch::{Device, Kind, Tensor};
use tfnas::elasticity::refit;
use tfnas::parse::parse;
use tfnas::schedule::{cosine, temperature};
use tfnas::{Knot, LatencyCurve, LatencyTable, Space, TableHeader};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::gumbel::{draw_noise, draw_remaining_path, gumbel_path};
use tfnas_torch::optim::{Adam, AdamSettings, Sgd, SgdSettings};
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
use tfnas_torch::supernet::Latencies;
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::{Module, Role};

const SEED: u64 = 0;
const CLASSES: usize = 4;
const EPOCHS: usize = 6;
const WARMUP_EPOCHS: usize = 2;
const STEPS: u32 = 8;
const BATCH: usize = 16;
const DEVICE: Device = Device::Cpu;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = Space::small();
    let table = table(&space)?;
    let reachable = table.reachable_ms(&space)?;
    let target_ms = (reachable.min_ms + reachable.max_ms) / 2.0;
    println!(
        "networks of the space take {:.2} to {:.2} ms, the target is {target_ms:.2} ms",
        reachable.min_ms, reachable.max_ms
    );

    let mut state = SupernetState::new(&space, CLASSES, SEED, DEVICE);
    let mut widths = state.widths();
    for epoch in 0..EPOCHS {
        let loss = search_epoch(&space, &table, &mut state, target_ms, epoch)?;
        let supernet = state.full();
        let found = parse(&space, &supernet.read_log_alphas(), &supernet.read_betas(), &widths)?;
        let mut found_ms = table.architecture_ms(&space, &found)?;
        if epoch >= WARMUP_EPOCHS {
            // Elasticity-scaling: the widths of the most probable architecture follow the target.
            let scaled = refit(&space, &found, &table, target_ms)?;
            found_ms = scaled.after_ms;
            widths.adopt(&space, &scaled.architecture);
            state.set_widths(&widths);
        }
        println!("epoch {epoch}: loss {loss:.3}, the most probable architecture takes {found_ms:.2} ms");
    }
    let supernet = state.full();
    print!("{}", parse(&space, &supernet.read_log_alphas(), &supernet.read_betas(), &widths)?.describe(&space));
    Ok(())
}

/// Trains the weights, and after the warm-up the architecture. Returns the mean loss of a path.
fn search_epoch(
    space: &Space,
    table: &LatencyTable,
    state: &mut SupernetState,
    target_ms: f64,
    epoch: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let supernet = state.slice();
    let latencies = Latencies::look_up(table, space, &state.widths(), DEVICE)?;
    let objective = LatencyObjective { latencies: &latencies, target_ms, weight: 0.1 };
    let rate = cosine(0.1, epoch, EPOCHS);
    let weights = Sgd::new(supernet.tensors(Role::Weight), SgdSettings { rate, momentum: 0.9, weight_decay: 1e-5 });
    let mut weights = OptimizerStep::in_f32(weights, 5.0, DEVICE);
    let settings = AdamSettings { rate: 0.1, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };
    let mut architecture =
        OptimizerStep::in_f32(Adam::new(supernet.tensors(Role::Architecture), settings), 5.0, DEVICE);
    let (blocks, operations) = (space.blocks().len(), space.operations().len());
    let mut losses = 0.0;
    for step in 0..STEPS {
        let stream = |id| Stream::new(SEED, id, epoch as u32, step);
        let (images, labels) = batch(space, epoch as u32, step);
        let path =
            gumbel_path(&supernet.read_log_alphas(), &draw_noise(blocks, operations, &mut stream(StreamId::Gumbel)));
        let mut paths = vec![path];
        if epoch >= WARMUP_EPOCHS {
            paths.push(draw_remaining_path(&paths[0], operations, &mut stream(StreamId::UniformPath)));
        }
        let outcome = weight_step(&supernet, &mut weights, &images, &labels, &paths)?;
        losses += outcome.losses[0].double_value(&[]);
        if epoch >= WARMUP_EPOCHS && step % 2 == 0 {
            let (images, labels) = batch(space, epoch as u32, STEPS + step);
            let noise = draw_noise(blocks, operations, &mut stream(StreamId::ArchitectureGumbel));
            let temperature = temperature(5.0, 0.8, WARMUP_EPOCHS, epoch);
            architecture_step(&supernet, &mut architecture, &objective, &images, &labels, &noise, temperature)?;
        }
    }
    state.scatter(&supernet);
    Ok(losses / f64::from(STEPS))
}

/// Noisy images, brighter in one of four corners, which is the class. Returns `[N, 3, H, W]` f32 and `[N]` i64.
fn batch(space: &Space, epoch: u32, step: u32) -> (Tensor, Tensor) {
    let size = space.definition().resolution as i64;
    let mut stream = Stream::new(SEED, StreamId::Shuffle, epoch, step);
    let labels: Vec<i64> = (0..BATCH).map(|_| stream.below(CLASSES as u64) as i64).collect();
    let pixels: Vec<f32> =
        (0..BATCH as i64 * 3 * size * size).map(|_| stream.below(1000) as f32 / 500.0 - 1.0).collect();
    let images = Tensor::from_slice(&pixels).view([BATCH as i64, 3, size, size]);
    for (image, label) in labels.iter().enumerate() {
        let corner = images.get(image as i64).narrow(1, label / 2 * size / 2, size / 2).narrow(
            2,
            label % 2 * size / 2,
            size / 2,
        );
        let _ = corner.shallow_clone().g_add_scalar_(1.0);
    }
    (images.to_kind(Kind::Float).to_device(DEVICE), Tensor::from_slice(&labels).to_device(DEVICE))
}

/// A table in which each channel of a block takes 10 µs.
fn table(space: &Space) -> Result<LatencyTable, Box<dyn std::error::Error>> {
    let mut curves = Vec::new();
    for row in space.needed_rows() {
        let knots = [1, row.max_width.max(2)].map(|width| Knot { width, ms: 0.01 * width as f64 });
        curves.push((row.key, LatencyCurve::new(knots.to_vec())?));
    }
    let header = TableHeader { name: "toy".to_owned(), ..TableHeader::default() };
    Ok(LatencyTable::new(header, 0.5, curves)?)
}
