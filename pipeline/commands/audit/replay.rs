//! L4 and L5: reruns stages with their published inputs, and compares the outputs.
//!
//! The published artifacts are put into a temporary store, and the stages run as in any other run. An identical output
//! was therefore made with the same key from the same bytes. Because the lineage is complete, a replay of every stage
//! is a replay of the complete run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use indicatif::MultiProgress;
use serde_json::Value;
use tfnas_artifacts::{Attempt, Cache, Outcome as Ended};
use tfnas_executor::{Runner, worker_program};
use tfnas_planner::config::Configuration;
use tfnas_planner::generated_images;
use tfnas_planner::machine::{Device, differing_facts};
use tfnas_planner::output::read_output;
use tfnas_planner::plan::{ExternalInputs, Graph, InputSource, Planner};
use tfnas_publication::audit::{Checks, Folder, Level, Verified};
use tfnas_publication::{Contents, names};
use tfnas_stages::{Stage, TestReport, Verify, WARM_START, finite};

use super::folder::{Asked, Replay};
use crate::error::CommandError;
use crate::report::Reporter;
use crate::session::new_run;
use crate::source_revision::source_revision;

/// Tolerance of the accuracies of a test in another environment: adding numbers in another order can swap logits that
/// are almost equal. Two images in a thousand, or one image.
const TEST_SHARE: f64 = 0.002;
/// Relative tolerance of the loss of a test in another environment.
const TEST_LOSS: f64 = 0.01;

impl Replay {
    /// Returns the stages to rerun, in order.
    fn stages(self) -> &'static [Stage] {
        match self {
            Self::Test => &[Stage::Test],
            Self::Train => &[Stage::Train, Stage::Test],
            Self::Search => &[Stage::Search, Stage::Select, Stage::Parse],
            Self::All => Stage::ALL,
        }
    }
}

/// Replays the requested stages, and records which stages were not requested.
pub fn check(folder: &Folder, contents: &Contents, asked: &Asked<'_>, bars: MultiProgress, checks: &mut Checks) {
    let asked_for = asked.folder.replay.map_or(&[][..], Replay::stages);
    let stages: Vec<Stage> = contents.config.stages().filter(|stage| asked_for.contains(stage)).collect();
    for stage in contents.config.stages().filter(|stage| !stages.contains(stage)) {
        checks.skip(level(stage), format!("{} again", stage.name()), "it was not requested: --replay");
    }
    if stages.is_empty() {
        return;
    }
    if let Err(error) = replay(folder, contents, &stages, asked, bars, checks) {
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        for stage in stages {
            checks.skip_asked(level(stage), format!("{} again", stage.name()), format!("{}{hint}", error.message));
        }
    }
}

fn level(stage: Stage) -> Level {
    if stage == Stage::Test { Level::L4 } else { Level::L5 }
}

fn replay(
    folder: &Folder,
    contents: &Contents,
    stages: &[Stage],
    asked: &Asked<'_>,
    bars: MultiProgress,
    checks: &mut Checks,
) -> Result<(), CommandError> {
    let program = worker_program(asked.worker)?;
    let scratch = tempfile::Builder::new().prefix("tfnas-replay-").tempdir();
    let scratch = scratch.map_err(|error| CommandError::usage(format!("cannot make a temporary folder: {error}")))?;
    let configuration = configuration(folder, contents, asked, scratch.path())?;
    let graph = Graph::new(&configuration);
    let devices = vec![Device::find(configuration.shared().config.device)?];
    let cache = Cache::open(&scratch.path().join("store"))?;
    let results = published(folder, contents, &graph, &cache)?;
    let run = cache.begin_run(&new_run(configuration.effective().to_string()))?;
    let mut reporter = Reporter::new(bars, false, true);
    for stage in stages.iter().copied() {
        let what = format!("{} again", stage.name());
        let Some(position) = graph.by_id(stage.name()) else { continue };
        if let Some(why) = cannot_repeat(contents, stage) {
            // Later stages use the published outputs.
            checks.skip(level(stage), what, why);
            continue;
        }
        let mut externals = ExternalInputs::default();
        let memos = cache.store().folder_memos();
        if let Err(error) = externals.identify(&graph, [position], Some(&memos), &|_| false) {
            checks.skip_asked(level(stage), what, error.to_string());
            continue;
        }
        if let Some(why) = other_data(contents, &graph, position, stage, &externals) {
            checks.skip_asked(level(stage), what, why);
            continue;
        }
        let planner = Planner {
            configuration: &configuration,
            graph: &graph,
            devices: &devices,
            externals: &externals,
            cache: &cache,
            speed: None,
        };
        let forced = BTreeSet::new();
        let runner = Runner {
            planner: &planner,
            run: &run,
            program: &program,
            source_revision: source_revision(),
            jobs: 1,
            launcher: None,
            forced: &forced,
            keep_going: false,
            profile: false,
        };
        let finished = runner.repeat(position, &results, &mut reporter)?;
        match finished.results.get(&position).filter(|_| finished.failed.is_empty() && !finished.stopped) {
            Some(again) if finished.ran.contains(&position) => compare(contents, stage, &cache, again, checks),
            _ if finished.stopped => {
                checks.skip_asked(level(stage), what, "it was interrupted");
                break;
            }
            _ => checks.skip_asked(level(stage), what, "it failed; see its log on standard error"),
        }
    }
    Ok(cache.end_run(run, Ended::Done)?)
}

