//! Envelopes: valid ones are read, invalid ones are rejected, and unsigned content is never trusted.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tfnas_attestations::dsse::{DsseError, Envelope, pae};
use tfnas_attestations::keys::SigningKey;

const TYPE: &str = "http://example.com/HelloWorld";

/// The key of the test vectors in <https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md>.
fn key() -> SigningKey {
    SigningKey::from_pem(include_str!("keys/dsse-protocol.pem"), "key").unwrap()
}

fn other_key() -> SigningKey {
    SigningKey::from_pem(include_str!("keys/p256.pem"), "key").unwrap()
}

fn signed() -> Value {
    serde_json::from_str(&Envelope::sign(TYPE, b"hello world".to_vec(), &key()).to_json()).unwrap()
}

fn read(value: &Value) -> Result<Envelope, DsseError> {
    Envelope::from_json(value.to_string().as_bytes())
}

/// Reads an envelope and returns the payload if the key has signed it.
fn verify(value: &Value) -> Result<Vec<u8>, DsseError> {
    read(value)?.verify(TYPE, &key().public()).map(<[u8]>::to_vec)
}

#[test]
fn test_vectors_of_the_specification_are_reproduced() {
    assert_eq!(pae(TYPE, b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    // The published signature. The specification gives its two numbers without the DER encoding.
    let published = "MEQCIANyarEBrVbCdjtsaqyOSHJ14qeRk6CdxfhZ2fjvPEo7AiBR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
    let envelope = signed();
    assert_eq!(envelope["signatures"][0]["sig"], published);
    assert_eq!(envelope["payload"], "aGVsbG8gd29ybGQ=");
    assert_eq!(envelope["payloadType"], TYPE);
    assert_eq!(envelope["signatures"][0]["keyid"], key().public().fingerprint().to_string());
    assert_eq!(verify(&envelope).unwrap(), b"hello world");
}

#[test]
fn envelopes_are_written_in_canonical_form() {
    let text = Envelope::sign(TYPE, vec![0xfb, 0xff], &key()).to_json();
    let spaced = text.replace(',', " ,\n").replace("+/8=", "-_8=");
    assert_eq!(Envelope::from_json(spaced.as_bytes()).unwrap().to_json(), text);
    assert!(text.contains("\"+/8=\""));
}

#[test]
fn optional_and_unknown_fields_are_accepted() {
    let mut envelope = signed();
    envelope["unknown"] = json!({"a": 1});
    envelope["signatures"][0]["keyid"] = Value::Null;
    envelope["signatures"][0]["certificate"] = json!("not looked at");
    verify(&envelope).unwrap();
    envelope["signatures"][0].as_object_mut().unwrap().remove("keyid");
    verify(&envelope).unwrap();
    let other: Value =
        serde_json::from_str(&Envelope::sign(TYPE, b"hello world".to_vec(), &other_key()).to_json()).unwrap();
    let own = envelope["signatures"][0].clone();
    envelope["signatures"] = json!([other["signatures"][0], {"keyid": "x", "sig": ""}, own]);
    verify(&envelope).unwrap();
    assert_eq!(read(&envelope).unwrap().unverified_keyids().count(), 3);
}

#[test]
fn envelopes_without_a_valid_signature_are_rejected() {
    let change = |pointer: &str, value: Value| {
        let mut envelope = signed();
        *envelope.pointer_mut(pointer).unwrap() = value;
        verify(&envelope).unwrap_err().to_string()
    };
    let other = Envelope::sign(TYPE, b"hello world".to_vec(), &other_key()).to_json();
    let other: Value = serde_json::from_str(&other).unwrap();
    let key = key().public().fingerprint().to_string();
    for error in [
        change("/payload", json!("aGVsbG8gd29ybGR=".replace('R', "E"))),
        change("/payloadType", json!("http://example.com/HelloWorlds")),
        change("/signatures/0/sig", other["signatures"][0]["sig"].clone()),
        change("/signatures/0/sig", json!("")),
        change("/signatures/0", other["signatures"][0].clone()),
    ] {
        assert!(error.contains(&key) && error.contains("no signature by the key"), "{error}");
    }
    assert!(change("/signatures", json!([])).contains("not signed"));
    let error = read(&signed()).unwrap().verify("text/plain", &self::key().public()).unwrap_err().to_string();
    assert!(error.contains("HelloWorld") && error.contains("text/plain"), "{error}");
}

#[test]
fn malformed_envelopes_are_rejected() {
    let text = signed().to_string();
    let error = |text: &str| Envelope::from_json(text.as_bytes()).unwrap_err().to_string();
    assert!(error("").contains("not a DSSE envelope"));
    assert!(error("[]").contains("not a DSSE envelope"));
    assert!(error(&text[..text.len() - 1]).contains("not a DSSE envelope"));
    assert!(error(&text.replace("\"payloadType\"", "\"payload\"")).contains("twice"));
    assert!(error(&text.replace("\"sig\"", "\"sig\":\"\",\"sig\"")).contains("twice"));
    assert!(error(&text.replace("\"sig\"", "\"signature\"")).contains("sig"));
    for invalid in ["aGVsbG8gd29ybGQ", "aGVsbG8gd29ybGR=", "aGVsbG8gd29ybGQ=\\n", "+-8=", "aGVs bG8gd29ybGQ=", "é"] {
        assert!(error(&text.replace("aGVsbG8gd29ybGQ=", invalid)).contains("`payload` is not base64"), "{invalid}");
    }
    let mut envelope = signed();
    envelope["signatures"] = json!(vec![envelope["signatures"][0].clone(); 33]);
    assert!(matches!(read(&envelope), Err(DsseError::TooMany { found: 33 })));
}
