//! Measures whether latency depends on the alignment of widths: networks of random widths are timed against the same
//! networks with every width rounded up to the next multiple of a step.
//!
//! `cargo run --release -p tfnas-torch --example rounded_widths -- [space] [step] [networks] [passes] [threads]`.
//! Defaults: cifar 8 16 51 1.

use std::ops::ControlFlow;

use tfnas::{Architecture, ModelConfig, Space};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::device::find_device;
use tfnas_torch::timing::{TimingOptions, time_networks};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let argument = |index, default: &str| std::env::args().nth(index).unwrap_or_else(|| default.to_owned());
    let name = argument(1, "cifar");
    let space = Space::by_name(&name).ok_or(format!("unknown space '{name}', expected one of {:?}", Space::names()))?;
    let step: usize = argument(2, "8").parse()?;
    let networks: u32 = argument(3, "16").parse()?;
    let options = TimingOptions {
        batch: 1,
        threads: argument(5, "1").parse()?,
        passes: argument(4, "51").parse()?,
        warm_up_passes: 2,
        seed: 0,
        device: find_device("cpu")?,
    };
    let mut configs = Vec::new();
    for index in 0..networks {
        let random = Architecture::random(&space, &mut Stream::new(0, StreamId::RandomArchitecture, 0, index));
        let mut groups = random.groups().to_vec();
        for choice in groups.iter_mut().flatten() {
            choice.width = choice.width.next_multiple_of(step);
        }
        for architecture in [random, Architecture::new(&space, groups)?] {
            configs.push(ModelConfig::from_architecture(&space, &architecture, 10)?);
        }
    }
    let resolution = space.definition().resolution;
    let times = time_networks(&configs, resolution, &options, &mut |_, _| ControlFlow::Continue(()))?;
    let ratios = |of: fn(&tfnas_torch::timing::NetworkTime) -> f64| {
        let mut ratios: Vec<f64> = times.chunks_exact(2).map(|pair| of(&pair[0]) / of(&pair[1])).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    };
    println!("{name}: networks of random widths compared with the same networks rounded up to multiples of {step}");
    for (what, ratios) in
        [("median of passes", ratios(|time| time.median_ms)), ("low end of passes", ratios(|time| time.low_ms))]
    {
        let at = |share: f64| 100.0 * (ratios[(share * (ratios.len() - 1) as f64).round() as usize] - 1.0);
        println!(
            "{what}: {:+.1} % longer (median of {}; quartiles {:+.1} to {:+.1} %, {:+.1} to {:+.1} % in all)",
            at(0.5),
            ratios.len(),
            at(0.25),
            at(0.75),
            at(0.0),
            at(1.0)
        );
    }
    Ok(())
}