/// Returns the published configuration with the auditor's images.
fn configuration(
    folder: &Folder,
    contents: &Contents,
    asked: &Asked<'_>,
    scratch: &Path,
) -> Result<Configuration, CommandError> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let names_data = |set: &String| set.starts_with("data.");
    let root = match &asked.folder.data {
        Some(root) => Some(absolute(root)),
        None if asked.options.sets.iter().any(names_data) => None,
        // A generated image set is the same on every machine.
        None if contents.config.data.generate.is_some() => Some(scratch.join("images")),
        None => {
            return Err(
                CommandError::usage("no images were given").with_hint("set those of the run with --data FOLDER")
            );
        }
    };
    let mut sets: Vec<String> = root.iter().map(|root| set("data.root", root)).collect::<Result<_, _>>()?;
    if asked.folder.data.is_some() {
        sets.push("data.generate=".to_owned());
    }
    let is_local = |set: &String| names_data(set) || set.starts_with("device=") || set.starts_with("threads=");
    if let Some(other) = asked.options.sets.iter().find(|set| !is_local(set)) {
        return Err(CommandError::usage(format!("--set {other}: a replay takes the published configuration"))
            .with_hint("only data.root, data.train, data.test, device and threads may be changed"));
    }
    sets.extend(asked.options.sets.iter().cloned());
    let configuration = Configuration::load(Some(&folder.path(names::CONFIGURATION)), &sets)?;
    generated_images::ensure(&configuration)?;
    Ok(configuration)
}

/// Returns an override for `--set` that sets a path, quoted so that it can contain any characters.
fn set(key: &str, path: &Path) -> Result<String, CommandError> {
    let text = path.to_str().ok_or_else(|| {
        CommandError::usage(format!("--data: the path {path:?} is not UTF-8 text, as a configuration must be"))
            .with_hint("rename the folder, or name a symbolic link to it")
    })?;
    Ok(format!("{key}={}", Value::from(text)))
}

/// Adds the published artifacts to a store, and returns the results of all stages.
fn published(
    folder: &Folder,
    contents: &Contents,
    graph: &Graph,
    cache: &Cache,
) -> Result<BTreeMap<usize, Attempt>, CommandError> {
    let mut results = BTreeMap::new();
    for (stage, record) in &contents.records {
        for output in &record.outputs {
            if let Some(name) = stage.spec().published_file(&output.name, contents.weights()) {
                cache.store().ingest_file(&folder.path(&name))?;
            }
        }
        if let Some(position) = graph.by_id(stage.name()) {
            results.insert(position, record.attempt());
        }
    }
    Ok(results)
}

/// Returns why a stage cannot be repeated.
fn cannot_repeat(contents: &Contents, stage: Stage) -> Option<&'static str> {
    let record = contents.record(stage);
    let table = contents.record(Stage::Lookup).output("latency.table");
    match stage {
        Stage::Lookup if record.input("table").is_none() => {
            Some("a measured latency never repeats; what follows it is replayed with the published table")
        }
        Stage::Lookup if record.input("table") != table => {
            Some("the file that was imported is not published; what follows it is replayed with the published table")
        }
        Stage::Split if record.input("classes").is_some() => Some("the file of its classes is not published"),
        Stage::Parse if contents.config.search.verify == Verify::Measured => Some(
            "a measured latency corrects its network, and never repeats; what follows it is replayed with the published network",
        ),
        Stage::Search if record.input(WARM_START).is_some() => Some("the search that it started from is not published"),
        _ => None,
    }
}

