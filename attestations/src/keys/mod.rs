//! ECDSA P-256 keys in PEM files. All reference verifiers of the formats in this crate accept this kind of key.
//!
//! A private key is a PKCS#8 or SEC 1 file that only its owner can read. A public key is an SPKI file. Both have no
//! password and the form that `openssl` writes. A path may be a symbolic link, because secrets are often mounted that
//! way; the checks use the handle of the target file that is then read. Private keys are never printed.

mod error;
mod file;
mod pem;
mod public;
mod signing;

pub use error::KeyError;
pub use public::PublicKey;
pub use signing::SigningKey;
