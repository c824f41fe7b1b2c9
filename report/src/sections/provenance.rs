//! The section on provenance: digests, keys, seeds and environment.

use std::collections::BTreeMap;

use tfnas_stages::Stage;

use crate::run::{Invocation, RunFacts};
use crate::section::{Part, Section};
use crate::table::{Cell, Table};

/// Returns the section on provenance and how to verify it.
pub fn provenance(run: &RunFacts) -> Section {
    let mut section = Section::new("provenance", "Provenance");
    let revision = if run.source_revision.is_empty() { "not known" } else { &run.source_revision };
    section.parts.push(Part::Text(format!(
        "Made by {} from source revision {revision}. Each result is identified by a cache key over its parameters, inputs and \
         environment, each file by its BLAKE3 digest.",
        if run.tool.is_empty() { "an unknown program" } else { &run.tool }
    )));
    if let Some(invocation) = &run.invocation {
        section.parts.extend(commands(run, invocation));
    }
    let tables = [
        ("artifacts", "Artifacts", artifacts(run)),
        ("inputs", "Inputs", inputs(run)),
        ("keys", "Cache keys and seeds", keys(run)),
        ("environment", "Environment", environment(run)),
    ];
    for (name, title, table) in tables {
        if !table.is_empty() {
            section.parts.push(Part::Folded(name.to_owned(), title.to_owned(), table));
        }
    }
    if !run.configuration.is_empty() {
        section.parts.push(Part::FoldedCode("Effective configuration".to_owned(), run.configuration.clone()));
    }
    section
}

/// Returns commands that repeat and check the run. They are for the folder in which it was started.
fn commands(run: &RunFacts, invocation: &Invocation) -> Vec<Part> {
    const STORE: &str = ".tfnas-again";
    let id = &run.id;
    let config = invocation.config.as_deref();
    let of_run = [option("--config", config), option("--store", invocation.store.as_deref())].concat();
    // Paths in a configuration are relative to its folder, and the default store is there too.
    let name = format!("run-{id}.json");
    let again =
        config.and_then(|config| config.rsplit_once('/')).map_or(name.clone(), |(at, _)| format!("{at}/{name}"));
    let stages: String = invocation.stages.iter().map(|stage| format!(" {}", quoted(stage))).collect();
    let mut parts = vec![Part::Code(
        "Reproduce the run in another store (latencies are measured again), from the folder in which it was started:"
            .to_owned(),
        format!(
            "tfnas-pipeline{of_run} show {id} --json | jq -r .run.configuration > {}\n\
             tfnas-pipeline{}{} run{stages}",
            quoted(&again),
            option("--config", Some(&again)),
            option("--store", Some(STORE)),
        ),
    )];
    let with_file = [option("--config", Some(&again)), option("--store", invocation.store.as_deref())].concat();
    if let Some(train) = instances(run, Stage::Train).next() {
        parts.push(Part::Code(
            "Check one stage: run it again and compare its outputs byte by byte:".to_owned(),
            format!("tfnas-pipeline{with_file} check {}", quoted(train)),
        ));
    }
    let tests: Vec<&str> = instances(run, Stage::Test).collect();
    if let Some(test) = tests.first() {
        let what = if tests.len() > 1 { format!("{id}/{test}") } else { id.clone() };
        parts.push(Part::Code(
            "Publish the run so that others can audit it:".to_owned(),
            format!(
                "tfnas-pipeline keys generate --out signing.key\n\
                 tfnas-pipeline{with_file} publish {} --out published --sign-key signing.key\n\
                 tfnas-pipeline audit published",
                quoted(&what)
            ),
        ));
    }
    parts
}

/// Returns the instances of a stage that have results.
fn instances(run: &RunFacts, stage: Stage) -> impl Iterator<Item = &str> {
    let done = run.stages.iter().filter(|stage| stage.is_done()).map(|stage| stage.instance.as_str());
    done.filter(move |instance| instance.split('@').next() == Some(stage.name()))
}

fn option(name: &str, value: Option<&str>) -> String {
    value.map(|value| format!(" {name} {}", quoted(value))).unwrap_or_default()
}

