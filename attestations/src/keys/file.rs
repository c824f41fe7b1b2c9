//! Reading and writing key files: limited in size, checked and read through one file handle, never overwritten.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use p256::elliptic_curve::zeroize::Zeroizing;

use super::KeyError;

/// Maximum size of a key file. The PEM text of a key has about 240 bytes; explanatory text may surround it.
const MAX_BYTES: u64 = 64 << 10;

/// The permissions of group and others.
const OF_OTHERS: u32 = 0o077;

/// A key's text, which is wiped from memory when it is dropped.
pub(super) struct KeyText {
    pub text: Zeroizing<String>,
    /// The permissions of its file.
    mode: u32,
}

/// Who may read a key file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    Owner,
    Anybody,
}

/// Reads a key's text.
pub(super) fn read(path: &Path) -> Result<KeyText, KeyError> {
    let place = path.display().to_string();
    let failed = |action| {
        let place = place.clone();
        move |source| KeyError::File { action, place, source }
    };
    // Opening a pipe would wait for somebody to write to it.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let flags = i32::try_from(flags).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("look at"))?;
    if !metadata.is_file() {
        return Err(KeyError::NotAKeyFile { place, what: "no regular file" });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or(0) + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed("read"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(KeyError::NotAKeyFile { place, what: "far too large" });
    }
    match str::from_utf8(&bytes) {
        Ok(text) => {
            let mode = metadata.permissions().mode() & 0o7777;
            Ok(KeyText { text: Zeroizing::new(text.to_owned()), mode })
        }
        Err(_) => Err(KeyError::NotAKeyFile { place, what: "no text" }),
    }
}

impl KeyText {
    /// Checks that only its owner can read or change the file.
    pub fn check_private(&self, path: &Path) -> Result<(), KeyError> {
        match self.mode & OF_OTHERS {
            0 => Ok(()),
            _ => Err(KeyError::Mode { place: path.display().to_string(), mode: self.mode }),
        }
    }
}

/// Writes a key's text to a file that does not exist yet, and that has its mode from the beginning.
pub(super) fn write(path: &Path, text: &str, readers: Readers) -> Result<(), KeyError> {
    let place = path.display().to_string();
    let mode = if readers == Readers::Owner { 0o600 } else { 0o666 };
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        tfnas_fs::sync_parent(path)
    });
    written.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => KeyError::Exists { place },
        _ => KeyError::File { action: "write", place, source },
    })
}
