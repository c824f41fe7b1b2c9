//! Query times of a ledger with 10,000 runs and 1,000,000 artifacts, compared with a ledger of a single run.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::Ledger;
use crate::{Attempt, AttemptId, Digest, Input, KeyManifest, Outcome, Output, Purpose, Run, RunId, Usage};

const ATTEMPTS: i64 = 10;
const OUTPUTS: u64 = 10;

/// Number of repetitions of each query; the median is reported.
const REPEATS: usize = 31;

/// The name of a query, and the query with a check of its result.
type Query<'a> = (&'static str, Box<dyn Fn() + 'a>);

/// The record of one attempt of a run. Each attempt uses the first output of the previous one.
fn attempt(run: i64, position: i64) -> Attempt {
    let digest = |position: i64, output: u64| Digest::of_bytes(format!("{run} {position} {output}").as_bytes());
    let stage = format!("stage{position}");
    let mut manifest = KeyManifest::new(&stage, 1);
    for parameter in 0..20 {
        manifest.parameter(&format!("parameter{parameter}"), &json!(run * parameter)).unwrap();
    }
    let before = digest(position - 1, 0);
    manifest.input("input", before).unwrap();
    Attempt {
        id: AttemptId::of(&digest(position, u64::MAX)),
        run: Some(RunId(run)),
        remote: None,
        instance: stage.clone(),
        stage,
        key: manifest.key(),
        manifest,
        purpose: Purpose::Run,
        environment: json!({"cpu": "a processor", "threads": 2}),
        tool: "tool 1".into(),
        source_revision: None,
        host: "host".into(),
        started_ms: run * 1000 + position * 10,
        ended_ms: Some(run * 1000 + position * 10 + 9),
        outcome: Some(Outcome::Done),
        cause: None,
        metrics: json!({"top1": 0.5}),
        usage: Usage::default(),
        inputs: vec![Input { port: "input".into(), digest: before, origin: None }],
        outputs: (0..OUTPUTS)
            .map(|output| Output { name: format!("output{output}"), digest: digest(position, output), bytes: 1000 })
            .collect(),
    }
}

fn fill(folder: &Path, runs: i64) -> Ledger {
    let ledger = Ledger::open(&folder.join("ledger.sqlite3"), &folder.join("setup")).unwrap();
    let numbers: Vec<i64> = (1..=runs).collect();
    for batch in numbers.chunks(200) {
        let mut records = Vec::new();
        for &number in batch {
            let run = Run {
                id: RunId(number),
                name: Some(format!("run {number}")),
                note: None,
                arguments: vec!["run".into(), "all".into()],
                configuration: format!("seed: {}", number % 10),
                tool: "tool 1".into(),
                source_revision: None,
                host: "host".into(),
                started_ms: number * 1000,
                ended_ms: Some(number * 1000 + 999),
                outcome: Some(Outcome::Done),
            };
            records.extend((0..ATTEMPTS).map(|position| (attempt(number, position), Some(run.clone()))));
        }
        ledger.adopt(&records).unwrap();
    }
    ledger
}

/// Returns the median time of each query, in microseconds.
fn measure(folder: &Path, ledger: &Ledger, run: i64) -> Vec<(&'static str, f64)> {
    let last = attempt(run, ATTEMPTS - 1);
    let artifact = last.outputs[0].digest;
    let prefix = artifact.short();
    let queries: Vec<Query> = vec![
        ("open", Box::new(|| drop(Ledger::open(&folder.join("ledger.sqlite3"), &folder.join("setup")).unwrap()))),
        ("results of a key", Box::new(|| assert_eq!(ledger.results(&last.key).unwrap().len(), 1))),
        ("last result", Box::new(|| assert!(ledger.last_result("stage5").unwrap().is_some()))),
        ("last attempt", Box::new(|| assert!(ledger.last_attempt("stage5").unwrap().is_some()))),
        ("recent results", Box::new(|| assert_eq!(ledger.recent_results("stage5", "stage5", 5).unwrap().len(), 5))),
        ("log", Box::new(|| assert_eq!(ledger.runs(None, 1).unwrap().len(), 1))),
        ("made by a run", Box::new(|| assert_eq!(ledger.made_by(RunId(run)).unwrap().len(), 10))),
        ("used by a run", Box::new(|| assert!(ledger.used_by(RunId(run)).unwrap().is_empty()))),
        ("find by name", Box::new(|| assert_eq!(ledger.find(&format!("run {run}")).unwrap().len(), 1))),
        ("find by prefix", Box::new(|| assert_eq!(ledger.find(&prefix).unwrap().len(), 1))),
        ("makers", Box::new(|| assert_eq!(ledger.makers(&artifact).unwrap().len(), 1))),
        ("lineage", Box::new(|| assert_eq!(ledger.lineage(&artifact).unwrap().attempts.len(), 10))),
        ("instances", Box::new(|| assert_eq!(ledger.instances().unwrap().len(), 10))),
        ("without end", Box::new(|| assert!(ledger.without_end().unwrap().is_empty()))),
        ("stamp", Box::new(|| assert!(ledger.verified_stat(&artifact).unwrap().is_none()))),
    ];
    let median = |query: &dyn Fn()| {
        let mut times: Vec<f64> = (0..REPEATS)
            .map(|_| {
                let started = Instant::now();
                query();
                started.elapsed().as_secs_f64() * 1e6
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[REPEATS / 2]
    };
    queries.iter().map(|(name, query)| (*name, median(query))).collect()
}

#[test]
#[ignore = "takes a minute: run it by name, on a quiet machine"]
fn a_large_ledger_answers_within_twice_the_time_of_a_small_one() {
    let (small_folder, large_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let small = fill(small_folder.path(), 1);
    let started = Instant::now();
    let large = fill(large_folder.path(), 10_000);
    println!("filled in {:.1} s", started.elapsed().as_secs_f64());
    let totals = large.totals().unwrap();
    assert_eq!((totals.runs, totals.outputs), (10_000, 1_000_000));
    let few = measure(small_folder.path(), &small, 1);
    let many = measure(large_folder.path(), &large, 10_000);
    let mut sums = (0.0, 0.0);
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        println!("{name:18} {few:8.1} us of one run {many:8.1} us of 10,000");
        sums = (sums.0 + few, sums.1 + many);
    }
    assert!(sums.1 < 2.0 * sums.0, "{sums:?}");
}