/// Returns an argument for a shell.
fn quoted(argument: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@%+=:,".contains(&byte);
    if !argument.is_empty() && argument.bytes().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

fn artifacts(run: &RunFacts) -> Table {
    let mut table = Table::new("Artifacts", &["output", "stage", "BLAKE3 digest", "size"]);
    for stage in &run.stages {
        for output in &stage.outputs {
            table.row([&output.name, &stage.instance, &output.digest, &output.size].map(String::as_str));
        }
    }
    table
}

fn inputs(run: &RunFacts) -> Table {
    let mut seen: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for stage in &run.stages {
        for input in &stage.inputs {
            seen.entry((&input.name, &input.digest)).or_default().push(&stage.instance);
        }
    }
    let mut table = Table::new("External inputs", &["input", "BLAKE3 digest", "read by"]);
    for ((name, digest), stages) in seen {
        table.row([name.to_owned(), digest.to_owned(), stages.join(", ")]);
    }
    table
}

fn keys(run: &RunFacts) -> Table {
    let mut table = Table::new("Cache keys and seeds", &["stage", "cache key", "attempt", ">seed"]);
    for stage in &run.stages {
        let seed = stage.seed.as_deref().map_or(Cell::Missing, Cell::from);
        let texts = [&stage.instance, &stage.key, &stage.attempt].map(|text| Cell::from(text.as_str()));
        table.row(texts.into_iter().chain([seed]));
    }
    table
}

/// The environment; facts that are equal in several stages share a row.
fn environment(run: &RunFacts) -> Table {
    let mut seen: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for stage in &run.stages {
        for (name, value) in &stage.environment {
            seen.entry((name, value)).or_default().push(&stage.instance);
        }
    }
    let mut table = Table::new("Environment", &["fact", "value", "stages"]);
    for ((name, value), stages) in seen {
        let stages = if stages.len() == run.stages.len() { "all".to_owned() } else { stages.join(", ") };
        table.row([name.to_owned(), value.to_owned(), stages]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Artifact, StageRun};

    #[test]
    fn equal_facts_share_a_row_and_paths_are_escaped() {
        let stage = |instance: &str, threads: &str| StageRun {
            instance: instance.to_owned(),
            environment: vec![("kernel".to_owned(), "6".to_owned()), ("threads".to_owned(), threads.to_owned())],
            inputs: vec![Artifact {
                name: "/data/<images> & more".to_owned(),
                digest: "ab".to_owned(),
                size: String::new(),
            }],
            ..StageRun::default()
        };
        let run = RunFacts {
            id: "7".to_owned(),
            stages: vec![stage("search", "2"), stage("lookup", "1")],
            ..RunFacts::default()
        };
        let csv = environment(&run).csv();
        assert_eq!(csv, "fact,value,stages\r\nkernel,6,all\r\nthreads,1,lookup\r\nthreads,2,search\r\n");
        let html = provenance(&run).html().into_string();
        assert!(html.contains("/data/&lt;images&gt; &amp; more") && !html.contains("publish"), "{html}");
        assert!(html.contains("search, lookup"));
    }

    /// Returns the commands of a run of these stages, of which those in `done` have results.
    fn lines(stages: &[&str], config: Option<&str>, store: Option<&str>, done: &[&str]) -> Vec<String> {
        let text = |text: &str| text.to_owned();
        let invocation = Invocation {
            stages: stages.iter().map(|stage| text(stage)).collect(),
            config: config.map(text),
            store: store.map(text),
        };
        let stage =
            |instance: &&str| StageRun { instance: text(instance), state: text("cached"), ..StageRun::default() };
        let run = RunFacts { id: text("7"), stages: done.iter().map(stage).collect(), ..RunFacts::default() };
        let commands = commands(&run, &invocation).into_iter().map(|part| match part {
            Part::Code(_, code) => code,
            _ => String::new(),
        });
        commands.flat_map(|code| code.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn commands_repeat_the_stages_the_store_and_the_configuration() {
        let found = lines(&["parse"], None, None, &["split", "parse"]);
        assert_eq!(
            found,
            [
                "tfnas-pipeline show 7 --json | jq -r .run.configuration > run-7.json",
                "tfnas-pipeline --config run-7.json --store .tfnas-again run parse",
            ]
        );
        let found = lines(&["all"], Some("a b/c.yaml"), Some("/s"), &["train@12", "train@15", "test@12", "test@15"]);
        assert_eq!(
            found,
            [
                "tfnas-pipeline --config 'a b/c.yaml' --store /s show 7 --json | jq -r .run.configuration > 'a b/run-7.json'",
                "tfnas-pipeline --config 'a b/run-7.json' --store .tfnas-again run all",
                "tfnas-pipeline --config 'a b/run-7.json' --store /s check train@12",
                "tfnas-pipeline keys generate --out signing.key",
                "tfnas-pipeline --config 'a b/run-7.json' --store /s publish 7/test@12 --out published --sign-key signing.key",
                "tfnas-pipeline audit published",
            ]
        );
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
