//! Remembers the untrusted results of the last pull of each key in `remotes/refused/<key>`, so that later commands can
//! explain why there is no result. Write errors are ignored, and the files may be deleted at any time.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Trust, Untrusted};
use crate::atomic_write::{self, Access};
use crate::{ActionKey, CacheError, Store};

/// The results that a pull refused, and the keys that were trusted then.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    trusted: Vec<String>,
    results: Vec<Untrusted>,
}

impl Refused {
    /// Remembers the refused results of a key. The list may be empty.
    pub fn remember(store: &Store, key: &ActionKey, trust: &Trust, results: Vec<Untrusted>) {
        let path = path(store, key);
        if results.is_empty() {
            let _ = atomic_write::remove_file(&path);
            return;
        }
        let refused = Self { trusted: trust.fingerprints(), results };
        if let (Ok(bytes), Some(folder)) = (serde_json::to_vec(&refused), path.parent()) {
            let _ = atomic_write::create_folder(folder);
            let _ = atomic_write::write_file(&path, &bytes, &store.temporary(), Access::Writable);
        }
    }

    /// Returns the refused results of a key, if the same keys were trusted then.
    pub fn recall(store: &Store, key: &ActionKey, trust: &Trust) -> Vec<Untrusted> {
        let read = fs::read(path(store, key)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        read.filter(|refused| refused.trusted == trust.fingerprints())
            .map(|refused| refused.results)
            .unwrap_or_default()
    }

    /// Removes the entries of keys that have a result.
    pub fn forget_settled(
        store: &Store,
        has_result: impl Fn(&ActionKey) -> Result<bool, CacheError>,
    ) -> Result<(), CacheError> {
        let folder = folder(store);
        for name in atomic_write::names_in(&folder)? {
            if let Ok(key) = name.to_string_lossy().parse()
                && has_result(&key)?
            {
                atomic_write::remove_file(&folder.join(name))?;
            }
        }
        Ok(())
    }
}

fn folder(store: &Store) -> PathBuf {
    store.root().join("remotes").join("refused")
}

fn path(store: &Store, key: &ActionKey) -> PathBuf {
    folder(store).join(key.to_string())
}
