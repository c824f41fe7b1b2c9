//! RO-Crate metadata of a folder.
#![allow(clippy::unwrap_used)]

mod crates;

use crates::small;
use serde_json::{Value, json};
use tfnas_attestations::ro_crate::{Agent, Crate};

fn graph(described: &Crate) -> Vec<Value> {
    let value: Value = serde_json::from_str(&described.to_json().unwrap()).unwrap();
    value["@graph"].as_array().unwrap().clone()
}

fn entity(graph: &[Value], id: &str) -> Value {
    graph.iter().find(|entity| entity["@id"] == id).unwrap_or_else(|| panic!("there is no entity {id}")).clone()
}

/// Returns every identifier that an entity references.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(map) if map.len() == 1 => map.get("@id").and_then(Value::as_str).into_iter().collect(),
        Value::Object(map) => map.values().flat_map(references).collect(),
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn runs_are_described_with_inputs_and_outputs() {
    let graph = graph(&small());
    assert_eq!(entity(&graph, "ro-crate-metadata.json")["about"], json!({"@id": "./"}));
    let root = entity(&graph, "./");
    assert_eq!(root["conformsTo"], json!({"@id": "https://w3id.org/ro/wfrun/process/0.5"}));
    assert_eq!(root["mentions"], json!([{"@id": "#run/split"}, {"@id": "#run/train"}]));
    let train = entity(&graph, "#run/train");
    assert_eq!(
        train["object"],
        json!([{"@id": "lists/train.lst"}, {"@id": "#run/train/epochs"}, {"@id": "#run/train/layers"}])
    );
    assert_eq!(train["result"], json!({"@id": "a%20b%23%C3%A4.safetensors"}));
    assert_eq!(train["startTime"], "1970-01-01T00:00:01+00:00");
    assert_eq!(entity(&graph, train["instrument"]["@id"].as_str().unwrap())["@type"], "SoftwareApplication");
    assert_eq!(entity(&graph, "./a:b.txt")["name"], "a:b.txt");
    assert_eq!(entity(&graph, "#run/train/layers")["value"], "[1,2]");
}

#[test]
fn every_identifier_is_described_once() {
    let mut described = small();
    for run in &mut described.runs {
        run.agent =
            Some(Agent { id: "https://orcid.org/0000-0002-1825-0097".to_owned(), name: "J. Carberry".to_owned() });
    }
    let graph = graph(&described);
    let ids: Vec<&str> = graph.iter().map(|entity| entity["@id"].as_str().unwrap()).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len());
    let specification = "https://w3id.org/ro/crate/1.1";
    for address in graph.iter().flat_map(references).filter(|address| *address != specification) {
        assert!(ids.contains(&address), "{address}");
    }
    assert_eq!(small().to_json().unwrap(), small().to_json().unwrap());
}

#[test]
fn inconsistent_crates_are_rejected() {
    let error = |change: &dyn Fn(&mut Crate)| {
        let mut described = small();
        change(&mut described);
        described.to_json().unwrap_err().to_string()
    };
    assert!(error(&|described| described.files[0].name = described.files[1].name.clone()).contains("twice"));
    assert!(error(&|described| described.files[0].name = "ro-crate-metadata.json".to_owned()).contains("twice"));
    assert!(error(&|described| described.files[0].name = "../x".to_owned()).contains("\"../x\""));
    assert!(error(&|described| described.runs[0].id = "train".to_owned()).contains("twice"));
    assert!(error(&|described| described.runs[1].made.push("nowhere".to_owned())).contains("\"nowhere\""));
    let twice = |described: &mut Crate| {
        let parameters = &mut described.runs[1].parameters;
        parameters.push(parameters[0].clone());
    };
    assert!(error(&twice).contains("\"epochs\""));
}
