//! What other people's verifiers read: keys, signatures, and statements about files.
//!
//! ```text
//! keys           ECDSA P-256 keys in PEM files, and their fingerprints
//! dsse           an envelope: bytes of a named type, with signatures
//! statement      an in-toto statement: something is said of files that are named by digest
//! slsa           what is said there of a build: SLSA provenance v1
//! model_signing  a signed list of a model's files: an OpenSSF Model Signing v1.0 bundle
//! ro_crate       a folder described for people and catalogues: RO-Crate with the Process Run Crate profile
//! ```
//!
//! Formats only: nothing here knows a store, a ledger or a network, and no file is read or written but those of keys. The
//! same values give the same bytes, signatures included (RFC 6979). What is read is bounded in size, and a JSON object
//! that has a key twice is refused, since two readers could take it for two things.

pub mod dsse;
pub mod json;
pub mod keys;
pub mod model_signing;
pub mod ro_crate;
mod sha256;
pub mod slsa;
pub mod statement;
mod timestamp;

pub use sha256::{ParseSha256Error, Sha256Digest};
pub use timestamp::Timestamp;
