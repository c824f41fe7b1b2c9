//! A worker without libtorch that implements the protocol, for the tests of the planner. Its outputs depend only on the
//! parameters and inputs, and it crashes, hangs or misbehaves on request.
//!
//! The folder `FAKE_STAGE` controls it. The file `trace` gets a line each time a stage starts. A file named like an
//! instance (`search`, `search@12`) holds an action that replaces the work once (the file is removed), or always if it
//! starts with `always`: `kill`, `abort`, `segfault`, `exit N`, `fail`, `hang`, `wait`, `hold`, `noise`, `version`,
//! `missing`, `more`, `same`, `forget`, `other` (another device). A stage with `hold` continues when the file `go`
//! exists, and writes that to the trace. If the file `epochs` exists, `train` reports the metrics of its epoch. With
//! `FAKE_STEP_MS`, a stage takes [`STEPS`] steps of that duration, with a checkpoint after each.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "fake_detached.rs"]
mod detached;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tfnas::{Knot, LatencyCurve, LatencyTable, SpaceDefinition, TableHeader};
use tfnas_stages::{
    ArchitectureReport, BlockReport, ClassReport, Event, Job, Level, PROTOCOL_VERSION, Protocol, SplitParams, Stage,
    StageOutput, TestReport, TestedImage, TrainEpoch, TrainReport,
};

/// Number of steps of a stage.
const STEPS: u64 = 8;

const VERSION: &str = env!("CARGO_PKG_VERSION");

enum FromPlanner {
    Stop,
    Gone,
}

fn main() {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    if arguments == ["--version"] {
        println!("tfnas-stage {VERSION}");
        return;
    }
    if arguments[0] == "detached" {
        detached::run(Path::new(&arguments[1]), arguments[2].to_str().unwrap().parse().unwrap());
    }
    let job = Job::read(Path::new(&arguments[1]), VERSION).unwrap();
    let control = PathBuf::from(std::env::var_os("FAKE_STAGE").unwrap());
    let mut trace = OpenOptions::new().create(true).append(true).open(control.join("trace")).unwrap();
    note(&mut trace, &job.id);
    let planner = listen();
    eprintln!("log of {}", job.id);
    let behavior = behavior(&control, &job.id);
    let mut words = behavior.split_whitespace();
    let word = words.next().unwrap_or_default();
    if word == "noise" {
        println!("Welcome!");
        thread::sleep(Duration::from_secs(60));
    }
    let version = if word == "version" { "9.9.9" } else { VERSION };
    let device = if word == "other" { "another" } else { "declared" };
    let environment = [("cpu_capability", "AVX2"), ("device_model", device), ("governor", "none"), ("host", "n1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    say(&Event::Hello { protocol: PROTOCOL_VERSION, version: version.to_owned(), environment });
    let point = fs::read_to_string(job.resume_dir.join("point")).ok();
    if let Some(point) = &point {
        say(&Event::Resumed { at: point.clone() });
    }
    take_steps(&job, point.as_deref(), &planner);
    for done in 0..=4 {
        let phase = "epoch 1 of 1".to_owned();
        say(&Event::Progress { phase, done, total: 4, unit: "images".to_owned() });
    }
    say(&Event::Metric { name: "loss".to_owned(), step: 1, value: 0.5 });
    if job.stage == Stage::Train && control.join("epochs").exists() {
        for (name, value) in trained().epochs[0].metrics() {
            say(&Event::Metric { name: name.to_owned(), step: 0, value });
        }
    }
    say(&Event::Log { level: Level::Info, message: "worked".to_owned() });
    match word {
        "kill" => signal("KILL"),
        "abort" => std::process::abort(),
        "segfault" => signal("SEGV"),
        "exit" => exit(words.next().unwrap().parse().unwrap()),
        "fail" => {
            say(&Event::Failed {
                message: "the data is odd".to_owned(),
                hint: Some("look at it".to_owned()),
                peer: false,
            });
            exit(1);
        }
        "hang" => wait_to_be_killed(),
        "wait" => wait(&planner, &job, &mut trace),
        "hold" => hold(&planner, &control.join("go"), &job.id, &mut trace),
        "forget" => return,
        _ => {}
    }
    work(&job, word);
    say(&Event::Done { metrics: metrics(job.stage) });
}

/// Resumes from the checkpoint, if the stage has steps.
fn take_steps(job: &Job, point: Option<&str>, planner: &Receiver<FromPlanner>) {
    let Ok(step_ms) = std::env::var("FAKE_STEP_MS") else { return };
    let pause = Duration::from_millis(step_ms.parse().unwrap());
    let begun: u64 = point.map_or(0, |point| point.parse().unwrap());
    for step in begun..STEPS {
        if planner.recv_timeout(pause).is_ok() {
            exit(130);
        }
        let half = job.resume_dir.join("half");
        fs::write(&half, (step + 1).to_string()).unwrap();
        fs::rename(half, job.resume_dir.join("point")).unwrap();
    }
}

/// Returns the action that replaces the work.
fn behavior(control: &Path, id: &str) -> String {
    let file = control.join(id);
    let text = fs::read_to_string(&file).unwrap_or_default();
    match text.strip_prefix("always ") {
        Some(rest) => rest.to_owned(),
        None => {
            let _ = fs::remove_file(file);
            text
        }
    }
}

fn say(event: &Event) {
    println!("{}", serde_json::to_string(event).unwrap());
}

/// Receives messages of the planner. A closed pipe means that the planner has exited.
fn listen() -> Receiver<FromPlanner> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.unwrap().contains("stop") {
                sender.send(FromPlanner::Stop).unwrap();
            }
        }
        sender.send(FromPlanner::Gone).unwrap();
    });
    receiver
}

