//! The entities of the file, each an object with an address and a type.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Agent, Crate, CrateError, FILE_NAME, File, RunOfTool};
use crate::model_signing::check_name;

const SPECIFICATION: &str = "https://w3id.org/ro/crate/1.1";
/// The status of each run.
const COMPLETED: &str = "http://schema.org/CompletedActionStatus";
const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";

/// Returns every entity: the metadata file, the folder, the profile, then files, the program and its runs.
pub(super) fn graph(described: &Crate) -> Result<Vec<Value>, CrateError> {
    check(described)?;
    let Crate { name, description, published, license, files, tool, runs } = described;
    let runs_of = |run: &RunOfTool| reference(&run_address(run));
    let mut graph = vec![
        json!({
            "@id": FILE_NAME,
            "@type": "CreativeWork",
            "about": reference("./"),
            "conformsTo": reference(SPECIFICATION),
        }),
        json!({
            "@id": "./",
            "@type": "Dataset",
            "name": name,
            "description": description,
            "datePublished": published.with_offset(),
            "license": reference(license),
            "conformsTo": reference(PROFILE),
            "hasPart": one_or_several(files.iter().map(|file| reference(&address(&file.name)))),
            "mentions": one_or_several(runs.iter().map(runs_of)),
        }),
        json!({"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}),
        json!({"@id": license, "@type": "CreativeWork", "name": license, "url": license}),
    ];
    graph.extend(files.iter().map(entity_of_file));
    graph.push(json!({
        "@id": tool.url,
        "@type": "SoftwareApplication",
        "name": tool.name,
        "description": tool.description,
        "url": tool.url,
        "softwareVersion": tool.version,
    }));
    let mut agents = BTreeSet::new();
    for run in runs {
        graph.push(entity_of_run(run, &tool.url));
        graph.extend(run.parameters.iter().map(|parameter| {
            let id = parameter_address(run, &parameter.name);
            json!({"@id": id, "@type": "PropertyValue", "name": parameter.name, "value": plain(&parameter.value)})
        }));
        if let Some(Agent { id, name }) = run.agent.as_ref().filter(|agent| agents.insert(agent.id.as_str())) {
            graph.push(json!({"@id": id, "@type": "Person", "name": name}));
        }
    }
    Ok(graph)
}

fn entity_of_file(file: &File) -> Value {
    json!({
        "@id": address(&file.name),
        "@type": "File",
        "name": file.name,
        "description": file.description,
        "contentSize": file.bytes.to_string(),
        "encodingFormat": file.media_type,
        "sha256": file.sha256,
    })
}

fn entity_of_run(run: &RunOfTool, tool: &str) -> Value {
    let files = |names: &[String]| -> Vec<Value> { names.iter().map(|name| reference(&address(name))).collect() };
    let parameters = run.parameters.iter().map(|parameter| reference(&parameter_address(run, &parameter.name)));
    let mut entity = Map::new();
    let mut set = |key: &str, value: Value| entity.insert(key.to_owned(), value);
    set("@id", run_address(run).into());
    set("@type", "CreateAction".into());
    set("name", run.name.as_str().into());
    set("description", run.description.as_str().into());
    set("instrument", reference(tool));
    set("object", one_or_several(files(&run.read).into_iter().chain(parameters)));
    set("result", one_or_several(files(&run.made).into_iter()));
    if let Some(started) = run.started {
        set("startTime", started.with_offset().into());
    }
    if let Some(ended) = run.ended {
        set("endTime", ended.with_offset().into());
    }
    if let Some(agent) = &run.agent {
        set("agent", reference(&agent.id));
    }
    set("actionStatus", COMPLETED.into());
    Value::Object(entity)
}

fn check(described: &Crate) -> Result<(), CrateError> {
    let mut names = BTreeSet::new();
    for file in &described.files {
        check_name(&file.name)?;
        if file.name == FILE_NAME || !names.insert(file.name.as_str()) {
            return Err(CrateError::Doubled { name: file.name.clone() });
        }
    }
    let mut runs = BTreeSet::new();
    for run in &described.runs {
        let mut parameters = BTreeSet::new();
        let twice = run.parameters.iter().find(|parameter| !parameters.insert(parameter.name.as_str()));
        let twice = twice.map(|parameter| &parameter.name).or((!runs.insert(run.id.as_str())).then_some(&run.id));
        if let Some(name) = twice {
            return Err(CrateError::Doubled { name: name.clone() });
        }
        if let Some(name) = run.read.iter().chain(&run.made).find(|name| !names.contains(name.as_str())) {
            return Err(CrateError::Unknown { run: run.id.clone(), name: name.clone() });
        }
    }
    Ok(())
}

/// RO-Crate wants no list of one.
fn one_or_several(values: impl Iterator<Item = Value>) -> Value {
    let mut values: Vec<Value> = values.collect();
    if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
}

fn reference(id: &str) -> Value {
    json!({ "@id": id })
}

fn run_address(run: &RunOfTool) -> String {
    format!("#run/{}", percent_encoded(&run.id))
}

fn parameter_address(run: &RunOfTool, name: &str) -> String {
    format!("{}/{}", run_address(run), percent_encoded(name))
}

/// Returns the relative address of a file.
fn address(name: &str) -> String {
    let encoded = percent_encoded(name);
    // A colon in the first segment would be read as the end of a URI scheme.
    if encoded.split('/').next().is_some_and(|first| first.contains(':')) { format!("./{encoded}") } else { encoded }
}

/// Percent-encodes the characters of a name that are not allowed in a URI path (RFC 3986).
fn percent_encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b'@' | b':' | b'+' | b',' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Converts a value to one that JSON-LD accepts as a literal. Lists and objects have another meaning there.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) | Value::Null => value.to_string().into(),
        plain => plain.clone(),
    }
}
