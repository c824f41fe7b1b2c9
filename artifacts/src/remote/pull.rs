//! Pulling results from a remote.

use std::io::Write;

use object_store::{ObjectMeta, ObjectStoreExt};

use super::{PART_BYTES, Remote, RemoteError};
use crate::attempt_file::{AttemptFile, MOST_BYTES};
use crate::digest::Hasher;
use crate::durable::{self, READ_ONLY};
use crate::lock::SharedLock;
use crate::{ActionKey, Attempt, Cache, CacheError, FileError, Outcome, Output, Purpose};

/// Of the results that a remote has of one key, so many are tried, the newest first.
const MOST_TRIED: usize = 8;

/// What a pull did for one key.
#[derive(Debug, Default)]
pub struct Pulled {
    /// The result, which look-ups find from now on; none if the remote has none that can be used.
    pub result: Option<Attempt>,
    /// Objects that came; the others were here.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Results that could not be used, newer than the one that was, and why not: a person should be told.
    pub refused: Vec<RemoteError>,
}

impl Remote {
    /// Fetches the newest result of a key with its outputs, unless there is one here. Every object is hashed before it
    /// is taken; a result with a wrong or missing one is refused, and leaves nothing behind that a look-up finds.
    /// `progress` is called with the number of bytes that came.
    ///
    /// # Errors
    /// [`RemoteError::Request`] if the remote cannot be reached; [`RemoteError::Cache`] and [`RemoteError::File`] for
    /// this side.
    pub fn pull(&self, cache: &Cache, key: &ActionKey, progress: &dyn Fn(u64)) -> Result<Pulled, RemoteError> {
        let mut pulled = Pulled::default();
        if let Some(result) = cache.find(key)?.result {
            pulled.result = Some(result);
            return Ok(pulled);
        }
        for record in self.newest_records(key)? {
            match self.fetch(cache, key, &record, &mut pulled, progress) {
                Ok(attempt) => {
                    pulled.result = Some(attempt);
                    break;
                }
                Err(error @ (RemoteError::WrongBytes { .. } | RemoteError::Lacks { .. } | RemoteError::Record(_))) => {
                    pulled.refused.push(error)
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pulled)
    }

    fn newest_records(&self, key: &ActionKey) -> Result<Vec<ObjectMeta>, RemoteError> {
        let folder = self.results(key);
        let listed = self.runtime.block_on(self.store.list_with_delimiter(Some(&folder)));
        let mut records = listed.map_err(|source| self.failed("list", &folder, source))?.objects;
        records.retain(|record| record.location.extension() == Some("json") && record.size <= MOST_BYTES);
        records.sort_by(|a, b| (b.last_modified, &b.location).cmp(&(a.last_modified, &a.location)));
        records.truncate(MOST_TRIED);
        Ok(records)
    }

    fn fetch(
        &self,
        cache: &Cache,
        key: &ActionKey,
        record: &ObjectMeta,
        pulled: &mut Pulled,
        progress: &dyn Fn(u64),
    ) -> Result<Attempt, RemoteError> {
        let place = self.place(&record.location);
        let bytes = self.get(&record.location).map_err(|source| self.failed("read", &record.location, source))?;
        let attempt = AttemptFile::from_bytes(&bytes, &place)?.attempt;
        if attempt.key != *key || attempt.outcome != Some(Outcome::Done) || attempt.purpose != Purpose::Run {
            return Err(RemoteError::Record(crate::AttemptFileError::Contradiction {
                place,
                what: "it is no result of the key that it stands under",
            }));
        }
        // A run's number means nothing in another store.
        let attempt = Attempt { run: None, ..attempt };
        let _unswept = SharedLock::shared(&cache.store().lock_file("objects"))?;
        for output in &attempt.outputs {
            if cache.store().check(&output.digest, None).is_err() {
                self.fetch_object(cache, output, progress)?;
                pulled.objects += 1;
                pulled.bytes += output.bytes;
            }
        }
        if !AttemptFile::path(cache.store(), key, &attempt.id).exists() {
            AttemptFile::new(attempt.clone(), None).write(cache.store())?;
        }
        cache.ledger().adopt(&[(attempt.clone(), None)]).map_err(CacheError::from)?;
        Ok(attempt)
    }

    /// Fetches an object into the store, where it appears only if it is what its name says. No more is fetched than it
    /// should have.
    fn fetch_object(&self, cache: &Cache, output: &Output, progress: &dyn Fn(u64)) -> Result<(), RemoteError> {
        let path = self.object(&output.digest);
        let lacks = |what: String| RemoteError::Lacks { digest: output.digest, place: self.place(&path), what };
        match self.size(&path)? {
            None => return Err(lacks("does not exist".to_owned())),
            Some(size) if size != output.bytes => {
                return Err(lacks(format!("has {size} bytes instead of {}", output.bytes)));
            }
            Some(_) => {}
        }
        let mut file = durable::start_file(&cache.store().temporary())?;
        let mut hasher = Hasher::new();
        let mut offset = 0;
        while offset < output.bytes {
            let end = (offset + PART_BYTES).min(output.bytes);
            let part = self.runtime.block_on(self.store.get_range(&path, offset..end));
            let part = part.map_err(|source| self.failed("read", &path, source))?;
            if part.len() as u64 != end - offset {
                return Err(lacks(format!("ends after {} bytes", offset + part.len() as u64)));
            }
            hasher.update(&part);
            file.write_all(&part).map_err(FileError::of("write", &cache.store().path(&output.digest)))?;
            progress(part.len() as u64);
            offset = end;
        }
        let found = hasher.finish();
        if found != output.digest {
            return Err(RemoteError::WrongBytes { digest: output.digest, found, place: self.place(&path) });
        }
        Ok(durable::finish_file(file, &cache.store().place_for(&output.digest)?, READ_ONLY)?)
    }
}
