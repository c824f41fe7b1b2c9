//! Describes the publication as an RO-Crate: each stage is an action of the program, with the files that it has read
//! and made.

use std::collections::BTreeMap;

use serde_json::Value;
use tfnas_attestations::Timestamp;
use tfnas_attestations::ro_crate::{Crate, CrateError, File, Parameter, RunOfTool, Tool};
use tfnas_stages::Stage;

use crate::front_matter::LICENCES;
use crate::{FileEntry, Origin, StageRecord, names};

/// Identifies the program, without its version.
const TOOL: &str = "urn:tfnas-pipeline";
/// The license if none was given.
const NO_LICENCE: &str = "urn:tfnas-pipeline:no-licence-given";

/// Generates `ro-crate-metadata.json`.
///
/// * `files`: all files except those that are derived from this one.
/// * `weights`: the output of the training that was tested.
///
/// # Errors
/// Returns [`CrateError`] if a name cannot be that of a file.
pub fn research_object(
    name: &str,
    license: Option<&str>,
    files: &[FileEntry],
    records: &BTreeMap<Stage, StageRecord>,
    weights: &str,
) -> Result<String, CrateError> {
    let ended = records.values().map(|record| record.ended_ms).max().unwrap_or(0);
    let version = records.get(&Stage::Test).map_or("", |record| record.tool.as_str());
    let described = Crate {
        name: name.to_owned(),
        description: "A network found under a latency target, its weights, and all of its inputs except the \
                      images"
            .to_owned(),
        published: Timestamp::from_ms(ended).unwrap_or_else(epoch),
        license: license.map_or_else(|| NO_LICENCE.to_owned(), |license| format!("{LICENCES}{license}")),
        files: files.iter().map(file).collect(),
        tool: Tool {
            name: "tfnas-pipeline".to_owned(),
            version: version.rsplit(' ').next().unwrap_or_default().to_owned(),
            url: TOOL.to_owned(),
            description: "From a folder of images and a latency budget to a trained network (TF-NAS)".to_owned(),
        },
        runs: records.values().map(|record| run(record, files, weights)).collect(),
    };
    described.to_json()
}

fn epoch() -> Timestamp {
    Timestamp::from_ms(0).expect("1970 is a year that can be written")
}

fn file(file: &FileEntry) -> File {
    let (description, media_type) = described(&file.name);
    File {
        name: file.name.clone(),
        description: description.to_owned(),
        bytes: file.bytes,
        sha256: file.sha256,
        media_type: media_type.to_owned(),
    }
}

/// Returns the description and the media type of a file.
fn described(name: &str) -> (&'static str, &'static str) {
    match name {
        names::CARD => ("the model card", "text/markdown"),
        names::WEIGHTS => ("the weights that were tested", "application/octet-stream"),
        names::CONFIG => ("the network, in the original's format", "text/plain"),
        names::ARCHITECTURE => ("its blocks and what they cost", "application/json"),
        names::TABLE => ("latency by block and width, in milliseconds", "text/plain"),
        names::CONFIGURATION => ("the configuration of the run", "application/json"),
        names::DATA => ("digests of the data, and overlaps of its lists", "application/json"),
        names::TEST => ("accuracy on the test images", "application/json"),
        names::PREDICTIONS => ("the prediction for each test image", "text/csv"),
        names::HISTORY => ("the search, epoch by epoch", "application/json"),
        _ if name.starts_with("provenance/") => ("key manifest and record of a stage", "application/json"),
        _ if name.ends_with(".json") => ("a report of a stage", "application/json"),
        _ if name.ends_with(".manifest") => ("the digest of every image", "text/plain"),
        _ => ("a list of images or classes", "text/plain"),
    }
}

fn run(record: &StageRecord, files: &[FileEntry], weights: &str) -> RunOfTool {
    let is_there = |name: &String| files.iter().any(|file| file.name == *name);
    let read = record.inputs.iter().filter_map(|input| match &input.from {
        Origin::Stage { stage, output } => stage.spec().published_file(output, weights),
        Origin::Data { .. } => None,
    });
    let outside = record.inputs.iter().filter_map(|input| match &input.from {
        Origin::Data { key } => {
            Some(Parameter { name: key.clone(), value: Value::from(format!("blake3:{}", input.digest)) })
        }
        Origin::Stage { .. } => None,
    });
    let made = record.outputs.iter().filter_map(|output| record.stage.spec().published_file(&output.name, weights));
    RunOfTool {
        id: record.stage.name().to_owned(),
        name: record.instance.clone(),
        description: record.stage.about().to_owned(),
        started: Timestamp::from_ms(record.started_ms),
        ended: Timestamp::from_ms(record.ended_ms),
        agent: None,
        read: read.filter(is_there).collect(),
        made: made.filter(is_there).collect(),
        parameters: outside
            .chain([Parameter { name: "action_key".to_owned(), value: Value::from(record.key.to_string()) }])
            .collect(),
    }
}
