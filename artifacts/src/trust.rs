//! Whose results are believed: those made here, and of those that come from elsewhere, those that a trusted key has signed.
//!
//! A digest says that bytes are what a record calls them, not that the work of the key gives these bytes: whoever can write
//! to a remote could put any record there. A signature is a statement about one record as a whole, and so about key,
//! inputs, outputs and environment at once.

mod refused;
mod signature;

use serde::{Deserialize, Serialize};
use tfnas_attestations::keys::PublicKey;

use crate::{Attempt, FileError, Store};

pub(crate) use refused::Refused;
pub(crate) use signature::{MAX_BYTES, Signature, file_name, is_of, local, names, sign};

/// Public keys whose signature makes a result one to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trust {
    keys: Vec<PublicKey>,
}

/// A result that is not used, because nobody who is trusted vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("the result {place} is not used: {why}")]
pub struct Untrusted {
    /// Its record, for people.
    pub place: String,
    /// Why not.
    pub why: TrustError,
}

/// Why a result is not believed. Keys are told by the first digits of their fingerprints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum TrustError {
    /// Nobody signed it.
    #[error("it is not signed")]
    Unsigned,
    /// Others signed it.
    #[error("it is signed by {}, and by no key that is trusted", keys.join(", "))]
    OtherKeys {
        /// Whose signatures there say to be.
        keys: Vec<String>,
    },
    /// There is something in the place of a signature.
    #[error("its signature by the trusted key {key} is not valid: {why}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A signature of something else.
    #[error(
        "its signature by the trusted key {key} is one of another record: this one was altered, or the signature copied"
    )]
    OtherRecord {
        /// The key.
        key: String,
    },
}

impl Trust {
    /// Trusts these keys, and nobody where there is none.
    pub fn in_keys(keys: Vec<PublicKey>) -> Self {
        Self { keys }
    }

    /// Returns the names of the files in which signatures of an attempt by these keys stand.
    pub(crate) fn file_names(&self, result: &crate::AttemptId) -> Vec<String> {
        self.keys.iter().map(|key| file_name(result, key)).collect()
    }

    /// Returns the signature of a result that is to be believed, of those `there`, the names of files that `read` reads.
    /// Where the bytes of its record are given, it must be one of exactly these.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn verified_signature<E>(
        &self,
        record: Option<&[u8]>,
        result: &Attempt,
        there: &[String],
        read: &mut dyn FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Result<Signature, TrustError>, E> {
        let mut first = None;
        for key in &self.keys {
            let name = file_name(&result.id, key);
            if !there.contains(&name) {
                continue;
            }
            let bytes = read(&name)?;
            match signature::check(&bytes, record, result, key) {
                Ok(()) => return Ok(Ok(Signature { name, bytes })),
                Err(why) => first = first.or(Some(why)),
            }
        }
        let others = || there.iter().filter_map(|name| signature::signer(name, &result.id)).map(signature::short);
        Ok(Err(first.unwrap_or_else(|| match others().collect::<Vec<_>>() {
            keys if keys.is_empty() => TrustError::Unsigned,
            keys => TrustError::OtherKeys { keys },
        })))
    }

    /// Returns why a result of a store is not believed; none if it was made there, or a signature came with it.
    pub(crate) fn distrusts(&self, store: &Store, result: &Attempt) -> Result<Option<Untrusted>, FileError> {
        let Some(remote) = &result.remote else { return Ok(None) };
        let there = names(store, result)?;
        // What it was pulled with, when its record was compared byte for byte.
        let found = self.verified_signature(None, result, &there, &mut |name| local(store, result, name))?;
        Ok(found.err().map(|why| Untrusted { place: format!("{}, which was pulled from {remote},", result.id), why }))
    }

    fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.fingerprint().to_string()).collect()
    }
}
