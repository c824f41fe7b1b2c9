//! Errors of model signing bundles.

use super::NameError;
use crate::dsse::DsseError;
use crate::json::JsonError;
use crate::statement::StatementError;

/// The reason why a text is not a valid bundle, or its signature is not valid.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The text is not the JSON of a bundle.
    #[error("not a Sigstore bundle: {0}")]
    Json(#[from] JsonError),
    /// A bundle of another version.
    #[error("the bundle has the media type {found:?}, expected {wanted:?}")]
    MediaType {
        /// Its type.
        found: String,
        /// The supported type.
        wanted: &'static str,
    },
    /// The bundle was not signed with a key.
    #[error("the bundle was signed with {what}, and not with a key alone: verify it with `model_signing`")]
    NotByKey {
        /// What it was signed with.
        what: &'static str,
    },
    /// The bundle names another key.
    #[error("the bundle was signed with the key {found}, not with the given key {wanted}")]
    OtherKey {
        /// The SHA-256 of the PEM text of the key that it names.
        found: String,
        /// That of the key given.
        wanted: String,
    },
    /// A bundle with no signature, or with several.
    #[error("the bundle has {found} signatures instead of one")]
    Signatures {
        /// How many.
        found: usize,
    },
    /// The envelope, its signature, or the statement in it.
    #[error("the bundle: {0}")]
    Statement(#[from] StatementError),
    /// A way to list or hash files that is not known here.
    #[error("the bundle's {field} is {found:?}, expected {wanted:?}: verify it with `model_signing`")]
    Serialization {
        /// The field.
        field: &'static str,
        /// The value found.
        found: String,
        /// The supported value.
        wanted: &'static str,
    },
    /// Another number of subjects than one.
    #[error("the bundle is about {found} models instead of one")]
    Subjects {
        /// How many.
        found: usize,
    },
    /// The root digest does not match the digests of the files.
    #[error("the bundle contradicts itself: the digest of the model is not that of its files")]
    Root,
    /// A name that is not that of a file in the model.
    #[error("the list of files: {0}")]
    Name(#[from] NameError),
    /// Two files have the same name.
    #[error("the list of files contains {name:?} twice")]
    Doubled {
        /// The name.
        name: String,
    },
    /// A listed file is also ignored.
    #[error("the list of files contains {name:?}, which {path:?} excludes")]
    Ignored {
        /// The name.
        name: String,
        /// The path that covers it.
        path: String,
    },
}

impl From<DsseError> for BundleError {
    fn from(error: DsseError) -> Self {
        Self::Statement(error.into())
    }
}
