//! OpenSSF Model Signing v1.0: a signed list of a model's files, which the program `model_signing` (PyPI's
//! `model-signing`) verifies with a public key.
//!
//! ```text
//! bundle     a Sigstore bundle v0.3: names the key and contains
//! envelope     a DSSE envelope, which contains
//! statement      an in-toto statement, whose only subject is the complete model, and which contains
//! manifest         the name and SHA-256 of every file, and the ignored files
//! ```
//!
//! The subject's digest is the SHA-256 of the concatenated digests of all files. Only complete files (no shards) and
//! SHA-256 are supported, which are the defaults of the program. Its verifier requires ECDSA keys. The bundle names the
//! key by the SHA-256 of its PEM text.

mod bundle;
mod error;
mod manifest;
mod name;

pub use bundle::Bundle;
pub use error::BundleError;
pub use manifest::{Comparison, Difference, Manifest, SignedFile};
pub use name::NameError;
pub(crate) use name::check as check_name;
