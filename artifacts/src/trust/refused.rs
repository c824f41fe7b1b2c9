//! Which results the last pull of a key did not believe, so that others can say why there is none:
//! `remotes/refused/<key>`. What cannot be remembered is not; the files may be removed at any time.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Trust, Untrusted};
use crate::atomic_write::{self, Access};
use crate::{ActionKey, CacheError, Store};

/// What a pull refused, and whom it trusted.
#[derive(Serialize, Deserialize)]
pub(crate) struct Refused {
    trusted: Vec<String>,
    results: Vec<Untrusted>,
}

impl Refused {
    /// Remembers what was refused of a key, which may be nothing.
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

    /// Returns what was refused of a key when the same keys were trusted.
    pub fn recall(store: &Store, key: &ActionKey, trust: &Trust) -> Vec<Untrusted> {
        let read = fs::read(path(store, key)).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        read.filter(|refused| refused.trusted == trust.fingerprints())
            .map(|refused| refused.results)
            .unwrap_or_default()
    }

    /// Removes what is remembered of keys that have a result.
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
