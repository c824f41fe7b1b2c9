use std::path::Path;

use serde_json::Value;
use tfnas_artifacts::{Attempt, Cache, Outcome, Run};
use tfnas_events::RunProgress;
use tfnas_humanize as humanize;
use tfnas_report::{Artifact, RunFacts, StageRun};

use super::{Part, live};
use crate::time::now_ms;

/// The state of a run or a stage that is under way.
const RUNNING: &str = "running";
/// The configuration file that is read if the command line does not name one.
const CONFIGURATION: &str = "pipeline.yaml";

/// Returns the facts about the run itself.
pub fn run(cache: &Cache, run: &Run, parts: &[Part], progress: &RunProgress) -> RunFacts {
    let alive = run.ended_ms.is_none() && cache.is_under_way(run.id);
    let now_ms = now_ms();
    let end_ms = run.ended_ms.or(alive.then_some(now_ms));
    let took = end_ms.map(|ended| humanize::duration(ended.saturating_sub(run.started_ms).max(0) as f64 / 1e3));
    let under_way = progress.stages.iter().filter(|stage| alive && stage.state.is_at_work());
    RunFacts {
        id: run.id.to_string(),
        name: run.name.clone().unwrap_or_default(),
        note: run.note.clone().unwrap_or_default(),
        command: run.arguments.clone(),
        invocation: crate::cli::invocation(&run.arguments),
        configuration_name: configuration_name(&run.arguments, cache.store().root()),
        configuration: indented(&run.configuration),
        outcome: run.outcome.map_or(if alive { RUNNING } else { "not ended" }, Outcome::name).to_owned(),
        started: format!("{} UTC", humanize::moment(run.started_ms)),
        took: took.unwrap_or_default(),
        host: run.host.clone(),
        tool: run.tool.clone(),
        source_revision: run.source_revision.clone().unwrap_or_default(),
        stages: parts.iter().map(|part| stage(part, alive.then_some(now_ms))).collect(),
        under_way: under_way.map(|stage| live::under_way(stage, now_ms)).collect(),
    }
}

/// Returns the configuration file that the command line of the run names, else the one next to the store, else
/// `embedded default`.
fn configuration_name(arguments: &[String], store: &Path) -> String {
    let mut named = None;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--config") {
            Some("") => named = words.next().cloned(),
            Some(rest) if rest.starts_with('=') => named = Some(rest[1..].to_owned()),
            _ if word == "-c" => named = words.next().cloned(),
            _ => {}
        }
    }
    let has_file = store.parent().is_some_and(|folder| folder.join(CONFIGURATION).is_file());
    named.unwrap_or_else(|| if has_file { CONFIGURATION.to_owned() } else { "embedded default".to_owned() })
}

/// Indents JSON. Other text is not changed.
fn indented(json: &str) -> String {
    let value: Result<Value, _> = serde_json::from_str(json);
    value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| json.to_owned())
}

/// * `now_ms`: the present time, if the run is under way.
fn stage(part: &Part, now_ms: Option<i64>) -> StageRun {
    let attempt = &part.attempt;
    let running = attempt.outcome.is_none() && now_ms.is_some();
    let so_far =
        now_ms.filter(|_| running).map(|now| u64::try_from(now.saturating_sub(attempt.started_ms)).unwrap_or(0));
    let seconds = attempt.duration_ms().or(so_far).map(|ms| ms as f64 / 1e3);
    let inputs = attempt.inputs.iter().filter_map(|input| {
        let name = input.origin.clone()?;
        Some(Artifact { name, digest: input.digest.to_string(), size: String::new() })
    });
    let outputs = attempt.outputs.iter().map(|output| Artifact {
        name: output.name.clone(),
        digest: output.digest.to_string(),
        size: humanize::bytes(output.bytes),
    });
    StageRun {
        instance: attempt.instance.clone(),
        state: if running { RUNNING } else { state(part) }.to_owned(),
        seconds,
        took: seconds.map_or("unknown".to_owned(), humanize::duration),
        memory: attempt.usage.peak_memory_bytes.map(humanize::bytes).unwrap_or_default(),
        key: attempt.key.to_string(),
        attempt: attempt.id.as_str().to_owned(),
        cause: attempt.cause.clone().unwrap_or_default(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        environment: environment(attempt),
        seed: attempt.manifest.parameter_values().get("seed").map(ToString::to_string),
    }
}

/// Returns what happened to a stage in this run.
fn state(part: &Part) -> &'static str {
    match (part.made, &part.attempt.remote) {
        (false, Some(_)) => "pulled",
        (false, None) => "cached",
        (true, _) if part.is_done() => "ran",
        (true, _) => part.attempt.outcome.map_or("not ended", Outcome::name),
    }
}

/// Returns the facts about the environment, including those reported by the worker.
fn environment(attempt: &Attempt) -> Vec<(String, String)> {
    let entries = |value: &Value, prefix: &str| -> Vec<(String, String)> {
        let entries = value.as_object().into_iter().flatten();
        let known = entries.filter(|(_, value)| !value.is_object() && !value.is_null());
        known.map(|(name, value)| (format!("{prefix}{name}"), text(value))).collect()
    };
    let worker = attempt.metrics.get("worker").map(|worker| entries(worker, "worker: ")).unwrap_or_default();
    [entries(&attempt.environment, ""), worker].concat()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_configuration_is_named_as_on_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join(".tfnas");
        let name = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            configuration_name(&words, &store)
        };
        assert_eq!(name(&["run", "all", "--config", "a b.yaml"]), "a b.yaml");
        assert_eq!(name(&["-c", "x.yaml", "run", "all"]), "x.yaml");
        assert_eq!(name(&["--config=x.yaml", "run", "all"]), "x.yaml");
        assert_eq!(name(&["run", "all", "--config"]), "embedded default");
        assert_eq!(name(&["run", "all"]), "embedded default");
        std::fs::write(folder.path().join(CONFIGURATION), "").unwrap();
        assert_eq!(name(&["run", "all"]), "pipeline.yaml");
    }

    #[test]
    fn json_is_indented_and_other_text_is_not_changed() {
        assert_eq!(indented("{\"seed\":0}"), "{\n  \"seed\": 0\n}");
        assert_eq!(indented("seed: 0"), "seed: 0");
    }
}
