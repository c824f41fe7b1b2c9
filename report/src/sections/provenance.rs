//! The section on provenance: digests, keys, seeds and environment.

use std::collections::BTreeMap;

use crate::run::RunFacts;
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
    section.parts.push(Part::Code(
        "Reproduce the run in another store (latencies are measured again):".to_owned(),
        reproduce(run),
    ));
    section.parts.push(Part::Code(
        "Check one stage: run it again and compare its outputs byte by byte:".to_owned(),
        "tfnas-pipeline check train".to_owned(),
    ));
    section.parts.push(Part::Code("Publish the run so that others can audit it:".to_owned(), publish(run)));
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

fn reproduce(run: &RunFacts) -> String {
    let id = &run.id;
    format!(
        "tfnas-pipeline show {id} --json | jq -r .run.configuration > run-{id}.json\n\
         tfnas-pipeline --config run-{id}.json --store .tfnas-again run all"
    )
}

fn publish(run: &RunFacts) -> String {
    format!(
        "tfnas-pipeline keys generate --out signing.key\n\
         tfnas-pipeline publish {} --out published --sign-key signing.key\n\
         tfnas-pipeline audit published",
        run.id
    )
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
        assert!(html.contains("/data/&lt;images&gt; &amp; more") && html.contains("publish 7 --out"), "{html}");
        assert!(html.contains("search, lookup"));
    }
}
