//! Finds the attempts that have made a network: one of each stage.

use std::collections::{BTreeMap, BTreeSet};

use tfnas_artifacts::{Attempt, Cache, Outcome, Purpose, RunId};
use tfnas_planner::config::nearest::nearest;
use tfnas_stages::{Source, Stage};

use crate::PublicationError;
use crate::{Origin, PublishedInput};

/// Maximum number of runs that are searched for an instance, newest first.
const MAX_RUNS: usize = 10_000;

/// The attempts that have made a tested network.
pub struct Chosen {
    /// The run that they belong to.
    pub run: RunId,
    /// One attempt for each stage.
    pub attempts: BTreeMap<Stage, Attempt>,
    /// The inputs of each stage and where they came from.
    pub inputs: BTreeMap<Stage, Vec<PublishedInput>>,
}

impl Chosen {
    /// Returns the name of the test instance.
    pub fn id(&self) -> &str {
        &self.attempts[&Stage::Test].instance
    }
}

/// The results that a run has made or reused, by instance.
type Results = BTreeMap<String, Attempt>;

/// Finds the run and the network that a text refers to: `latest` (the last run with results of its own), `3`, the name of a run, `test@12` or `3/test@12`.
///
/// # Errors
/// Returns an error if the run does not exist, is incomplete, has tested several networks, or has not searched its
/// network itself.
pub fn choose(cache: &Cache, what: &str) -> Result<Chosen, PublicationError> {
    let (run, instance) = named(cache, what)?;
    let results = results(cache, run)?;
    let test = the_one_test(run, &results, instance)?;
    let mut chosen = Chosen { run, attempts: BTreeMap::new(), inputs: BTreeMap::new() };
    let mut open = vec![(Stage::Test, test)];
    while let Some((stage, attempt)) = open.pop() {
        if chosen.attempts.contains_key(&stage) {
            continue;
        }
        let mut inputs = Vec::new();
        for input in &attempt.inputs {
            let from = match maker(&input.port) {
                None => Origin::Data { key: key(&input.port).to_owned() },
                Some(before) => {
                    let made = made(&results, before, &attempt, &input.port, &input.digest)
                        .ok_or_else(|| not_made(run, &attempt, &input.port, before))?;
                    open.push((before, made.clone()));
                    Origin::Stage { stage: before, output: input.port.clone() }
                }
            };
            inputs.push(PublishedInput { port: input.port.clone(), digest: input.digest, from });
        }
        if inputs.iter().any(|input| input.port == "weights") {
            return Err(PublicationError::usage(format!(
                "run {run} tested weights from a file (test.weights), which none of its stages created"
            ))
            .with_hint("publish a run that tested its own network"));
        }
        chosen.inputs.insert(stage, inputs);
        chosen.attempts.insert(stage, attempt);
    }
    match Stage::ALL.iter().find(|stage| !stage.is_optional() && !chosen.attempts.contains_key(stage)) {
        None => Ok(chosen),
        Some(missing) => Err(incomplete(run, &[*missing])),
    }
}

fn named<'a>(cache: &Cache, what: &'a str) -> Result<(RunId, Option<&'a str>), PublicationError> {
    let ledger = cache.ledger();
    let (run, instance) = match what.split_once('/') {
        Some((run, instance)) => (run, Some(instance)),
        None => (what, None),
    };
    if run == "latest" {
        let runs = ledger.runs(None, MAX_RUNS)?;
        for found in &runs {
            if has_own_results(cache, found.id)? {
                return Ok((found.id, instance));
            }
        }
        return Err(PublicationError::usage("there is no run yet").with_hint("`run all` first"));
    }
    if let Ok(number) = run.parse() {
        return match ledger.run(RunId(number))? {
            Some(found) => Ok((found.id, instance)),
            None => Err(PublicationError::usage(format!("there is no run {number}")).with_hint("`log` lists the runs")),
        };
    }
    if let Some(found) = ledger.run_named(run)? {
        return Ok((found, instance));
    }
    if instance.is_none() {
        for found in ledger.runs(None, MAX_RUNS)? {
            let summary = ledger.summary(found.id)?;
            let mut made = summary.made.iter().filter(|(_, outcome)| *outcome == Some(Outcome::Done));
            if made.any(|(id, _)| id == what) || summary.used.iter().any(|(id, _)| id == what) {
                return Ok((found.id, Some(what)));
            }
        }
    }
    let names = ledger.run_names(MAX_RUNS)?;
    let names = ["latest"].into_iter().chain(names.iter().map(String::as_str));
    let hint = nearest(run, names).map(|name| format!("did you mean `{name}`?"));
    let forms = "use latest, a number or name that `log` lists, or an instance that ran, such as test@12";
    Err(PublicationError::usage(format!("`{what}` is not a run")).with_hint(hint.unwrap_or_else(|| forms.to_owned())))
}

