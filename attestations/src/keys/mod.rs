//! ECDSA P-256 keys in PEM files: the kind of key that the reference verifiers of every format here accept.
//!
//! A private key is a PKCS#8 file, or one of SEC 1, that its owner alone may read, a public key an SPKI file, both without a
//! password and as `openssl` writes them. A path may be a symbolic link, as where a machine is given its secrets by mounting them; what is
//! checked is the file that it leads to, by the handle that is then read. Nothing here prints a private key.

mod error;
mod file;
mod pem;
mod public;
mod signing;

pub use error::KeyError;
pub use public::PublicKey;
pub use signing::SigningKey;