/// Appends a line to the trace, which workers share, with a single write, so that lines do not mix.
fn note(trace: &mut fs::File, line: &str) {
    trace.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Runs until the planner sends a stop.
fn wait(planner: &Receiver<FromPlanner>, job: &Job, trace: &mut fs::File) {
    match planner.recv().unwrap() {
        FromPlanner::Stop => {
            fs::write(job.resume_dir.join("point"), "epoch 1").unwrap();
            exit(130);
        }
        FromPlanner::Gone => {
            note(trace, &format!("{} is alone", job.id));
            exit(1);
        }
    }
}

/// Runs until the file exists or the planner sends a stop.
fn hold(planner: &Receiver<FromPlanner>, file: &Path, id: &str, trace: &mut fs::File) {
    while !file.exists() {
        if planner.recv_timeout(Duration::from_millis(5)).is_ok() {
            exit(130);
        }
    }
    note(trace, &format!("{id} goes on"));
}

/// Ignores all messages.
fn wait_to_be_killed() {
    thread::sleep(Duration::from_secs(600));
    exit(9);
}

/// Raises a signal. Rust's own handler absorbs the first SIGSEGV.
fn signal(name: &str) {
    for _ in 0..2 {
        Command::new("kill").args(["-s", name, &std::process::id().to_string()]).status().unwrap();
    }
    thread::sleep(Duration::from_secs(60));
}

fn work(job: &Job, word: &str) {
    // The result of a real stage is a function of only these.
    let inputs: BTreeMap<_, _> = job.inputs.iter().map(|(port, input)| (port, &input.digest)).collect();
    let seen = if word == "same" { json!(null) } else { json!({ "params": job.params, "inputs": inputs }) };
    for output in job.stage.outputs(SplitParams::draw_test(&job.params)) {
        if word == "missing" && *output == "latency.table" {
            continue;
        }
        let path = job.output_dir.join(output);
        let text = match *output {
            "latency.table" => table(job),
            ArchitectureReport::FILE => architecture(job).to_json().unwrap(),
            TestReport::FILE => marked(&tested(), &seen),
            TrainReport::FILE => marked(&trained(), &seen),
            TestedImage::FILE => predictions(),
            _ => json!({ "output": output, "seen": seen }).to_string(),
        };
        fs::write(path, text).unwrap();
    }
    if word == "more" {
        fs::write(job.output_dir.join("core.1234"), "x").unwrap();
    }
}

/// Returns the imported table, or one that covers the space: 1 µs per channel.
fn table(job: &Job) -> String {
    if let Some(input) = job.inputs.get("table") {
        return fs::read_to_string(&input.path).unwrap();
    }
    let definition: SpaceDefinition = serde_json::from_value(job.params["space"].clone()).unwrap();
    let space = tfnas::Space::new(definition).unwrap();
    let mut curves: BTreeMap<String, _> = BTreeMap::new();
    for block in space.blocks() {
        for operation in space.operations() {
            let key = block.key(operation);
            let largest = block.max_width(operation);
            let knots = [1, largest].map(|width| Knot { width, ms: width as f64 * 1e-3 });
            curves.entry(key.to_string()).or_insert((key, LatencyCurve::new(knots.to_vec()).unwrap()));
        }
    }
    let header = TableHeader { name: "fake".to_owned(), ..TableHeader::default() };
    LatencyTable::new(header, 0.5, curves.into_values().collect()).unwrap().to_text()
}

/// Serializes an output with an additional field, ignored by readers, that records its dependencies.
fn marked<O: StageOutput>(output: &O, seen: &serde_json::Value) -> String {
    let mut marked = serde_json::to_value(output).unwrap();
    marked["seen"] = seen.clone();
    marked.to_string()
}

fn architecture(job: &Job) -> ArchitectureReport {
    ArchitectureReport {
        space_resolution: 32,
        classes: 10,
        // A target given as a percentage is omitted.
        target_lat_ms: job.params["target_lat_ms"].as_f64().unwrap_or(f64::NAN),
        predicted_lat_ms: 0.9,
        base_lat_ms: 0.5,
        parameters: 123_456,
        flops: 7_890_000,
        changed: Vec::new(),
        blocks: vec![BlockReport {
            name: "stage1.block1".to_owned(),
            operation: "k3_e3_se".to_owned(),
            kernel: 3,
            se_channels: 8,
            in_channels: 8,
            width: 24,
            out_channels: 12,
            stride: 2,
            lat_ms: 0.4,
            parameters: 1000,
            flops: 20_000,
        }],
    }
}

fn tested() -> TestReport {
    TestReport {
        top1: 0.75,
        top5: 1.0,
        loss: 0.5,
        images: 40,
        skipped: 0,
        untested: Vec::new(),
        classes: vec![ClassReport { name: "a".to_owned(), images: 40, top1: Some(0.75), ..ClassReport::default() }],
        confusion: None,
    }
}

/// A correct and a wrong prediction for an image that does not exist.
fn predictions() -> String {
    let row = |predicted: &str, rank| TestedImage {
        image: format!("a/{predicted}, <b>.png"),
        class: "a".to_owned(),
        predicted: Some(predicted.to_owned()),
        confidence: 0.75,
        class_probability: 0.25,
        loss: 1.5,
        rank,
    };
    [TestedImage::COLUMNS.join(","), row("a", 1).to_row(), row("b", 2).to_row(), String::new()].join("\n")
}

fn trained() -> TrainReport {
    let epoch = TrainEpoch {
        epoch: 0,
        lr: 0.1,
        train_loss: 1.0,
        train_top1: 0.5,
        train_top5: 1.0,
        val_loss: 1.0,
        val_top1: 0.5,
        val_top5: 1.0,
        skipped: 0,
    };
    TrainReport {
        protocol: Protocol::HeldOut,
        images: 80,
        val_images: 20,
        best_epoch: 0,
        best_top1: 0.5,
        epochs: vec![epoch],
    }
}

fn metrics(stage: Stage) -> BTreeMap<String, f64> {
    match stage {
        Stage::Parse => [("measured_lat_ms", 0.95), ("measured_lat_ms_low", 0.9), ("measured_lat_ms_high", 1.0)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        Stage::Train => BTreeMap::from([("best_val_top1".to_owned(), 0.5)]),
        Stage::Test => BTreeMap::from([("top1".to_owned(), 0.75)]),
        _ => BTreeMap::new(),
    }
}
