//! DSSE v1: an envelope with a typed payload and signatures over both.
//!
//! It implements <https://github.com/secure-systems-lab/dsse>: base64 may be standard or URL-safe, several signatures
//! are allowed, unknown fields are ignored, and a signature's `keyid` is a hint that proves nothing. ECDSA P-256
//! signatures are DER.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::keys::{PublicKey, SigningKey};

/// Maximum size of an envelope. The manifest of a hundred thousand files takes about 20 MB.
pub const MAX_BYTES: usize = 64 << 20;

/// Maximum number of signatures. Each signature costs a verification.
const MAX_SIGNATURES: usize = 32;

/// Bytes of a named type, with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A signature and the name of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    keyid: String,
    bytes: Vec<u8>,
}

/// The reason why a text is not a valid envelope, or its signature is not valid.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// The text is not the JSON of an envelope.
    #[error("not a DSSE envelope: {0}")]
    Json(#[from] JsonError),
    /// A field that is not base64.
    #[error("not a DSSE envelope: `{field}` is not base64 ({why})")]
    Base64 {
        /// The field.
        field: &'static str,
        /// The problem.
        why: String,
    },
    /// More signatures than anybody makes.
    #[error("not a DSSE envelope: it has {found} signatures, more than {MAX_SIGNATURES}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// The payload has another type than expected.
    #[error("the payload has the type {found:?}, expected {wanted:?}")]
    Type {
        /// The type.
        found: String,
        /// The expected type.
        wanted: String,
    },
    /// No signature by the key.
    #[error("no signature by the key {key} is valid")]
    NotByKey {
        /// The key's fingerprint.
        key: String,
    },
}

/// An envelope as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSignature {
    /// Some writers leave it out, others write null.
    #[serde(default)]
    keyid: Option<String>,
    sig: String,
}

impl Envelope {
    /// Signs a payload of a type. The key is named by its fingerprint.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let keyid = key.public().fingerprint().to_string();
        Self::sign_as(payload_type, payload, key, keyid)
    }

    /// Signs a payload of a type. The key is named `keyid`.
    pub(crate) fn sign_as(payload_type: &str, payload: Vec<u8>, key: &SigningKey, keyid: String) -> Self {
        let bytes = key.sign(&pae(payload_type, &payload));
        Self { payload_type: payload_type.to_owned(), payload, signatures: vec![Signature { keyid, bytes }] }
    }

    /// Parses the JSON of an envelope without verifying it.
    ///
    /// # Errors
    /// Returns [`DsseError`] if the JSON is not an envelope.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DsseError> {
        Self::from_written(json::read(bytes, MAX_BYTES)?)
    }

    /// Converts the JSON value of an envelope without verifying it.
    pub(crate) fn from_value(value: serde_json::Value) -> Result<Self, DsseError> {
        Self::from_written(serde_json::from_value(value).map_err(JsonError::from)?)
    }

    fn from_written(written: Written) -> Result<Self, DsseError> {
        let Written { payload_type, payload, signatures } = written;
        if signatures.len() > MAX_SIGNATURES {
            return Err(DsseError::TooMany { found: signatures.len() });
        }
        let signatures = signatures.into_iter().map(|WrittenSignature { keyid, sig }| {
            Ok(Signature { keyid: keyid.unwrap_or_default(), bytes: decode("sig", &sig)? })
        });
        Ok(Self {
            payload_type,
            payload: decode("payload", &payload)?,
            signatures: signatures.collect::<Result<_, DsseError>>()?,
        })
    }

    /// Returns its JSON in one line: the same for the same envelope, however it was written before.
    pub fn to_json(&self) -> String {
        json::to_line(&self.written())
    }

    /// Returns the value that [`to_json`](Self::to_json) writes, for use inside other JSON.
    pub(crate) fn written(&self) -> impl Serialize + use<> {
        let written = |signature: &Signature| WrittenSignature {
            keyid: Some(signature.keyid.clone()),
            sig: STANDARD.encode(&signature.bytes),
        };
        Written {
            payload_type: self.payload_type.clone(),
            payload: STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(written).collect(),
        }
    }

    /// Returns the payload if a key has signed it as this type.
    ///
    /// # Errors
    /// Returns [`DsseError::Unsigned`] if there is no signature, [`DsseError::Type`] if the payload has another type,
    /// and [`DsseError::NotByKey`] if no signature is by this key.
    pub fn verify(&self, payload_type: &str, key: &PublicKey) -> Result<&[u8], DsseError> {
        if self.signatures.is_empty() {
            return Err(DsseError::Unsigned);
        }
        let message = pae(&self.payload_type, &self.payload);
        if !self.signatures.iter().any(|signature| key.is_signature_of(&message, &signature.bytes)) {
            return Err(DsseError::NotByKey { key: key.fingerprint().to_string() });
        }
        if self.payload_type != payload_type {
            return Err(DsseError::Type { found: self.payload_type.clone(), wanted: payload_type.to_owned() });
        }
        Ok(&self.payload)
    }

    /// Returns the type of the payload without verifying it.
    pub fn unverified_type(&self) -> &str {
        &self.payload_type
    }

    /// Returns the payload without verifying it.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the key names of the signatures, which may be empty, without verifying them.
    pub fn unverified_keyids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.keyid.as_str())
    }
}

/// Returns the signed bytes: "DSSEv1", the type and the payload, the last two with their length (pre-authentication
/// encoding).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Reads base64 of either alphabet, with its padding.
fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, DsseError> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).map_err(|error| DsseError::Base64 { field, why: error.to_string() })
}
