//! Recognizes the kind of a PEM text, so that errors can name what a wrong file contains.

use p256::SecretKey;
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::der::asn1::{AnyRef, ContextSpecific, OctetStringRef};
use p256::pkcs8::der::{self, Decode, Document, Reader, SecretDocument, SliceReader, Tag, TagNumber, Tagged};
use p256::pkcs8::{
    AlgorithmIdentifierRef, DecodePrivateKey, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
};

use super::KeyError;

pub(super) const PRIVATE: &str = "private key";
pub(super) const PUBLIC: &str = "public key";

/// Algorithms of other keys often found in files of this kind.
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

/// The label of the block in which OpenSSL names the curve before a private key. The key also names it.
const PARAMETERS: &str = "EC PARAMETERS";

/// Returns the block that contains a key. Text around it is ignored, as RFC 7468 allows, and so is the curve block that
/// OpenSSL writes before a key.
fn block<'a>(text: &'a str, place: &str, wanted: &'static str) -> Result<(&'a str, &'a str), KeyError> {
    let not_pem = || KeyError::NotPem { place: place.to_owned(), wanted };
    let mut rest = text;
    let mut last = None;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let text = &rest[begin..];
        let label = text["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
        let end = format!("-----END {label}-----");
        let length = text.find(&end).ok_or_else(not_pem)? + end.len();
        let found = (label, &text[..length]);
        if label != PARAMETERS {
            return Ok(found);
        }
        last = Some(found);
        rest = &text[length..];
    }
    last.ok_or_else(not_pem)
}

/// Returns a private key, of PKCS#8 or of SEC 1, the older format of OpenSSL.
pub(super) fn private(text: &str, place: &str) -> Result<SecretKey, KeyError> {
    let place = || place.to_owned();
    let (label, block) = block(text, &place(), PRIVATE)?;
    match label {
        // The older formats mark encrypted keys this way.
        _ if block.contains("Proc-Type:") && block.contains("ENCRYPTED") => {
            return Err(KeyError::Encrypted { place: place() });
        }
        "PRIVATE KEY" | "EC PRIVATE KEY" => {}
        "ENCRYPTED PRIVATE KEY" => return Err(KeyError::Encrypted { place: place() }),
        "RSA PRIVATE KEY" | "DSA PRIVATE KEY" => {
            return Err(KeyError::Algorithm { place: place(), found: label[..3].to_owned() });
        }
        other => return Err(other_kind(other, place(), PRIVATE)),
    }
    let damaged = |why: String| KeyError::Damaged { kind: PRIVATE, place: place(), why };
    // The library wants lines of 64 characters that end alike.
    let (_, document) = SecretDocument::from_pem(&plain(block)).map_err(|error| damaged(error.to_string()))?;
    let bytes = document.as_bytes();
    if label == "PRIVATE KEY" {
        let info = PrivateKeyInfoRef::from_der(bytes).map_err(|error| damaged(error.to_string()))?;
        check_algorithm(&info.algorithm, place())?;
        return SecretKey::from_pkcs8_der(bytes).map_err(|error| damaged(error.to_string()));
    }
    match curve(bytes).map_err(|error| damaged(error.to_string()))? {
        Some(named) if named.tag() == Tag::ObjectIdentifier => {
            let curve = named.decode_as::<ObjectIdentifier>().map_err(|error| damaged(error.to_string()))?;
            if curve != P256 {
                return Err(algorithm(curve, place()));
            }
        }
        Some(_) => return Err(KeyError::Explicit { place: place() }),
        None => return Err(damaged("it does not name its curve".to_owned())),
    }
    SecretKey::from_sec1_der(bytes).map_err(|error| damaged(error.to_string()))
}

/// Returns the curve of a SEC 1 private key if it is given, by name or by its parameters.
fn curve(bytes: &[u8]) -> Result<Option<AnyRef<'_>>, der::Error> {
    SliceReader::new(bytes)?.sequence(|reader| {
        u8::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        let curve = ContextSpecific::<AnyRef<'_>>::decode_explicit(reader, TagNumber(0))?;
        ContextSpecific::<AnyRef<'_>>::decode_explicit(reader, TagNumber(1))?;
        Ok(curve.map(|curve| curve.value))
    })
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
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "public key",
        PARAMETERS => "curve without a key",
        "CERTIFICATE" => "certificate",
        "OPENSSH PRIVATE KEY" => "private key of OpenSSH",
        label if label.ends_with("PRIVATE KEY") => "private key",
        _ => return KeyError::NotPem { place, wanted },
    };
    KeyError::OtherKind { place, found, wanted }
}

fn check_algorithm(algorithm: &AlgorithmIdentifierRef<'_>, place: String) -> Result<(), KeyError> {
    match algorithm.parameters_oid().ok() {
        _ if algorithm.oid != ELLIPTIC => Err(self::algorithm(algorithm.oid, place)),
        Some(P256) => Ok(()),
        Some(curve) => Err(self::algorithm(curve, place)),
        None => Err(KeyError::Explicit { place }),
    }
}

/// Returns the error that names the algorithm or curve of an unsupported key.
fn algorithm(found: ObjectIdentifier, place: String) -> KeyError {
    let found = found.to_string();
    let known = KNOWN.iter().find(|(oid, _)| *oid == found).map(|(_, name)| (*name).to_owned());
    KeyError::Algorithm { place, found: known.unwrap_or(found) }
}
