//! DSSE v1: an envelope that holds bytes of a named type, and signatures over both.
//!
//! As <https://github.com/secure-systems-lab/dsse> specifies it: base64 may be standard or URL-safe, there may be several
//! signatures, fields that are not known are ignored, and a signature's `keyid` is a hint that proves nothing. ECDSA P-256
//! signatures are DER.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::keys::{PublicKey, SigningKey};

/// No envelope is larger; the manifest of a hundred thousand files has some 20 MB.
pub const MAX_BYTES: usize = 64 << 20;

/// Each signature costs a verification, so that no envelope may have very many.
const MAX_SIGNATURES: usize = 32;

/// Bytes of a named type, with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A signature, and whose it says to be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    keyid: String,
    bytes: Vec<u8>,
}

/// A text that is no envelope, or an envelope that proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum DsseError {
    /// It is no JSON of an envelope.
    #[error("no DSSE envelope: {0}")]
    Json(#[from] JsonError),
    /// A field that is not base64.
    #[error("no DSSE envelope: `{field}` is not base64 ({why})")]
    Base64 {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// More signatures than anybody makes.
    #[error("no DSSE envelope: it has {found} signatures, more than {MAX_SIGNATURES}")]
    TooMany {
        /// How many.
        found: usize,
    },
    /// No signature at all.
    #[error("it is not signed")]
    Unsigned,
    /// Another type than what is expected.
    #[error("what is signed is {found:?}, not {wanted:?}")]
    Type {
        /// The type.
        found: String,
        /// What was expected.
        wanted: String,
    },
    /// No signature by the key.
    #[error("none of its signatures is one by the key {key} over what it holds")]
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
    /// Signs bytes of a type; the key is named by its fingerprint.
    pub fn sign(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let keyid = key.public().fingerprint().to_string();
        Self::sign_as(payload_type, payload, key, keyid)
    }

    /// Signs bytes of a type; the key is named as given.
    pub(crate) fn sign_as(payload_type: &str, payload: Vec<u8>, key: &SigningKey, keyid: String) -> Self {
        let bytes = key.sign(&pae(payload_type, &payload));
        Self { payload_type: payload_type.to_owned(), payload, signatures: vec![Signature { keyid, bytes }] }
    }

    /// Reads the JSON of an envelope; nothing is verified.
    ///
    /// # Errors
    /// [`DsseError`], unless it is one of verification.
    pub fn from_json(bytes: &[u8]) -> Result<Self, DsseError> {
        Self::from_written(json::read(bytes, MAX_BYTES)?)
    }

    /// Takes the value of an envelope's JSON; nothing is verified.
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

    /// Returns what [`to_json`](Self::to_json) writes, to stand in other JSON.
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

    /// Returns the bytes that a key has signed as ones of a type.
    ///
    /// # Errors
    /// [`DsseError::Unsigned`], [`DsseError::Type`], [`DsseError::NotByKey`].
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

    /// Returns the type that it says its bytes have; nobody vouches for it.
    pub fn unverified_type(&self) -> &str {
        &self.payload_type
    }

    /// Returns its bytes; nobody vouches for them.
    pub fn unverified_payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns whose its signatures say to be: the names of keys, which may be empty; nobody vouches for them.
    pub fn unverified_keyids(&self) -> impl Iterator<Item = &str> {
        self.signatures.iter().map(|signature| signature.keyid.as_str())
    }
}

/// Returns what is signed: "DSSEv1", the type and the bytes, the last two with their length (pre-authentication encoding).
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// Reads base64 of either alphabet, with its padding.
fn decode(field: &'static str, text: &str) -> Result<Vec<u8>, DsseError> {
    let engine = if text.contains(['-', '_']) { URL_SAFE } else { STANDARD };
    engine.decode(text).map_err(|error| DsseError::Base64 { field, why: error.to_string() })
}
