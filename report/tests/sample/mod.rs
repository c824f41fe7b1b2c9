//! A large sample report with hostile names: the published space, 90 search epochs, a selection, 250 training epochs,
//! 1000 classes.

use serde_json::{Value, json};
use tfnas::{Architecture, LatencyTable, ModelConfig, Space, cost};
use tfnas_report::{Artifact, Invocation, Mistake, Mistakes, Network, Output, Picture, Report, RunFacts, StageRun};
use tfnas_select::{EpochScore, Problem, Selection, Settings, Step};
use tfnas_stages::{Stage, TestedImage};

/// A name with markup that must be escaped.
pub const HOSTILE: &str = "<script>alert(\"1\")</script> & 'Größe' \u{202e}\u{0}";

/// Target latency, in milliseconds.
const TARGET_MS: f64 = 12.0;

/// Returns the report.
pub fn report() -> Report {
    Report { run: run(), networks: vec![network("")] }
}

/// Returns a network with all outputs.
pub fn network(label: &str) -> Network {
    let space = Space::imagenet();
    let table = LatencyTable::titan_rtx();
    let selection = selection(&space, &table);
    let architecture = selection["selection"]["ranking"][0]["architecture"].clone();
    let found: Architecture = serde_json::from_value(architecture.clone()).expect("a selection ranks architectures");
    Network {
        label: label.to_owned(),
        lookup: read(&json!({
            "origin": "measured", "name": "titan-rtx-b32", "device": HOSTILE, "base_ms": 1.5, "rows": 300,
            "min_reachable_ms": 8.0, "max_reachable_ms": 26.0, "suspicious": 0,
            "check": {"mean_error": 0.02, "worst_error": 0.05, "rank_correlation": 0.99, "scale": 1.0, "offset_ms": 0.0,
                "fitted_mean_error": 0.01, "fitted_worst_error": 0.02,
                "networks": (0..24).map(|n| [9.0 + f64::from(n) * 0.7, 9.2 + f64::from(n) * 0.69 + wave(n) * 0.3]).collect::<Vec<_>>()},
        })),
        search: read(&json!({
            "log_alphas": space.blocks().iter().enumerate().map(|(block, _)| logs(block, space.operations().len())).collect::<Vec<_>>(),
            "betas": space.groups().iter().map(|group| (0..group.blocks).map(|block| wave(block as i32)).collect::<Vec<_>>()).collect::<Vec<_>>(),
            "widths": [],
        })),
        history: read(&history(&architecture)),
        select: read(&selection),
        architecture: read(&parsed(&space, &table, &found)),
        measured: serde_json::from_value(
            json!({"measured_lat_ms": 12.3, "measured_lat_ms_low": 12.1, "measured_lat_ms_high": 12.6}),
        )
        .ok(),
        train: read(&json!({
            "protocol": "published", "images": 128_000, "val_images": 5000, "best_epoch": 243, "best_top1": 0.84,
            "epochs": (0..250).map(|n| { let t = f64::from(n) / 250.0; json!({
                "epoch": n, "lr": 0.1 * (1.0 + (std::f64::consts::PI * t).cos()), "train_loss": 5.0 - 3.2 * t.sqrt(), "train_top1": 0.8 * t.sqrt(),
                "train_top5": 0.9, "val_loss": 4.6 - 3.3 * t.sqrt() + 0.1 * wave(n), "val_top1": 0.84 * t.sqrt(), "val_top5": 0.95 * t.sqrt().sqrt(),
                "skipped": 0}) }).collect::<Vec<_>>(),
        })),
        test: read(&json!({
            "top1": 0.842, "top5": 0.961, "loss": 0.7, "images": 50_000, "skipped": 3,
            "classes": (0..1000).map(|n| json!({"name": format!("{HOSTILE} {n}"), "images": 50, "top1": (0.5 + 0.5 * (f64::from(n) / 1000.0).sqrt()).min(1.0),
                "top5": 0.95, "predicted": 48, "precision": 0.8})).collect::<Vec<_>>(),
            "confusion": confusion(),
        })),
        mistakes: mistakes(),
        space: Some(space),
    }
}

