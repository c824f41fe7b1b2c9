//! Bundles with signed lists of files. Tests with other programs are in `other_verifiers.rs`.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;
use tfnas_attestations::model_signing::{Bundle, BundleError, Manifest, SignedFile};
use tfnas_attestations::statement::PAYLOAD_TYPE;

fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("keys/p256.pem"), "key").unwrap()
}

fn file(name: &str, content: &str) -> SignedFile {
    SignedFile { name: name.to_owned(), sha256: Sha256Digest::of_bytes(content.as_bytes()) }
}

fn files() -> Vec<SignedFile> {
    vec![file("sub/b", "b"), file("a", "a"), file("sub-b", "c"), file("ä ü", "d")]
}

fn manifest() -> Manifest {
    Manifest::new("model", files(), vec!["model.sig".to_owned(), ".git".to_owned()]).unwrap()
}

/// Verifies the bundle of the manifest with a changed statement that is signed by the key.
fn with_statement(change: impl Fn(&mut Value)) -> BundleError {
    let bundle = Bundle::sign(&manifest(), &key());
    let mut statement: Value = serde_json::from_slice(bundle.envelope().unverified_payload()).unwrap();
    change(&mut statement);
    let envelope = Envelope::sign(PAYLOAD_TYPE, statement.to_string().into_bytes(), &key());
    let mut written: Value = serde_json::from_str(&bundle.to_json()).unwrap();
    written["dsseEnvelope"] = serde_json::from_str(&envelope.to_json()).unwrap();
    Bundle::from_json(written.to_string().as_bytes()).unwrap().verify(&key().public()).unwrap_err()
}

/// Verifies the bundle of the manifest with another value at a JSON pointer.
fn with(pointer: &str, value: Value) -> Result<Manifest, BundleError> {
    let mut written: Value = serde_json::from_str(&Bundle::sign(&manifest(), &key()).to_json()).unwrap();
    *written.pointer_mut(pointer).unwrap() = value;
    Bundle::from_json(written.to_string().as_bytes())?.verify(&key().public())
}

#[test]
fn bundle_round_trips_with_sorted_files() {
    let bundle = Bundle::sign(&manifest(), &key());
    let read = Bundle::from_json(bundle.to_json().as_bytes()).unwrap();
    assert_eq!(read, bundle);
    let verified = read.verify(&key().public()).unwrap();
    assert_eq!(verified, manifest());
    let names: Vec<&str> = verified.files().iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a", "sub/b", "sub-b", "ä ü"]);
    assert_eq!((verified.model(), verified.follows_symlinks()), ("model", false));
    assert_eq!(verified.ignored(), [".git", "model.sig"]);
    let mut reversed = files();
    reversed.reverse();
    let again = Manifest::new("model", reversed, vec![".git".to_owned(), "model.sig".to_owned()]).unwrap();
    assert_eq!(Bundle::sign(&again, &key()).to_json(), bundle.to_json());
}

#[test]
fn every_difference_from_the_signed_files_is_reported() {
    let differences = |found: &[SignedFile]| -> Vec<String> {
        manifest().compare(found).differences.iter().map(ToString::to_string).collect()
    };
    assert_eq!(differences(&files()), [""; 0]);
    let mut found = files();
    found[1] = file("a", "other");
    found.remove(2);
    found.push(file("new", "x"));
    found.push(file("a", "a"));
    found.push(file("../a", "a"));
    found.push(file("/etc/passwd", "a"));
    found.push(file("c:\\a", "a"));
    let reported = differences(&found);
    for (name, words) in [
        ("a", "was changed"),
        ("a", "given twice"),
        ("sub-b", "is missing"),
        ("new", "was not signed"),
        ("../a", "out of a folder"),
        ("/etc/passwd", "absolute"),
        ("c:\\a", "backslash"),
    ] {
        let name = format!("{name:?}");
        assert!(
            reported.iter().any(|line| line.starts_with(&name) && line.contains(words)),
            "{name} {words}: {reported:#?}"
        );
    }
    assert_eq!(reported.len(), 7, "{reported:#?}");
    let ignored = [files(), vec![file("model.sig", "x"), file(".git/config", "y"), file(".github", "z")]].concat();
    let comparison = manifest().compare(&ignored);
    assert_eq!(comparison.ignored, [".git/config", "model.sig"]);
    assert_eq!(comparison.differences.len(), 1);
}

