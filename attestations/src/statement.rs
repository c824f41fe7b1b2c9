//! An in-toto Statement v1: something is said of files that are named by digest.
//!
//! As <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md> specifies it: fields that are not known are
//! ignored. What is said is a predicate of a named type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sha256Digest;
use crate::dsse::{self, DsseError, Envelope};
use crate::json::{self, JsonError};
use crate::keys::{PublicKey, SigningKey};

/// The type of what is signed when a statement is.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The only version of statements that is read and written here.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement; serialises as in-toto's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    version: String,
    /// What it is about; each has a digest.
    pub subject: Vec<ResourceDescriptor>,
    /// What kind of thing is said: a URI.
    pub predicate_type: String,
    /// What is said.
    #[serde(default)]
    pub predicate: Value,
}

/// A file or something else that has a digest, a name or an address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its identity as a URI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Its digests, hexadecimal, by the names of their algorithms.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// Where it can be fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download_location: Option<String>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

/// An envelope that holds no statement by the key.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The envelope, or its signature.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// Its bytes are no statement.
    #[error("what is signed is no in-toto statement: {0}")]
    Json(#[from] JsonError),
    /// A statement of another version.
    #[error("what is signed is a statement of the type {found:?}, not {STATEMENT_TYPE:?}")]
    Version {
        /// Its type.
        found: String,
    },
    /// A statement about nothing, or about something without a digest.
    #[error("the statement is about {what}, which no digest names")]
    Subject {
        /// What it is about.
        what: String,
    },
    /// A statement of something else.
    #[error("the statement is one of {found:?}, not of {wanted:?}")]
    Predicate {
        /// What it says.
        found: String,
        /// What was expected.
        wanted: String,
    },
}

impl ResourceDescriptor {
    /// Names a file, and its bytes by their SHA-256.
    pub fn file(name: impl Into<String>, sha256: &Sha256Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_string())]);
        Self { name: Some(name.into()), digest, ..Self::default() }
    }

    /// Returns its SHA-256, where it is given.
    pub fn sha256(&self) -> Option<Sha256Digest> {
        self.digest.get("sha256")?.parse().ok()
    }
}

impl Statement {
    /// Says something of a kind about these.
    pub fn new(subject: Vec<ResourceDescriptor>, predicate_type: impl Into<String>, predicate: Value) -> Self {
        Self { version: STATEMENT_TYPE.to_owned(), subject, predicate_type: predicate_type.into(), predicate }
    }

    /// Returns its JSON in one line: what is signed.
    pub fn to_json(&self) -> String {
        json::to_line(self)
    }

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(PAYLOAD_TYPE, self.to_json().into_bytes(), key)
    }

    /// Reads the JSON of a statement; whoever has it from an envelope takes [`verified`](Self::verified).
    ///
    /// # Errors
    /// [`StatementError`], unless it is one of the envelope or the predicate.
    pub fn from_json(bytes: &[u8]) -> Result<Self, StatementError> {
        let statement: Self = json::read(bytes, dsse::MAX_BYTES)?;
        if statement.version != STATEMENT_TYPE {
            return Err(StatementError::Version { found: statement.version });
        }
        let unnamed = |what: &str| StatementError::Subject { what: what.to_owned() };
        match statement.subject.iter().find(|subject| subject.digest.is_empty()) {
            Some(subject) => Err(unnamed(subject.name.as_deref().unwrap_or("something"))),
            None if statement.subject.is_empty() => Err(unnamed("nothing")),
            None => Ok(statement),
        }
    }

    /// Returns the statement in an envelope, that a key has signed.
    ///
    /// # Errors
    /// [`StatementError`], unless it is one of the predicate.
    pub fn verified(envelope: &Envelope, key: &PublicKey) -> Result<Self, StatementError> {
        Self::from_json(envelope.verify(PAYLOAD_TYPE, key)?)
    }

    /// Returns what is said, if it is of this kind.
    ///
    /// # Errors
    /// [`StatementError::Predicate`]; [`StatementError::Json`] where its fields are other ones.
    pub fn predicate<T: DeserializeOwned>(&self, predicate_type: &str) -> Result<T, StatementError> {
        if self.predicate_type != predicate_type {
            let found = self.predicate_type.clone();
            return Err(StatementError::Predicate { found, wanted: predicate_type.to_owned() });
        }
        Ok(T::deserialize(&self.predicate).map_err(JsonError::from)?)
    }
}
