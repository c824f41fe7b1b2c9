//! Keys, signatures and signed statements about files, in the formats of public verifiers.
//!
//! ```text
//! keys           ECDSA P-256 keys in PEM files, and their fingerprints
//! dsse           DSSE envelopes: a typed payload with signatures
//! statement      in-toto statements: claims about files that are identified by digest
//! slsa           SLSA provenance v1: a predicate that describes a build
//! model_signing  OpenSSF Model Signing v1.0: a signed list of a model's files
//! ro_crate       RO-Crate with the Process Run Crate profile: a machine-readable description of a folder
//! ```
//!
//! The crate implements formats only. It does not know stores, ledgers or networks, and reads and writes no files
//! except key files. The same values give the same bytes, including signatures (RFC 6979). Input is limited in size,
//! and JSON objects with duplicate keys are rejected, because two readers could interpret them differently.
//!
//! ```
//! use serde_json::json;
//! use tfnas_attestations::Sha256Digest;
//! use tfnas_attestations::dsse::Envelope;
//! use tfnas_attestations::keys::SigningKey;
//! use tfnas_attestations::statement::{ResourceDescriptor, Statement};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = SigningKey::generate()?;
//! let file = ResourceDescriptor::file("model.pth".to_owned(), &Sha256Digest::of_bytes(b"weights"));
//! let signed = Statement::new(vec![file], "https://example.com/review/v1", json!({ "approved": true })).sign(&key);
//!
//! let envelope = Envelope::from_json(signed.to_json().as_bytes())?;
//! let statement = Statement::verified(&envelope, &key.public())?;
//! assert_eq!(statement.predicate["approved"], true);
//! # Ok(())
//! # }
//! ```

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