/// Returns whether a run started or reused results of its own. A `check` repeats results of other runs, and a run that was
/// interrupted at once has none.
fn has_own_results(cache: &Cache, run: RunId) -> Result<bool, PublicationError> {
    let made = cache.ledger().made_by(run)?;
    if made.is_empty() {
        return Ok(!cache.ledger().used_by(run)?.is_empty());
    }
    Ok(made.iter().any(|attempt| attempt.purpose == Purpose::Run))
}

fn results(cache: &Cache, run: RunId) -> Result<Results, PublicationError> {
    let used = cache.ledger().used_by(run)?;
    let made = cache.ledger().made_by(run)?;
    let done = |attempt: &Attempt| attempt.outcome == Some(Outcome::Done) && attempt.purpose == Purpose::Run;
    // A reused result that was found damaged was recreated later in the run.
    Ok(used.into_iter().chain(made).filter(done).map(|attempt| (attempt.instance.clone(), attempt)).collect())
}

fn the_one_test(run: RunId, results: &Results, instance: Option<&str>) -> Result<Attempt, PublicationError> {
    let wanted = instance.map(labels);
    let tests: Vec<&Attempt> = results
        .values()
        .filter(|attempt| attempt.stage == Stage::Test.name())
        .filter(|attempt| wanted.as_ref().is_none_or(|wanted| wanted.is_subset(&labels(&attempt.instance))))
        .collect();
    match tests[..] {
        [test] => Ok(test.clone()),
        [] => {
            let is_there = |stage: &Stage| results.values().any(|attempt| attempt.stage == stage.name());
            let missing: Vec<Stage> =
                Stage::ALL.iter().copied().filter(|stage| !stage.is_optional() && !is_there(stage)).collect();
            match instance {
                Some(instance) if missing.is_empty() => {
                    Err(PublicationError::usage(format!("run {run} has no result of a test of {instance}"))
                        .with_hint(format!("`show {run}` lists its results")))
                }
                _ => Err(incomplete(run, &missing)),
            }
        }
        _ => {
            let ids: Vec<String> = tests.iter().map(|test| format!("{run}/{}", test.instance)).collect();
            Err(PublicationError::usage(format!("run {run} tested {} networks", tests.len()))
                .with_hint(format!("use one of {}", ids.join(", "))))
        }
    }
}

fn incomplete(run: RunId, missing: &[Stage]) -> PublicationError {
    let missing: Vec<&str> = missing.iter().map(|stage| stage.name()).collect();
    PublicationError::usage(format!("run {run} is incomplete: it has no result of {}", missing.join(", ")))
        .with_hint("`run all`, and publish that run")
}

fn not_made(run: RunId, attempt: &Attempt, port: &str, before: Stage) -> PublicationError {
    let instance = &attempt.instance;
    if port == "model.config" {
        return PublicationError::usage(format!(
            "the network of {instance} was given (train.from): no search of run {run} found it"
        ))
        .with_hint("publish a run that trained the network that it found");
    }
    PublicationError::usage(format!(
        "run {run} is incomplete: it has no result of {} with the {port} that {instance} read",
        before.name()
    ))
    .with_hint("`run all`, and publish that run")
}

/// Returns the stage that makes the input of a port, or `None` if the input is data.
fn maker(port: &str) -> Option<Stage> {
    Stage::ALL.iter().copied().find(|stage| stage.outputs(true).contains(&port))
}

/// Returns the configuration key that specifies the input of a port.
fn key(port: &str) -> &str {
    Source::EXTERNAL.iter().find(|source| source.port() == port).and_then(|source| source.config_key()).unwrap_or(port)
}

/// Returns the result of the run that made an input. If several instances made the same output, the one with the same
/// values in its name is returned.
fn made<'a>(
    results: &'a Results,
    stage: Stage,
    reader: &Attempt,
    output: &str,
    digest: &tfnas_artifacts::Digest,
) -> Option<&'a Attempt> {
    let labels_of_reader = labels(&reader.instance);
    let makers = results.values().filter(|attempt| {
        attempt.stage == stage.name() && attempt.output(output).is_some_and(|output| output.digest == *digest)
    });
    makers.max_by_key(|attempt| labels(&attempt.instance).is_subset(&labels_of_reader))
}

/// Returns the values in the name of an instance.
fn labels(instance: &str) -> BTreeSet<&str> {
    instance.split_once('@').map(|(_, values)| values.split(',').collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_outputs_and_of_data_are_distinguished() {
        assert_eq!(maker("latency.table"), Some(Stage::Lookup));
        assert_eq!(maker("classes.txt"), Some(Stage::Split));
        assert_eq!(maker("test.list"), Some(Stage::Split));
        for port in ["train_images", "test_images", "classes", "table", "start", "weights"] {
            assert_eq!(maker(port), None);
            assert!(key(port).contains('.'), "{port}");
        }
    }

    #[test]
    fn labels_are_the_values_after_the_stage() {
        assert!(labels("search@12").is_subset(&labels("test@12,lr=0.1")));
        assert!(!labels("search@15").is_subset(&labels("test@12,lr=0.1")));
        assert!(labels("split").is_empty());
    }
}
