//! In-toto Statement v1: a claim about files that are identified by digest.
//!
//! It implements <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>. Unknown fields are ignored.
//! The claim is a predicate of a named type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sha256Digest;
use crate::dsse::{self, DsseError, Envelope};
use crate::json::{self, JsonError};
use crate::keys::{PublicKey, SigningKey};

/// The payload type of a signed statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// The only version of statements that is read and written here.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// A statement. It serializes as in-toto's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    #[serde(rename = "_type")]
    version: String,
    /// The subjects of the statement. Each has a digest.
    pub subject: Vec<ResourceDescriptor>,
    /// The type of the predicate, as a URI.
    pub predicate_type: String,
    /// The predicate.
    #[serde(default)]
    pub predicate: Value,
}

/// A file or another resource, identified by a digest, a name or a URI.
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
    /// Additional information.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

/// An envelope that holds no statement by the key.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The envelope, or its signature.
    #[error(transparent)]
    Envelope(#[from] DsseError),
    /// The payload is not a statement.
    #[error("the payload is not an in-toto statement: {0}")]
    Json(#[from] JsonError),
    /// A statement of another version.
    #[error("the statement has the type {found:?}, expected {STATEMENT_TYPE:?}")]
    Version {
        /// Its type.
        found: String,
    },
    /// A statement about nothing, or about something without a digest.
    #[error("the statement is about {what}, which has no digest")]
    Subject {
        /// The subject without a digest.
        what: String,
    },
    /// The predicate has another type than expected.
    #[error("the statement has the predicate type {found:?}, expected {wanted:?}")]
    Predicate {
        /// The type found.
        found: String,
        /// The expected type.
        wanted: String,
    },
}

impl ResourceDescriptor {
    /// Names a file, and its bytes by their SHA-256.
    pub fn file(name: impl Into<String>, sha256: &Sha256Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), sha256.to_string())]);
        Self { name: Some(name.into()), digest, ..Self::default() }
    }

    /// Returns the SHA-256 digest, if given.
    pub fn sha256(&self) -> Option<Sha256Digest> {
        self.digest.get("sha256")?.parse().ok()
    }
}

impl Statement {
    /// Says something of a kind about these.
    pub fn new(subject: Vec<ResourceDescriptor>, predicate_type: impl Into<String>, predicate: Value) -> Self {
        Self { version: STATEMENT_TYPE.to_owned(), subject, predicate_type: predicate_type.into(), predicate }
    }

    /// Returns the JSON of the statement on one line. These are the signed bytes.
    pub fn to_json(&self) -> String {
        json::to_line(self)
    }

    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Envelope {
        Envelope::sign(PAYLOAD_TYPE, self.to_json().into_bytes(), key)
    }

    /// Parses the JSON of a statement. To read a signed statement, use [`verified`](Self::verified).
    ///
    /// # Errors
    /// Returns [`StatementError`] if the JSON is not a valid statement.
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

    /// Returns the statement in an envelope if a key has signed it.
    ///
    /// # Errors
    /// Returns [`StatementError`] if the signature or the statement is not valid.
    pub fn verified(envelope: &Envelope, key: &PublicKey) -> Result<Self, StatementError> {
        Self::from_json(envelope.verify(PAYLOAD_TYPE, key)?)
    }

    /// Returns the predicate if it has the expected type.
    ///
    /// # Errors
    /// Returns [`StatementError::Predicate`] if it has another type, and [`StatementError::Json`] if its fields do not
    /// match.
    pub fn predicate<T: DeserializeOwned>(&self, predicate_type: &str) -> Result<T, StatementError> {
        if self.predicate_type != predicate_type {
            let found = self.predicate_type.clone();
            return Err(StatementError::Predicate { found, wanted: predicate_type.to_owned() });
        }
        Ok(T::deserialize(&self.predicate).map_err(JsonError::from)?)
    }
}
