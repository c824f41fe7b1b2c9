//! Compares settings on simulated landscapes: `cargo run -p tfnas-select --example simulate [SEEDS] [PLAN …]`.
//!
//! Prints for each plan, and for each fraction of quality explained by sums over block groups, over many seeds: the
//! mean true percentile of the selected network among uniform draws of its latency, the fraction of runs in which it is
//! at least 95, and the fraction in which it is above the lower end of the reported interval (0 for halving, which
//! reports none).

#![allow(clippy::unwrap_used)]

#[path = "../tests/landscape/mod.rs"]
mod landscape;

use landscape::{Landscape, World};
use tfnas_select::{Selection, Settings};

const EXPLAINED: [f64; 4] = [0.1, 0.3, 0.5, 0.7];
const REFERENCE: usize = 1500;
/// Smaller than the default, for speed.
const POOL: usize = 1000;

enum Plan {
    Halving(usize),
    Selection,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seeds: u64 = arguments.next().map_or(20, |text| text.parse().unwrap());
    let only: Vec<String> = arguments.collect();
    let world = World::cifar(REFERENCE);
    println!(
        "cifar space, {:.3} ms; {seeds} seeds per cell: mean percentile, fraction of runs at 95 or above",
        world.problem.target_ms
    );
    println!("{:34} {:>6}  {}", "plan", "epochs", EXPLAINED.map(|share| format!("R2 {share:<10}")).join(" "));
    for (name, plan, settings) in plans() {
        if !only.is_empty() && !only.iter().any(|only| name.starts_with(only.as_str())) {
            continue;
        }
        let cells = EXPLAINED.map(|explained| cell(&world, &plan, &settings, explained, seeds));
        let epochs = match plan {
            Plan::Halving(candidates) => {
                Selection::total_epochs(&Settings { candidates, proposals: Vec::new(), ..settings })
            }
            Plan::Selection => Selection::total_epochs(&settings),
        };
        println!("{name:34} {epochs:>6}  {}", cells.join(" "));
    }
}

fn cell(world: &World, plan: &Plan, settings: &Settings, explained: f64, seeds: u64) -> String {
    let mut percentiles = Vec::new();
    let mut covered = 0.0;
    for seed in 0..seeds {
        let landscape = Landscape::new(world, seed, explained);
        match plan {
            Plan::Halving(candidates) => {
                let winner = landscape.halve(*candidates, &settings.rungs, &settings.keep);
                percentiles.push(landscape.percentile(&winner));
            }
            Plan::Selection => {
                let outcome = landscape.select(settings);
                let truth = landscape.percentile(&outcome.ranking[0].architecture);
                percentiles.push(truth);
                covered += f64::from(u8::from(outcome.percentile.low <= truth));
            }
        }
    }
    let mean = percentiles.iter().sum::<f64>() / seeds as f64;
    let reached = percentiles.iter().filter(|&&percentile| percentile >= 95.0).count() as f64 / seeds as f64;
    format!("{mean:4.1} {reached:.2} {:.2}", covered / seeds as f64)
}

fn plans() -> Vec<(&'static str, Plan, Settings)> {
    let plan = |candidates, proposals: &[usize], rungs: &[usize], keep: &[usize]| Settings {
        candidates,
        proposals: proposals.to_vec(),
        rungs: rungs.to_vec(),
        keep: keep.to_vec(),
        pool: POOL,
        ..Settings::default()
    };
    vec![
        ("halving 64: 2 5 11", Plan::Halving(64), plan(64, &[], &[2, 5, 11], &[16, 4])),
        ("halving 96: 1 3 15", Plan::Halving(96), plan(96, &[], &[1, 3, 15], &[20, 6])),
        ("L 48+3x16: 1 3 15", Plan::Selection, plan(48, &[16, 16, 16], &[1, 3, 15], &[20, 6])),
        ("S 32+2x12: 1 5 15", Plan::Selection, plan(32, &[12, 12], &[1, 5, 15], &[10, 2])),
        ("tiny 24+2x8: 1 3 8", Plan::Selection, plan(24, &[8, 8], &[1, 3, 8], &[8, 3])),
    ]
}
