//! Tests in simulations with known truth that a selection finds good architectures.

#![allow(clippy::unwrap_used)]

mod landscape;

use landscape::{Landscape, World};
use tfnas_select::Settings;

const SEEDS: u64 = 20;

#[test]
fn selection_beats_halving_at_equal_cost() {
    let world = World::cifar(400);
    let settings = Settings { pool: 600, ..Settings::default() };
    let (mut selected, mut halved) = (0.0, 0.0);
    for seed in 0..SEEDS {
        let landscape = Landscape::new(&world, seed, 0.5);
        selected += landscape.percentile(&landscape.select(&settings).ranking[0].architecture);
        halved += landscape.percentile(&landscape.halve(96, &settings.rungs, &settings.keep));
    }
    let (selected, halved) = (selected / SEEDS as f64, halved / SEEDS as f64);
    assert!(selected >= 95.0, "{selected}");
    assert!(selected > halved, "{selected} vs {halved}");
}

#[test]
fn a_small_budget_still_selects_well() {
    let world = World::imagenet(400);
    let settings = Settings {
        candidates: 24,
        proposals: vec![8, 8],
        rungs: vec![1, 3, 8],
        keep: vec![8, 3],
        pool: 400,
        ..Settings::default()
    };
    let percentiles = (0..SEEDS).map(|seed| {
        let landscape = Landscape::new(&world, seed, 0.5);
        landscape.percentile(&landscape.select(&settings).ranking[0].architecture)
    });
    let mean = percentiles.sum::<f64>() / SEEDS as f64;
    assert!(mean >= 85.0, "{mean}");
}
