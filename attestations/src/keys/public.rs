//! Public keys.

use std::fmt;
use std::path::Path;

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::{DecodePublicKey, EncodePublicKey, LineEnding};

use super::file::{self, Readers};
use super::{KeyError, pem};
use crate::Sha256Digest;

/// A public key. It verifies what its private key has signed.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    pub(super) fn new(key: VerifyingKey) -> Self {
        Self(key)
    }

    /// Parses a PEM text (SPKI). `place` is used in the error.
    ///
    /// # Errors
    /// Returns [`KeyError`] if the text is not such a key; the error describes its content.
    pub fn from_pem(text: &str, place: &str) -> Result<Self, KeyError> {
        let document = pem::public(text, place)?;
        VerifyingKey::from_public_key_der(document.as_bytes()).map(Self).map_err(|error| KeyError::Damaged {
            kind: pem::PUBLIC,
            place: place.to_owned(),
            why: error.to_string(),
        })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// Returns [`KeyError`] if the file cannot be read or does not contain a public key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&file::read(path)?.text, &path.display().to_string())
    }

    /// Writes the key to a new file.
    ///
    /// # Errors
    /// Returns [`KeyError::Exists`] if the file exists, and [`KeyError::File`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        file::write(path, &self.to_pem(), Readers::Anybody)
    }

    /// Returns its PEM text, as `openssl` writes it.
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key on the curve has an encoding")
    }

    /// Returns the SHA-256 of its DER encoding (SPKI), which names it: `openssl pkey -pubin -outform DER | sha256sum`.
    pub fn fingerprint(&self) -> Sha256Digest {
        let document = self.0.to_public_key_der().expect("a key on the curve has an encoding");
        Sha256Digest::of_bytes(document.as_bytes())
    }

    /// Returns whether `signature` (DER) is one of the SHA-256 of `message` by the private key.
    pub(crate) fn is_signature_of(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}
