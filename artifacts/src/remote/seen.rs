//! Which objects of a remote this store has read and found sound, so that a push need not read them each time:
//! `remotes/<digest of the address>`, a line an object of its digest and the entity tag it had then.
//!
//! Only where tags change with the bytes: a folder's are made of times and sizes, which can be set back. Lines are only
//! ever added, in one write each, so that several processes may; the last one of an object counts, and one that is cut
//! off counts for nothing. The file may be removed at any time.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use super::Remote;
use crate::{Digest, Store};

/// What is remembered of one remote.
#[derive(Debug)]
pub(super) struct Seen {
    tags: Mutex<HashMap<Digest, String>>,
    file: Option<File>,
}

impl Seen {
    /// Reads what a store remembers. Where nothing can be remembered, nothing is.
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

    /// Returns whether an object with this tag was found sound.
    pub fn is_sound(&self, digest: &Digest, tag: Option<&str>) -> bool {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tag.is_some() && tags.get(digest).map(String::as_str) == tag
    }

    /// Remembers that an object with this tag is sound.
    pub fn remember(&self, digest: &Digest, tag: Option<&str>) {
        let (Some(tag), Some(mut file)) = (tag.filter(|tag| !tag.contains('\n')), self.file.as_ref()) else { return };
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.insert(*digest, tag.to_owned()).as_deref() != Some(tag) {
            // What is not remembered is read again.
            let _ = file.write_all(format!("{digest} {tag}\n").as_bytes());
        }
    }
}
