//! L1: checks that every file is signed with the key that the auditor supplied.

use std::path::Path;

use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::PublicKey;
use tfnas_attestations::model_signing::{Bundle, SignedFile};
use tfnas_attestations::statement::PAYLOAD_TYPE;

use crate::PublicationError;
use crate::audit::Folder;
use crate::audit::checks::{Checks, Level, Verified};
use crate::names;

/// Maximum size of a signature.
const MAX_BYTES: u64 = 64 << 20;
/// Maximum number of changed files that a message lists.
const NAMED: usize = 3;

/// Reads the auditor's public key, if one was given.
///
/// # Errors
/// Returns an error if the file is not a public key.
pub fn read_key(path: Option<&Path>) -> Result<Option<PublicKey>, PublicationError> {
    let read = path.map(PublicKey::read).transpose();
    read.map_err(|error| {
        PublicationError::usage(error.to_string()).with_hint("--key takes the public key of the publisher")
    })
}

/// Verifies both signatures.
pub fn check(folder: &Folder, key: Option<&PublicKey>, checks: &mut Checks) {
    let is_signed = !folder.manifest.signatures.is_empty();
    match key {
        None if is_signed => checks.skip(Level::L1, "signature", "no key was given: --key"),
        None => checks.skip(Level::L1, "signature", "there is no signature"),
        Some(_) if !is_signed => checks.fail(Level::L1, "signature", "there is no signature, but a key was given"),
        Some(key) => {
            let by = key.fingerprint();
            checks.note(
                Level::L1,
                names::SIGNATURE,
                bundle(folder, key).map(|files| Verified(format!("{files} files signed by {by}"))),
            );
            checks.note(
                Level::L1,
                names::ENVELOPE,
                envelope(folder, key).map(|()| Verified(format!("the Statement signed by {by}"))),
            );
        }
    }
}

/// Verifies the OpenSSF bundle, which must cover all other files. Returns their number.
fn bundle(folder: &Folder, key: &PublicKey) -> Result<usize, String> {
    let bytes = small(folder, names::SIGNATURE)?;
    let bundle = Bundle::from_json(&bytes).map_err(|error| error.to_string())?;
    if bundle.to_json().as_bytes() != bytes {
        return Err("it is not in the format of a publication".to_owned());
    }
    let signed = bundle.verify(key).map_err(|error| error.to_string())?;
    if signed.ignored() != [names::SIGNATURE] || signed.follows_symlinks() {
        return Err("it ignores files other than itself".to_owned());
    }
    let others = folder.files.values().filter(|file| file.name != names::SIGNATURE);
    let found: Vec<SignedFile> =
        others.map(|file| SignedFile { name: file.name.clone(), sha256: file.sha256 }).collect();
    let differences: Vec<String> =
        signed.compare(&found).differences.iter().take(NAMED).map(ToString::to_string).collect();
    if differences.is_empty() { Ok(found.len()) } else { Err(differences.join("; ")) }
}

/// Verifies the envelope, which must contain the Statement.
fn envelope(folder: &Folder, key: &PublicKey) -> Result<(), String> {
    let bytes = small(folder, names::ENVELOPE)?;
    let envelope = Envelope::from_json(&bytes).map_err(|error| error.to_string())?;
    if envelope.to_json().as_bytes() != bytes {
        return Err("it is not in the format of a publication".to_owned());
    }
    let signed = envelope.verify(PAYLOAD_TYPE, key).map_err(|error| error.to_string())?;
    if signed == folder.read(names::STATEMENT)? { Ok(()) } else { Err("it contains another Statement".to_owned()) }
}

/// Reads a file after checking that it is not too large for memory.
fn small(folder: &Folder, name: &str) -> Result<Vec<u8>, String> {
    match folder.files.get(name) {
        Some(file) if file.bytes > MAX_BYTES => Err("it is far too large".to_owned()),
        _ => folder.read(name),
    }
}
