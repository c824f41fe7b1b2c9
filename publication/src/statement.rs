//! Generates the in-toto Statement of a publication: its files are the subjects, their origin is the SLSA provenance.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tfnas_artifacts::Digest;
use tfnas_attestations::Timestamp;
use tfnas_attestations::slsa::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
use tfnas_attestations::statement::{ResourceDescriptor, Statement};
use tfnas_stages::{Config, Stage};

use crate::{Data, FileEntry, StageRecord};

/// The build type. Its external parameters are the configuration, its internal parameters the cache keys.
const BUILD_TYPE: &str = "urn:tfnas-pipeline:build:v1";
/// Identifies the builder.
const BUILDER: &str = "urn:tfnas-pipeline:builder:v1";

/// Generates the Statement about `files`.
pub fn statement(
    files: &[FileEntry],
    records: &BTreeMap<Stage, StageRecord>,
    config: &Config,
    data: &Data,
) -> Statement {
    let subjects = files.iter().map(|file| {
        let mut subject = ResourceDescriptor::file(&file.name, &file.sha256);
        subject.digest.insert("blake3".to_owned(), file.blake3.to_string());
        subject
    });
    let keys = records.iter().map(|(stage, record)| (stage.name().to_owned(), json!(record.key)));
    let provenance = Provenance {
        build_definition: BuildDefinition {
            build_type: BUILD_TYPE.to_owned(),
            external_parameters: Map::from_iter([("configuration".to_owned(), json!(config))]),
            internal_parameters: Map::from_iter([("keys".to_owned(), keys.collect())]),
            resolved_dependencies: dependencies(records, data),
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.to_owned(),
                version: versions(records),
                builder_dependencies: builder_dependencies(records),
            },
            metadata: Some(metadata(records)),
            byproducts: byproducts(files, records),
        },
    };
    provenance.of(subjects.collect())
}

fn named(name: &str, algorithm: &str, digest: impl ToString) -> ResourceDescriptor {
    ResourceDescriptor {
        name: Some(name.to_owned()),
        digest: BTreeMap::from([(algorithm.to_owned(), digest.to_string())]),
        ..ResourceDescriptor::default()
    }
}

/// Returns the inputs of the run.
fn dependencies(records: &BTreeMap<Stage, StageRecord>, data: &Data) -> Vec<ResourceDescriptor> {
    let images = [named("data.train", "blake3", data.train.blake3), named("data.test", "blake3", data.test.blake3)];
    let source = records.get(&Stage::Train).and_then(|record| record.source_revision.as_deref()).map(|revision| {
        let commit = revision.trim_end_matches("-dirty");
        let clean = BTreeMap::from([("clean".to_owned(), Value::from(commit == revision))]);
        ResourceDescriptor { annotations: clean, ..named("source", "gitCommit", commit) }
    });
    images.into_iter().chain(source).collect()
}

/// Returns the programs and libraries that made the results.
fn builder_dependencies(records: &BTreeMap<Stage, StageRecord>) -> Vec<ResourceDescriptor> {
    let Some(record) = records.get(&Stage::Train) else { return Vec::new() };
    let facts = [
        ("Cargo.lock", record.environment.get("cargo_lock_blake3")),
        ("tfnas-pipeline", record.environment.get("planner_blake3")),
        ("tfnas-stage", record.environment.get("worker_blake3")),
        ("libtorch_cpu.so", record.metrics.pointer("/worker/libtorch_cpu_blake3")),
    ];
    facts.into_iter().filter_map(|(name, digest)| Some(named(name, "blake3", digest?.as_str()?))).collect()
}

fn versions(records: &BTreeMap<Stage, StageRecord>) -> BTreeMap<String, String> {
    let Some(record) = records.get(&Stage::Train) else { return BTreeMap::new() };
    let facts = ["tool", "rustc", "libtorch"].into_iter();
    facts.filter_map(|name| Some((name.to_owned(), record.fact(name)?.to_owned()))).collect()
}

fn metadata(records: &BTreeMap<Stage, StageRecord>) -> BuildMetadata {
    let started = records.values().map(|record| record.started_ms).min().and_then(Timestamp::from_ms);
    let ended = records.values().map(|record| record.ended_ms).max().and_then(Timestamp::from_ms);
    let attempt = records.get(&Stage::Test).map(|record| record.attempt.to_string());
    BuildMetadata::new(attempt.unwrap_or_default(), started, ended)
}

/// Returns the outputs of stages that are not published.
fn byproducts(files: &[FileEntry], records: &BTreeMap<Stage, StageRecord>) -> Vec<ResourceDescriptor> {
    let is_file = |digest: &Digest| files.iter().any(|file| file.blake3 == *digest);
    let outputs = records.values().flat_map(|record| record.outputs.iter().map(|output| (record.stage, output)));
    outputs
        .filter(|(_, output)| !is_file(&output.digest))
        .map(|(stage, output)| named(&format!("{}/{}", stage.name(), output.name), "blake3", output.digest))
        .collect()
}
