//! Provenance of a small training run.
#![allow(clippy::unwrap_used, dead_code)]

use serde_json::{Map, Value, json};
use tfnas_attestations::slsa::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
use tfnas_attestations::statement::{ResourceDescriptor, Statement};
use tfnas_attestations::{Sha256Digest, Timestamp};

pub fn file(name: &str) -> ResourceDescriptor {
    ResourceDescriptor::file(name, &Sha256Digest::of_bytes(name.as_bytes()))
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub fn provenance() -> Provenance {
    Provenance {
        build_definition: BuildDefinition {
            build_type: "https://example.org/training/v1".to_owned(),
            external_parameters: map(json!({"epochs": 3, "rate": 0.1})),
            internal_parameters: map(json!({"threads": 2})),
            resolved_dependencies: vec![file("train.lst")],
        },
        run_details: RunDetails {
            builder: Builder {
                id: "https://example.org/pipeline".to_owned(),
                version: [("pipeline".to_owned(), "0.1.0".to_owned())].into(),
                builder_dependencies: Vec::new(),
            },
            metadata: Some(BuildMetadata::new("7", Timestamp::from_ms(0), Timestamp::from_ms(1500))),
            byproducts: vec![file("log")],
        },
    }
}

/// Returns the statement of the training run about its weights.
pub fn statement() -> Statement {
    provenance().of(vec![file("weights.safetensors")])
}
