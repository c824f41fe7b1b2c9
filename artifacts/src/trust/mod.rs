//! Which results are trusted: those made locally, and those from a remote that a trusted key has signed.
//!
//! A digest shows that bytes are the ones that a record names. It does not show that the work of the key produced them:
//! everyone who can write to a remote can put any record there. A signature covers a complete record, and with it the
//! key, inputs, outputs and environment.

mod refused;
mod signature;

use serde::{Deserialize, Serialize};
use tfnas_attestations::keys::PublicKey;

use crate::{Attempt, FileError, Store};

pub(crate) use refused::Refused;
pub(crate) use signature::{MAX_BYTES, Signature, file_name, is_of, local, names, sign};

/// A set of trusted public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

/// A result that is not used because it has no signature by a trusted key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the result {place} is not used: {why}")]
pub struct Untrusted {
    /// The record of the result, for display.
    pub place: String,
    /// Why not.
    pub why: TrustError,
}

/// The reason why a result is not trusted. Keys are shown by the first digits of their fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TrustError {
    /// The result has no signature.
    #[error("it is not signed")]
    Unsigned,
    /// Others signed it.
    #[error("it is signed by {}, but not by a trusted key", keys.join(", "))]
    OtherKeys {
        /// The fingerprints of the keys that the signatures claim.
        keys: Vec<String>,
    },
    /// There is something in the place of a signature.
    #[error("its signature by the trusted key {key} is not valid: {why}")]
    Invalid {
        /// The key.
        key: String,
        /// The problem.
        why: String,
    },
    /// The signature belongs to another record.
    #[error(
        "its signature by the trusted key {key} belongs to another record: this record was altered, or the \
         signature was copied"
    )]
    OtherRecord {
        /// The key.
        key: String,
    },
}

/// The result of looking for a signature by a trusted key.
#[derive(Debug)]
pub(crate) enum SignatureCheck {
    /// A trusted key has signed the result.
    Valid(Signature),
    /// No trusted key has a valid signature of it.
    Untrusted(TrustError),
}

impl Trust {
    /// Trusts these keys. With an empty list, no result from a remote is trusted.
    pub fn in_keys(keys: Vec<PublicKey>) -> Self {
        Self { keys }
    }

    /// Returns the names of the signature files of an attempt for these keys.
    pub(crate) fn file_names(&self, result: &crate::AttemptId) -> Vec<String> {
        self.keys.iter().map(|key| file_name(result, key)).collect()
    }

    /// Looks for a valid signature of a result by a trusted key. `there` lists the signature files, and `read` reads one
    /// of them. If `record` is given, the signature must cover exactly these bytes.
    ///
    /// # Errors
    /// Returns the error of `read`.
    pub(crate) fn verified_signature<E>(
        &self,
        record: Option<&[u8]>,
        result: &Attempt,
        there: &[String],
        read: &mut dyn FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<SignatureCheck, E> {
        let mut first = None;
        for key in &self.keys {
            let name = file_name(&result.id, key);
            if !there.contains(&name) {
                continue;
            }
            let bytes = read(&name)?;
            match signature::check(&bytes, record, result, key) {
                Ok(()) => return Ok(SignatureCheck::Valid(Signature { name, bytes })),
                Err(why) => first = first.or(Some(why)),
            }
        }
        let others = || there.iter().filter_map(|name| signature::signer(name, &result.id)).map(signature::short);
        Ok(SignatureCheck::Untrusted(first.unwrap_or_else(|| match others().collect::<Vec<_>>() {
            keys if keys.is_empty() => TrustError::Unsigned,
            keys => TrustError::OtherKeys { keys },
        })))
    }

    /// Returns why a result in a store is not trusted. Returns `None` if it was made locally or has a valid signature.
    pub(crate) fn distrusts(&self, store: &Store, result: &Attempt) -> Result<Option<Untrusted>, FileError> {
        let Some(remote) = &result.remote else { return Ok(None) };
        let there = names(store, result)?;
        // The record was compared byte by byte when it was pulled.
        let found = self.verified_signature(None, result, &there, &mut |name| local(store, result, name))?;
        Ok(match found {
            SignatureCheck::Valid(_) => None,
            SignatureCheck::Untrusted(why) => {
                Some(Untrusted { place: format!("{}, which was pulled from {remote},", result.id), why })
            }
        })
    }

    fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.fingerprint().to_string()).collect()
    }
}
