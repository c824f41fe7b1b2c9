//! Errors of reading, writing and using keys.

use std::io;

/// The reason why a key cannot be read, written or used. `place` is the file, or the source of the text.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file that cannot be opened, read or written.
    #[error("cannot {action} the key {place}: {source}")]
    File {
        /// The failed operation, as a verb.
        action: &'static str,
        /// The file.
        place: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file with the name of the new key already exists.
    #[error("{place} already exists, and a key is never overwritten: choose another name, or move the file away")]
    Exists {
        /// The file.
        place: String,
    },
    /// A private key that others can read.
    #[error("the private key {place} is accessible to other users (mode {mode:04o}): `chmod 600 {place}`")]
    Mode {
        /// The file.
        place: String,
        /// Its permissions.
        mode: u32,
    },
    /// A folder, a device, or a file that is far too large.
    #[error("{place} is not a key: it is {what}")]
    NotAKeyFile {
        /// The file.
        place: String,
        /// What it contains instead.
        what: &'static str,
    },
    /// A text that is not that of a key in PEM.
    #[error("{place} is not a key: expected the PEM text of a {wanted}")]
    NotPem {
        /// Where it came from.
        place: String,
        /// The expected content.
        wanted: &'static str,
    },
    /// A public key where a private one is needed, or the other way round.
    #[error("{place} is a {found}, but a {wanted} is needed")]
    OtherKind {
        /// Where it came from.
        place: String,
        /// What it contains instead.
        found: &'static str,
        /// The expected content.
        wanted: &'static str,
    },
    /// A private key with a password.
    #[error(
        "the private key {place} is encrypted: remove its password (`openssl pkcs8 -topk8 -nocrypt -in {place} -out FILE`) \
         and protect the file by its mode"
    )]
    Encrypted {
        /// Where it came from.
        place: String,
    },
    /// A key on a curve that is given by its numbers.
    #[error(
        "the key {place} has explicit curve parameters instead of a named curve: `openssl ec -in {place} \
         -param_enc named_curve -out FILE`, then `openssl pkcs8 -topk8 -nocrypt -in FILE -out FILE.pem`"
    )]
    Explicit {
        /// Where it came from.
        place: String,
    },
    /// A key of another algorithm or curve.
    #[error(
        "the key {place} has an unsupported type ({found}): only ECDSA keys on the curve P-256 are supported, as `keys \
         generate` creates them"
    )]
    Algorithm {
        /// Where it came from.
        place: String,
        /// The algorithm or curve.
        found: String,
    },
    /// The content of the PEM block is damaged.
    #[error("the {kind} {place} is damaged: {why}")]
    Damaged {
        /// The label of the block.
        kind: &'static str,
        /// Where it came from.
        place: String,
        /// The problem.
        why: String,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers to generate a key")]
    NoRandomness,
}
