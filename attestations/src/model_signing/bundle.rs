//! The Sigstore bundle that contains a signed manifest.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BundleError, Manifest};
use crate::Sha256Digest;
use crate::dsse::{self, Envelope};
use crate::json;
use crate::keys::{PublicKey, SigningKey};
use crate::statement::{PAYLOAD_TYPE, Statement};

/// The one version of bundles that `model_signing` accepts.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A signed manifest, as it is written to a file such as `model.sig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    hint: String,
    envelope: Envelope,
}

/// A bundle as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<E> {
    media_type: String,
    verification_material: Material,
    #[serde(default = "none")]
    dsse_envelope: Option<E>,
}

/// The verification material. Only the hint of the public key is used.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default)]
    public_key: Option<Hint>,
    #[serde(default, skip_serializing)]
    certificate: Option<Value>,
    #[serde(default, skip_serializing)]
    x509_certificate_chain: Option<Value>,
    #[serde(default)]
    tlog_entries: Vec<Value>,
}

#[derive(Serialize, Deserialize)]
struct Hint {
    #[serde(default)]
    hint: Option<String>,
}

fn none<E>() -> Option<E> {
    None
}

impl Bundle {
    /// Signs a manifest.
    pub fn sign(manifest: &Manifest, key: &SigningKey) -> Self {
        let payload = manifest.to_statement().to_json().into_bytes();
        // `model_signing` stores the key next to the envelope and leaves the signature's `keyid` empty.
        let envelope = Envelope::sign_as(PAYLOAD_TYPE, payload, key, String::new());
        Self { hint: hint(&key.public()), envelope }
    }

    /// Parses the JSON of a bundle without verifying it.
    ///
    /// # Errors
    /// Returns [`BundleError`] if the JSON is not a bundle of this kind.
    pub fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        let Written::<Value> { media_type, verification_material: material, dsse_envelope } =
            json::read(bytes, dsse::MAX_BYTES)?;
        if media_type != MEDIA_TYPE {
            return Err(BundleError::MediaType { found: media_type, wanted: MEDIA_TYPE });
        }
        let by = |what| BundleError::NotByKey { what };
        if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
            return Err(by("a certificate"));
        }
        let key = material.public_key.ok_or_else(|| by("something that it does not name"))?;
        let envelope = Envelope::from_value(dsse_envelope.ok_or_else(|| by("no envelope"))?)?;
        match envelope.unverified_keyids().count() {
            1 => Ok(Self { hint: key.hint.unwrap_or_default(), envelope }),
            found => Err(BundleError::Signatures { found }),
        }
    }

    /// Returns its JSON in one line: the same for the same bundle, however it was written before.
    pub fn to_json(&self) -> String {
        json::to_line(&Written {
            media_type: MEDIA_TYPE.to_owned(),
            verification_material: Material {
                public_key: Some(Hint { hint: Some(self.hint.clone()) }),
                certificate: None,
                x509_certificate_chain: None,
                tlog_entries: Vec::new(),
            },
            dsse_envelope: Some(self.envelope.written()),
        })
    }

    /// Returns the manifest if a key has signed it. [Compare](Manifest::compare) it with the files afterwards.
    ///
    /// # Errors
    /// Returns [`BundleError`] if another key signed the bundle, or the signed manifest is not valid.
    pub fn verify(&self, key: &PublicKey) -> Result<Manifest, BundleError> {
        let wanted = hint(key);
        // Versions of `model_signing` before 1.0 wrote no hint.
        if !self.hint.is_empty() && self.hint != wanted {
            return Err(BundleError::OtherKey { found: self.hint.chars().take(80).collect(), wanted });
        }
        Manifest::from_statement(&Statement::verified(&self.envelope, key)?)
    }

    /// Returns the envelope in it.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}

/// Returns how a bundle names a key: the SHA-256 of its PEM text.
fn hint(key: &PublicKey) -> String {
    Sha256Digest::of_bytes(key.to_pem().as_bytes()).to_string()
}