/// A picture of four pixels.
const PNG: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0, 253, 212, 154,
    115, 0, 0, 0, 16, 73, 68, 65, 84, 120, 156, 99, 56, 81, 161, 1, 68, 12, 16, 10, 0, 41, 238, 5, 161, 140, 9, 206,
    136, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];

/// Images with and without a thumbnail.
fn mistakes() -> Output<Mistakes> {
    let mistake = |n: i32| Mistake {
        tested: TestedImage {
            image: format!("{HOSTILE}/{n}.jpg"),
            class: format!("{HOSTILE} {n}"),
            predicted: (n % 5 != 4).then(|| format!("{HOSTILE} {}", n + 1)),
            confidence: 0.9,
            class_probability: 0.01,
            loss: f64::from(24 - n),
            rank: 7,
        },
        picture: match n % 3 {
            0 => Picture::Missing("the image is no longer there".to_owned()),
            _ => Picture::Png { bytes: PNG.to_owned(), width: 2, height: 2 },
        },
    };
    Output::Read(Mistakes { wrong: 7_900, worst: (0..24).map(mistake).collect() })
}

fn run() -> RunFacts {
    let stage = |(index, stage): (usize, &Stage)| StageRun {
        instance: stage.name().to_owned(),
        state: if index < 2 { "cached" } else { "ran" }.to_owned(),
        seconds: Some([12.0, 900.0, 82_800.0, 14_000.0, 5.0, 320_000.0, 61.0][index]),
        took: "a while".to_owned(),
        key: "0123456789abcdef".repeat(4),
        attempt: format!("{index:016x}"),
        inputs: vec![Artifact { name: format!("/data/{HOSTILE}"), digest: "ab".repeat(32), size: String::new() }],
        outputs: vec![Artifact {
            name: format!("{}.json", stage.name()),
            digest: "cd".repeat(32),
            size: "3.0 KiB".to_owned(),
        }],
        environment: vec![("device".to_owned(), "cuda".to_owned()), ("cpu_flags".to_owned(), "avx avx2".to_owned())],
        seed: Some("0".to_owned()),
        ..StageRun::default()
    };
    RunFacts {
        invocation: Some(Invocation {
            stages: vec!["all".to_owned()],
            config: Some(HOSTILE.to_owned()),
            store: Some(HOSTILE.to_owned()),
        }),
        id: "7".to_owned(),
        name: HOSTILE.to_owned(),
        note: format!("two\nlines of {HOSTILE}"),
        command: vec!["run".to_owned(), "all".to_owned(), format!("--config={HOSTILE}.yaml")],
        configuration_name: format!("{HOSTILE}.yaml"),
        configuration: "{\n  \"seed\": 0\n}".to_owned(),
        outcome: "done".to_owned(),
        started: "2026-01-02 03:04:05 UTC".to_owned(),
        took: "4 d 20 h".to_owned(),
        host: "node1".to_owned(),
        tool: "tfnas-pipeline 0.1.0".to_owned(),
        source_revision: "0123456789".to_owned(),
        stages: Stage::ALL.iter().enumerate().map(stage).collect(),
        under_way: Vec::new(),
    }
}

fn read<T: tfnas_stages::StageOutput>(value: &Value) -> Output<T> {
    Output::from_json(value.to_string().as_bytes())
}

/// A pseudo-random number between -1 and 1.
fn wave(n: i32) -> f64 {
    (f64::from(n) * 12.9898).sin()
}

fn logs(block: usize, count: usize) -> Vec<f64> {
    let weights: Vec<f64> = (0..count).map(|operation| (3.0 * wave((block * 8 + operation) as i32)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum).ln()).collect()
}

/// Probabilities of one epoch: rows of `counts` choices, one of which becomes more probable.
fn shares(epoch: i32, counts: &[usize]) -> Vec<Vec<f64>> {
    let weight = |row: usize, choice: usize| (0.05 * f64::from(epoch) * wave((row * 8 + choice) as i32)).exp();
    let of_row = |(row, count): (usize, &usize)| {
        let sum: f64 = (0..*count).map(|choice| weight(row, choice)).sum();
        (0..*count).map(|choice| weight(row, choice) / sum).collect()
    };
    counts.iter().enumerate().map(of_row).collect()
}