#[test]
fn list_with_duplicate_or_unsafe_names_is_not_signed() {
    let error = |names: &[&str], ignored: &[&str]| {
        let files = names.iter().map(|name| file(name, name)).collect();
        let ignored = ignored.iter().map(ToString::to_string).collect();
        Manifest::new("model", files, ignored).unwrap_err().to_string()
    };
    assert!(error(&["a", "b", "a"], &[]).contains("\"a\" twice"));
    for invalid in ["../a", "/a", "a\\b", "a//b", "", "a/./b", "a/"] {
        assert!(error(&["a", invalid], &[]).contains(&format!("{invalid:?}")), "{invalid}");
    }
    assert!(error(&["a/b"], &["a"]).contains("excludes"));
}

#[test]
fn inconsistent_signed_list_is_rejected() {
    let error = |change: &dyn Fn(&mut Value)| with_statement(change).to_string();
    assert!(error(&|s| s["predicate"]["resources"][0]["name"] = json!("../a")).contains("\"../a\""));
    assert!(error(&|s| s["predicate"]["resources"][0]["name"] = json!("sub-b")).contains("\"sub-b\" twice"));
    assert!(error(&|s| s["predicate"]["resources"][0]["digest"] = json!("00")).contains("digest"));
    assert!(error(&|s| s["predicate"]["resources"][0]["algorithm"] = json!("md5")).contains("md5"));
    assert!(error(&|s| drop(s["predicate"]["resources"].as_array_mut().unwrap().pop())).contains("contradicts itself"));
    assert!(error(&|s| s["subject"][0]["digest"]["sha256"] = json!("00")).contains("contradicts itself"));
    assert!(error(&|s| s["subject"] = json!([s["subject"][0], s["subject"][0]])).contains("2 models"));
    assert!(error(&|s| s["predicate"]["serialization"]["method"] = json!("shards")).contains("shards"));
    assert!(error(&|s| s["predicate"]["serialization"]["hash_type"] = json!("blake3")).contains("blake3"));
    assert!(error(&|s| s["predicate"]["serialization"]["ignore_paths"] = json!(["sub"])).contains("excludes"));
    assert!(error(&|s| s["predicateType"] = json!("https://model_signing/Digests/v0.1")).contains("Digests/v0.1"));
    assert!(error(&|s| drop(s["predicate"].as_object_mut().unwrap().remove("resources"))).contains("resources"));
}

#[test]
fn malformed_bundles_and_other_keys_are_rejected() {
    let error = |pointer: &str, value: Value| with(pointer, value).unwrap_err().to_string();
    assert!(error("/mediaType", json!("application/json")).contains("application/json"));
    assert!(error("/verificationMaterial/publicKey/hint", json!("0")).contains("not with the given key"));
    assert!(error("/verificationMaterial", json!({"certificate": {"rawBytes": ""}})).contains("a certificate"));
    assert!(error("/verificationMaterial", json!({"x509CertificateChain": {}})).contains("a certificate"));
    assert!(error("/verificationMaterial", json!({})).contains("does not name"));
    assert!(error("/dsseEnvelope", Value::Null).contains("no envelope"));
    assert!(error("/dsseEnvelope/signatures", json!([])).contains("0 signatures"));
    assert!(error("/dsseEnvelope/payload", json!("e30=")).contains("no signature by the key"));
    assert!(error("/dsseEnvelope", json!(1)).contains("not a DSSE envelope"));
    // Versions of model_signing before 1.0 embed the key, which must not be trusted.
    with("/verificationMaterial/publicKey", json!({"rawBytes": "AAAA", "keyDetails": "x"})).unwrap();
    let bundle = Bundle::sign(&manifest(), &SigningKey::generate().unwrap());
    assert!(matches!(bundle.verify(&key().public()), Err(BundleError::OtherKey { .. })));
    let text = bundle.to_json().replace("\"tlogEntries\"", "\"publicKey\"");
    assert!(Bundle::from_json(text.as_bytes()).unwrap_err().to_string().contains("twice"));
}
