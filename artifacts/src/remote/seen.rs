//! Remembers which objects of a remote have been verified, so that a push need not read them each time. The file
//! `remotes/<digest of the address>` has one line per object with its digest and entity tag.
//!
//! This is used only for remotes whose entity tags depend on the content. The tags of a folder are made of times and
//! sizes, which can be set back. Lines are only appended, in one write each, so several processes can write at once.
//! The last line of an object counts, and a truncated line is ignored. The file may be deleted at any time.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use super::Remote;
use crate::{Digest, Store};

/// The verified objects of one remote.
#[derive(Debug)]
pub(super) struct Seen {
    tags: Mutex<HashMap<Digest, String>>,
    file: Option<File>,
}

impl Seen {
    /// Reads the verified objects of a remote. If the file cannot be used, nothing is remembered.
    pub fn open(store: &Store, remote: &Remote) -> Self {
        if remote.address.folder().is_some() {
            return Self { tags: Mutex::default(), file: None };
        }
        let folder = store.root().join("remotes");
        let path = folder.join(Digest::of_bytes(remote.url().as_bytes()).to_string());
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.split_once(' '));
        let tags = lines.filter_map(|(digest, tag)| Some((digest.parse().ok()?, tag.to_owned()))).collect();
        // A store that cannot be written can still be pushed from.
        let _ = fs::create_dir(&folder);
        let file = OpenOptions::new().create(true).append(true).open(&path).ok();
        Self { tags: Mutex::new(tags), file }
    }

    /// Returns whether an object with this entity tag was verified.
    pub fn is_sound(&self, digest: &Digest, tag: Option<&str>) -> bool {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tag.is_some() && tags.get(digest).map(String::as_str) == tag
    }

    /// Remembers that an object with this entity tag was verified.
    pub fn remember(&self, digest: &Digest, tag: Option<&str>) {
        let (Some(tag), Some(mut file)) = (tag.filter(|tag| !tag.contains('\n')), self.file.as_ref()) else { return };
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.insert(*digest, tag.to_owned()).as_deref() != Some(tag) {
            // If the write fails, the object is read again next time.
            let _ = file.write_all(format!("{digest} {tag}\n").as_bytes());
        }
    }
}
