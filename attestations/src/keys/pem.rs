//! What a PEM text says to be, so that a wrong file is told by name.

use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::der::{Decode, Document, SecretDocument};
use p256::pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef};

use super::KeyError;

pub(super) const PRIVATE: &str = "private key (PKCS#8)";
pub(super) const PUBLIC: &str = "public key";

/// Algorithms whose keys are met in files of this kind.
const KNOWN: &[(&str, &str)] = &[
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.132.0.10", "the curve secp256k1"),
    ("1.3.132.0.34", "the curve P-384"),
    ("1.3.132.0.35", "the curve P-521"),
    ("1.3.132.0.33", "the curve P-224"),
];
const ELLIPTIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Returns the block of a text that holds a key; what stands around it is ignored, as RFC 7468 allows.
fn block<'a>(text: &'a str, place: &str, wanted: &'static str) -> Result<(&'a str, &'a str), KeyError> {
    let not_pem = || KeyError::NotPem { place: place.to_owned(), wanted };
    let begin = text.find("-----BEGIN ").ok_or_else(not_pem)?;
    let text = &text[begin..];
    let label = text["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
    let end = format!("-----END {label}-----");
    let length = text.find(&end).ok_or_else(not_pem)? + end.len();
    Ok((label, &text[..length]))
}

/// Returns the DER document of a private key.
pub(super) fn private(text: &str, place: &str) -> Result<SecretDocument, KeyError> {
    let place = || place.to_owned();
    let (label, block) = block(text, &place(), PRIVATE)?;
    match label {
        "PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted { place: place() }),
        "EC PRIVATE KEY" | "RSA PRIVATE KEY" | "DSA PRIVATE KEY" | "EC PARAMETERS" => {
            let is_rsa = label.starts_with("RSA") || label.starts_with("DSA");
            if is_rsa {
                return Err(KeyError::Algorithm { place: place(), found: label[..3].to_owned() });
            }
            return Err(KeyError::Older { place: place() });
        }
        other => return Err(other_kind(other, place(), PRIVATE)),
    }
    let damaged = |why: String| KeyError::Damaged { kind: PRIVATE, place: place(), why };
    // The library wants lines of 64 characters that end alike.
    let (_, document) = SecretDocument::from_pem(&plain(block)).map_err(|error| damaged(error.to_string()))?;
    let info = PrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|error| damaged(error.to_string()))?;
    check_algorithm(&info.algorithm, place())?;
    Ok(document)
}

/// Returns the DER document of a public key.
pub(super) fn public(text: &str, place: &str) -> Result<Document, KeyError> {
    let place = || place.to_owned();
    let (label, block) = block(text, &place(), PUBLIC)?;
    match label {
        "PUBLIC KEY" => {}
        "RSA PUBLIC KEY" => return Err(KeyError::Algorithm { place: place(), found: "RSA".to_owned() }),
        other => return Err(other_kind(other, place(), PUBLIC)),
    }
    let damaged = |why: String| KeyError::Damaged { kind: PUBLIC, place: place(), why };
    let (_, document) = Document::from_pem(&plain(block)).map_err(|error| damaged(error.to_string()))?;
    let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|error| damaged(error.to_string()))?;
    check_algorithm(&info.algorithm, place())?;
    Ok(document)
}

/// Windows and some editors leave carriage returns and spaces at the ends of lines.
fn plain(block: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(block.len() + 1));
    for line in block.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn other_kind(label: &str, place: String, wanted: &'static str) -> KeyError {
    let found = match label {
        "PUBLIC KEY" => "public key",
        "CERTIFICATE" => "certificate",
        "OPENSSH PRIVATE KEY" => "private key of OpenSSH",
        label if label.ends_with("PRIVATE KEY") => "private key",
        _ => return KeyError::NotPem { place, wanted },
    };
    KeyError::OtherKind { place, found, wanted }
}

fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>, place: String) -> Result<(), KeyError> {
    let curve = algorithm.parameters_oid().ok();
    let found = match curve {
        Some(P256) if algorithm.oid == ELLIPTIC => return Ok(()),
        Some(curve) if algorithm.oid == ELLIPTIC => curve,
        _ => algorithm.oid,
    };
    let found = found.to_string();
    let known = KNOWN.iter().find(|(oid, _)| *oid == found).map(|(_, name)| (*name).to_owned());
    Err(KeyError::Algorithm { place, found: known.unwrap_or(found) })
}
