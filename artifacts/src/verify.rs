//! Checking everything in a store.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::{Cache, CacheError, Digest, ObjectError};

/// The result of verifying a complete store.
#[derive(Debug)]
pub struct Verification {
    /// Objects that were hashed.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Damaged objects, now in quarantine, and unreadable objects, in order of their digests.
    pub damaged: Vec<ObjectError>,
    /// Outputs of recorded results that are not in the store, nor were before this check.
    pub missing: Vec<Digest>,
    /// Problems found by SQLite's integrity check of the ledger.
    pub ledger: Vec<String>,
}

impl Verification {
    /// Returns whether no problem was found.
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty() && self.ledger.is_empty()
    }
}

impl Cache {
    /// Hashes every object, quarantines damaged ones, and checks that every output in the ledger exists. `progress` is
    /// called from many threads with the size of each hashed object.
    ///
    /// # Errors
    /// Returns an error if the ledger or the store cannot be read.
    pub fn verify(&self, progress: &(dyn Fn(u64) + Sync)) -> Result<Verification, CacheError> {
        let ledger = self.ledger.check()?;
        let objects = self.store.objects()?;
        let checked: Vec<Result<_, ObjectError>> = objects
            .par_iter()
            .with_max_len(1)
            .map(|(digest, size)| {
                let result = self.store.check(digest, None).map(|verified| verified.stat.map(|stat| (*digest, stat)));
                progress(*size);
                result.map_err(|error| self.store.quarantine(error))
            })
            .collect();
        let there: BTreeSet<Digest> = objects.iter().map(|(digest, _)| *digest).collect();
        let mut verified = Vec::new();
        let mut damaged = Vec::new();
        for result in checked {
            match result {
                Ok(stat) => verified.extend(stat),
                // Removed by another process since the objects were listed.
                Err(ObjectError::Missing { .. }) => {}
                Err(error) => damaged.push(error),
            }
        }
        self.ledger.remember_verified(&verified)?;
        // Objects added during the verification exist too.
        let is_missing = |digest: &Digest| !there.contains(digest) && !self.store.contains(digest);
        Ok(Verification {
            objects: objects.len() as u64,
            bytes: objects.iter().map(|(_, size)| size).sum(),
            damaged,
            missing: self.ledger.output_digests()?.into_iter().filter(is_missing).collect(),
            ledger,
        })
    }
}