fn history(architecture: &Value) -> Value {
    let epoch = |n: i32| {
        let searched = n >= 10;
        let mut after = architecture.clone();
        if n % 7 == 0
            && let Some(choice) = after.pointer_mut("/2/0/operation")
        {
            *choice = json!(n % 8);
        }
        json!({
            "epoch": n, "lr": 0.025, "temperature": 5.0 * 0.96f64.powi(n), "train_loss": 9.0 - f64::from(n) * 0.05, "train_top1": f64::from(n) / 200.0,
            "architecture_loss": searched.then(|| 4.0 - f64::from(n) * 0.02), "expected_lat_ms": searched.then(|| 14.0 + wave(n)),
            "val_top1": (n > 80).then_some(0.45), "operation_entropy": 1.0 - f64::from(n) / 120.0, "architecture": after,
            "operations": shares(n, &[8; 18]), "depths": shares(n, &[2, 3, 4, 4, 4, 1]),
            "before_lat_ms": 13.0 + wave(n), "after_lat_ms": 12.0, "skipped": 0, "agreement": (n > 0).then_some(0.9),
        })
    };
    (0..90).map(epoch).collect()
}

/// Confusions of a test with 1000 classes.
fn confusion() -> Value {
    let pair = |n: i32| json!({"class": format!("{HOSTILE} {n}"), "predicted": format!("{HOSTILE} {}", n + 1), "images": 40 - n / 30});
    json!({"pairs": 5000, "largest": (0..1000).map(pair).collect::<Vec<_>>()})
}

/// A selection in which shallow candidates learn faster and one candidate diverges.
fn selection(space: &Space, table: &LatencyTable) -> Value {
    let problem = Problem { space: space.clone(), table: table.clone(), target_ms: TARGET_MS, seed: 0, search: None };
    let settings = Settings {
        candidates: 24,
        proposals: vec![8, 8],
        rungs: vec![2, 5, 9],
        keep: vec![10, 4],
        pool: 200,
        ..Settings::default()
    };
    let mut selection = Selection::new(problem, settings).expect("the settings are valid");
    while let Step::Train(trainings) = selection.step() {
        let scores = trainings.iter().map(|training| {
            let depth = selection.candidates()[training.id].architecture.block_count() as f64;
            let epoch = |epoch: usize| {
                let loss = if training.id == 5 {
                    f64::NAN
                } else {
                    (4.0 + 0.05 * depth + 0.2 * wave(training.id as i32)) / (epoch as f64).powf(0.3)
                };
                EpochScore { epoch, train_loss: loss, val_loss: Some(loss), val_top1: Some(0.1) }
            };
            (training.id, (1..=training.epochs).map(epoch).collect())
        });
        let scores = scores.collect();
        selection.record(scores).expect("every training has scores");
    }
    let outcome = selection.outcome().expect("the loop ends when it has finished");
    json!({"target_lat_ms": TARGET_MS, "images": 100_000, "val_images": 28_000, "selection": outcome})
}

fn parsed(space: &Space, table: &LatencyTable, found: &Architecture) -> Value {
    let config = ModelConfig::from_architecture(space, found, 1000).expect("the architecture is in this space");
    let block = |(block, choice): (&tfnas::Block, tfnas::Choice)| {
        let operation = &space.operations()[choice.operation];
        json!({
            "name": block.name(), "operation": operation.name(), "kernel": operation.kernel, "se_channels": block.se_channels(operation),
            "in_channels": block.in_channels, "width": choice.width, "out_channels": block.out_channels, "stride": block.stride,
            "lat_ms": table.latency_ms(&block.key(operation), choice.width).ok(), "parameters": 1, "flops": 1,
        })
    };
    json!({
        "space_resolution": 224, "classes": 1000, "target_lat_ms": TARGET_MS,
        "predicted_lat_ms": table.architecture_ms(space, found).ok(), "base_lat_ms": table.base_ms(),
        "parameters": cost::parameters(&config), "flops": cost::flops(&config, 224), "changed": ["stage4: 4 -> 3 blocks"],
        "blocks": found.choices(space).map(block).collect::<Vec<_>>(),
    })
}