/// Returns how the auditor's data differ from those of the run.
fn other_data(
    contents: &Contents,
    graph: &Graph,
    position: usize,
    stage: Stage,
    externals: &ExternalInputs,
) -> Option<String> {
    for input in &graph.instances[position].inputs {
        let InputSource::External(external) = &input.source else { continue };
        let found = externals.get(external)?.digest;
        let wanted = contents.record(stage).input(input.port)?;
        if found != wanted {
            return Some(format!(
                "{}: {} differs from the input of the run: its digest is {}, but the run read {}",
                external.key(),
                external.path().display(),
                found.short(),
                wanted.short()
            ));
        }
    }
    None
}

/// Compares outputs: exactly if the environments are equal, within a tolerance if they are not.
fn compare(contents: &Contents, stage: Stage, cache: &Cache, again: &Attempt, checks: &mut Checks) {
    let record = contents.record(stage);
    let what = format!("{} again", stage.name());
    let others: Vec<&str> = record
        .outputs
        .iter()
        .filter(|output| again.output(&output.name).map(|again| again.digest) != Some(output.digest))
        .map(|output| output.name.as_str())
        .collect();
    let facts = differing(&record.attempt(), again);
    let environment = if facts.is_empty() {
        "in an equal environment".to_owned()
    } else {
        format!("in an environment with other {}", facts.join(", "))
    };
    if others.is_empty() {
        checks.pass(level(stage), what, format!("all outputs have the same bytes, {environment}"));
    } else if facts.is_empty() {
        checks.fail(level(stage), what, format!("other bytes in {} {environment}", others.join(", ")));
    } else if stage == Stage::Test {
        let found: Option<TestReport> = read_output(cache, again);
        match found
            .ok_or_else(|| "its report cannot be read".to_owned())
            .and_then(|found| alike(&contents.test, &found))
        {
            Ok(Verified(found)) => checks.pass(level(stage), what, format!("{found}, {environment}")),
            Err(why) => checks.fail(level(stage), what, format!("{why}, {environment}")),
        }
    } else {
        let why = format!(
            "other bytes in {}, which an equal environment alone could judge: {environment}",
            others.join(", ")
        );
        checks.skip_asked(level(stage), what, why);
    }
}

/// Returns the facts in which the environments of two attempts differ, including those reported by the worker.
fn differing(old: &Attempt, new: &Attempt) -> Vec<String> {
    let mut facts = differing_facts(&old.environment, &new.environment);
    let worker = |attempt: &Attempt| attempt.metrics.get("worker").cloned().unwrap_or_default();
    facts.extend(differing_facts(&worker(old), &worker(new)));
    facts
}

/// Checks that the results of two tests agree within the tolerance for different environments.
fn alike(published: &TestReport, found: &TestReport) -> Result<Verified, String> {
    let share = TEST_SHARE.max(1.0 / published.images.max(1) as f64);
    let loss = TEST_LOSS * published.loss.abs();
    let numbers = [
        ("top1", published.top1, found.top1, share),
        ("top5", published.top5, found.top5, share),
        ("loss", published.loss, found.loss, loss),
    ];
    for (name, published, found, within) in numbers {
        let found = finite(found).ok_or_else(|| format!("its {name} is not finite"))?;
        // Slightly more, because the tolerance may not be representable exactly in binary.
        if (found - published).abs() > within * (1.0 + 1e-9) {
            return Err(format!("{name} is {found}, but {published} was published (tolerance {within})"));
        }
    }
    Ok(Verified(format!("top-1 and top-5 within {share}, loss within {TEST_LOSS} of itself")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn tests_in_different_environments_agree_within_the_tolerance() {
        let test = |top1: f64, loss: f64, images: usize| TestReport {
            top1,
            top5: 0.9,
            loss,
            images,
            skipped: 0,
            untested: Vec::new(),
            classes: Vec::new(),
            confusion: None,
        };
        let published = test(0.75, 1.0, 10_000);
        let with = |top1: f64, loss: f64| alike(&published, &test(top1, loss, 10_000));
        assert!(with(0.751, 1.005).is_ok());
        assert!(with(0.753, 1.0).unwrap_err().contains("top1 is 0.753"));
        assert!(with(0.75, 1.02).unwrap_err().contains("loss"));
        assert!(with(0.75, f64::NAN).unwrap_err().contains("its loss is not finite"));
        assert!(alike(&test(0.75, 1.0, 20), &test(0.8, 1.0, 20)).is_ok(), "one image of 20");
    }
}
