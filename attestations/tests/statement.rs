//! Statements about files, and SLSA provenance.
#![allow(clippy::unwrap_used)]

mod provenance;

use provenance::{file, provenance};
use serde_json::{Value, json};
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;
use tfnas_attestations::slsa::{self, Provenance};
use tfnas_attestations::statement::{PAYLOAD_TYPE, Statement};

fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("keys/p256.pem"), "key").unwrap()
}

#[test]
fn provenance_has_the_field_names_of_slsa() {
    let statement = provenance().of(vec![file("weights.safetensors")]);
    let value: Value = serde_json::from_str(&statement.to_json()).unwrap();
    let digest = |name: &str| json!({"sha256": Sha256Digest::of_bytes(name.as_bytes())});
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "weights.safetensors", "digest": digest("weights.safetensors")}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "https://example.org/training/v1",
                "externalParameters": {"epochs": 3, "rate": 0.1},
                "internalParameters": {"threads": 2},
                "resolvedDependencies": [{"name": "train.lst", "digest": digest("train.lst")}],
            },
            "runDetails": {
                "builder": {"id": "https://example.org/pipeline", "version": {"pipeline": "0.1.0"}},
                "metadata": {
                    "invocationId": "7",
                    "startedOn": "1970-01-01T00:00:00Z",
                    "finishedOn": "1970-01-01T00:00:01.500Z",
                },
                "byproducts": [{"name": "log", "digest": digest("log")}],
            },
        },
    });
    assert_eq!(value, expected);
}

#[test]
fn signed_statement_round_trips() {
    let statement = provenance().of(vec![file("a"), file("b")]);
    let envelope = Envelope::from_json(statement.sign(&key()).to_json().as_bytes()).unwrap();
    let read = Statement::verified(&envelope, &key().public()).unwrap();
    assert_eq!(read, statement);
    assert_eq!(read.predicate::<Provenance>(slsa::PREDICATE_TYPE).unwrap(), provenance());
    assert_eq!(read.subject[0].sha256().unwrap(), Sha256Digest::of_bytes(b"a"));
    let error = read.predicate::<Provenance>("https://example.org/other").unwrap_err().to_string();
    assert!(error.contains("slsa.dev") && error.contains("example.org/other"), "{error}");
}

#[test]
fn signed_payloads_that_are_no_statements_are_rejected() {
    let error = |value: Value, payload_type: &str| {
        let envelope = Envelope::sign(payload_type, value.to_string().into_bytes(), &key());
        Statement::verified(&envelope, &key().public()).unwrap_err().to_string()
    };
    let valid: Value = serde_json::from_str(&provenance().of(vec![file("a")]).to_json()).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut statement = valid.clone();
        *statement.pointer_mut(pointer).unwrap() = value;
        error(statement, PAYLOAD_TYPE)
    };
    assert!(change("/_type", json!("https://in-toto.io/Statement/v0.1")).contains("Statement/v0.1"));
    assert!(change("/subject", json!([])).contains("about nothing"));
    assert!(change("/subject/0/digest", json!({})).contains("about a, which has no digest"));
    assert!(change("/subject/0/digest", json!(7)).contains("not an in-toto statement"));
    assert!(error(json!([1]), PAYLOAD_TYPE).contains("not an in-toto statement"));
    assert!(error(valid.clone(), "application/json").contains("application/json"));
    let other = SigningKey::generate().unwrap();
    let envelope = provenance().of(vec![file("a")]).sign(&other);
    assert!(Statement::verified(&envelope, &key().public()).is_err());
}
