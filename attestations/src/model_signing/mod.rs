//! OpenSSF Model Signing v1.0: a signed list of a model's files, which the program `model_signing` (PyPI's
//! `model-signing`) verifies with a public key.
//!
//! ```text
//! bundle     a Sigstore bundle v0.3: names the key, and holds
//! envelope     a DSSE envelope, that holds
//! statement      an in-toto statement, whose one subject is the model as a whole, and that holds
//! manifest         every file's name and SHA-256, and which files are left out
//! ```
//!
//! The subject's digest is the SHA-256 of all the files' digests, one after the other. Of the two ways to list files, whole
//! or in shards, whole files are known here, and of the hashes SHA-256: the defaults of the program. Its verifier wants
//! ECDSA keys; the bundle names the key by the SHA-256 of its PEM text.

mod bundle;
mod error;
mod manifest;
mod name;

pub use bundle::Bundle;
pub use error::BundleError;
pub use manifest::{Comparison, Difference, Manifest, SignedFile};
pub use name::NameError;
pub(crate) use name::check as check_name;
