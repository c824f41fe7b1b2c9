//! Private keys, for signing.

use std::fmt;
use std::path::Path;

use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::zeroize::Zeroizing;
use p256::pkcs8::{EncodePrivateKey, LineEnding};

use super::file::{self, Readers};
use super::{KeyError, PublicKey, pem};

/// A private key. It is wiped from memory when it is dropped, and cannot be printed.
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

impl SigningKey {
    /// Generates a key with the random numbers of the operating system.
    ///
    /// # Errors
    /// Returns [`KeyError::NoRandomness`] if the operating system provides none.
    pub fn generate() -> Result<Self, KeyError> {
        p256::ecdsa::SigningKey::try_generate().map(Self).map_err(|_| KeyError::NoRandomness)
    }

    /// Parses a PEM text (PKCS#8, or SEC 1 as written by `openssl ecparam -genkey`). `place` is used in the error.
    ///
    /// # Errors
    /// Returns [`KeyError`] if the text is not such a key; the error describes its content.
    pub fn from_pem(text: &str, place: &str) -> Result<Self, KeyError> {
        Ok(Self(pem::private(text, place)?.into()))
    }

    /// Reads a key file that only its owner can read.
    ///
    /// # Errors
    /// Returns [`KeyError::Mode`] if others can access the file, and other [`KeyError`] variants if it cannot be read
    /// or does not contain a private key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let read = file::read(path)?;
        // Parse first: a file that is not a private key is reported as such even if its mode is wrong too.
        let key = Self::from_pem(&read.text, &path.display().to_string())?;
        read.check_private(path)?;
        Ok(key)
    }

    /// Writes the key to a new file that only its owner can read (mode 0600).
    ///
    /// # Errors
    /// Returns [`KeyError::Exists`] if the file exists, and [`KeyError::File`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), KeyError> {
        file::write(path, &self.to_pem(), Readers::Owner)
    }

    /// Returns the public key that belongs to it.
    pub fn public(&self) -> PublicKey {
        PublicKey::new(*self.0.verifying_key())
    }

    fn to_pem(&self) -> Zeroizing<String> {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a key on the curve has an encoding")
    }

    /// Signs the SHA-256 of `message`: DER, and the same each time (RFC 6979).
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {:?})", self.public())
    }
}
