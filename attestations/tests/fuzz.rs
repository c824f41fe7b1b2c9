//! Readers with damaged input return a value or an error, in bounded time and memory, and never panic. Damaged content
//! is never verified.
//!
//! Each reader gets 10,000 inputs, or the number in `TFNAS_FUZZ_INPUTS`. An input depends only on its index.
#![allow(clippy::unwrap_used)]

mod provenance;

use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::{PublicKey, SigningKey};
use tfnas_attestations::model_signing::{Bundle, Manifest, SignedFile};
use tfnas_attestations::statement::{PAYLOAD_TYPE, Statement};
use tfnas_testutils::damage::{check_memory, damaged, inputs};

const PRIVATE: &str = include_str!("keys/p256.pem");

fn key() -> SigningKey {
    SigningKey::from_pem(PRIVATE, "key").unwrap()
}

fn manifest() -> Manifest {
    let file = |name: &str| SignedFile { name: name.to_owned(), sha256: Sha256Digest::of_bytes(name.as_bytes()) };
    Manifest::new("model", ["a", "b/c", "b/d"].map(file).into(), vec![".git".to_owned()]).unwrap()
}

#[test]
fn damaged_keys_do_not_panic() {
    let public = key().public();
    for index in 0..inputs() {
        let text = damaged(PRIVATE.as_bytes(), index);
        if let Ok(read) = SigningKey::from_pem(&String::from_utf8_lossy(&text), "key") {
            // Almost every value of the secret number is a valid key.
            PublicKey::from_pem(&read.public().to_pem(), "key").unwrap();
        }
        let text = damaged(public.to_pem().as_bytes(), index);
        if let Ok(read) = PublicKey::from_pem(&String::from_utf8_lossy(&text), "key") {
            assert_eq!(PublicKey::from_pem(&read.to_pem(), "key").unwrap(), read);
        }
    }
    check_memory();
}

#[test]
fn damaged_envelopes_never_verify_another_payload() {
    let (key, envelope) = (key().public(), provenance::statement().sign(&key()));
    let text = envelope.to_json();
    for index in 0..inputs() {
        if let Ok(read) = Envelope::from_json(&damaged(text.as_bytes(), index)) {
            assert_eq!(Envelope::from_json(read.to_json().as_bytes()).unwrap(), read);
            if let Ok(payload) = read.verify(PAYLOAD_TYPE, &key) {
                assert_eq!(payload, envelope.unverified_payload());
            }
        }
    }
    check_memory();
}

#[test]
fn damaged_statements_do_not_panic() {
    let text = provenance::statement().to_json();
    for index in 0..inputs() {
        if let Ok(read) = Statement::from_json(&damaged(text.as_bytes(), index)) {
            assert_eq!(Statement::from_json(read.to_json().as_bytes()).unwrap(), read);
        }
    }
    check_memory();
}

#[test]
fn damaged_bundles_never_verify_another_list() {
    let (key, bundle) = (key().public(), Bundle::sign(&manifest(), &key()));
    let text = bundle.to_json();
    for index in 0..inputs() {
        if let Ok(read) = Bundle::from_json(&damaged(text.as_bytes(), index)) {
            assert_eq!(Bundle::from_json(read.to_json().as_bytes()).unwrap(), read);
            if let Ok(verified) = read.verify(&key) {
                assert_eq!(verified, manifest());
            }
        }
    }
    check_memory();
}

#[test]
fn damaged_but_signed_lists_do_not_panic() {
    let (key, bundle) = (key(), Bundle::sign(&manifest(), &key()));
    let written = bundle.to_json();
    let envelope = bundle.envelope().to_json();
    let files = manifest().files().to_vec();
    for index in 0..inputs() / 10 {
        let payload = damaged(bundle.envelope().unverified_payload(), index);
        let signed = Envelope::sign(PAYLOAD_TYPE, payload, &key).to_json();
        let read = Bundle::from_json(written.replace(&envelope, &signed).as_bytes()).unwrap();
        if let Ok(verified) = read.verify(&key.public()) {
            verified.compare(&files);
            let again = Bundle::sign(&verified, &key);
            assert_eq!(again.verify(&key.public()).unwrap(), verified);
        }
    }
    check_memory();
}

#[test]
fn long_repetitive_input_is_rejected_quickly() {
    for piece in ["{", "[", "\"", "{\"a\":", "[{\"payload\":\"", "A", "-----BEGIN ", "-", "\n", " ", "1", "é"] {
        let text = piece.repeat((1 << 20) / piece.len());
        assert!(Envelope::from_json(text.as_bytes()).is_err());
        assert!(Bundle::from_json(text.as_bytes()).is_err());
        assert!(Statement::from_json(text.as_bytes()).is_err());
        assert!(PublicKey::from_pem(&text, "key").is_err() && SigningKey::from_pem(&text, "key").is_err());
    }
    check_memory();
}
