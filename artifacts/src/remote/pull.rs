//! Pulling results from a remote.

use std::io::Write;

use object_store::ObjectMeta;

use super::error::LIST;
use super::{Remote, RemoteError, record};
use crate::attempt_file::{AttemptFile, MOST_BYTES};
use crate::durable::{self, READ_ONLY};
use crate::lock::SharedLock;
use crate::{ActionKey, Attempt, Cache, CacheError, FileError, Output};

/// Of the results that a remote has of one key, so many are tried, the newest first.
const MOST_TRIED: usize = 8;

/// A result that is wished for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its key.
    pub key: &'a ActionKey,
    /// The outputs that it must have; others may be among them.
    pub outputs: &'a [&'a str],
}

/// What a pull did for one key, or would do.
#[derive(Debug, Default)]
pub struct Pulled {
    /// The result, which look-ups find after a pull; none if the remote has none that can be used.
    pub result: Option<Attempt>,
    /// Objects that came, whatever they were for; the others were here.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Newer results that could not be used, and why not: a person should be told.
    pub refused: Vec<RemoteError>,
}

impl Remote {
    /// Returns every key that the remote has results of.
    ///
    /// # Errors
    /// [`RemoteError::Request`].
    pub fn keys(&self) -> Result<Vec<ActionKey>, RemoteError> {
        let folder = self.path(["results"]);
        let listed = self.ask(LIST, &folder, self.store.list_with_delimiter(Some(&folder)))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok());
        Ok(names.collect())
    }

    /// Says what [`pull`](Self::pull) would take. Records are read and sizes compared; no bytes come.
    ///
    /// # Errors
    /// [`RemoteError::Request`]; [`RemoteError::Cache`] for this side.
    pub fn look(&self, cache: &Cache, wanted: Wanted<'_>) -> Result<Pulled, RemoteError> {
        let mut pulled = Pulled::default();
        let (result, refused) = self.newest(wanted, &mut |result| {
            for output in &result.outputs {
                self.check_size(output)?;
            }
            Ok(())
        })?;
        for output in result.iter().flat_map(|result| &result.outputs) {
            if !cache.store().contains(&output.digest) {
                pulled.objects += 1;
                pulled.bytes += output.bytes;
            }
        }
        Ok(Pulled { result, refused, ..pulled })
    }

    /// Fetches the newest result of a key with its outputs. Every object is hashed before it is taken; a result with a
    /// wrong or missing one is refused, and leaves nothing behind that a look-up finds. What came whole of an
    /// interrupted pull does not come again. `progress` is called with the number of bytes that came.
    ///
    /// # Errors
    /// [`RemoteError::Request`] if the remote cannot be reached; [`RemoteError::Cache`] and [`RemoteError::File`] for
    /// this side.
    pub fn pull(&self, cache: &Cache, wanted: Wanted<'_>, progress: &dyn Fn(u64)) -> Result<Pulled, RemoteError> {
        let mut pulled = Pulled::default();
        let (result, refused) = self.newest(wanted, &mut |result| self.take(cache, result, &mut pulled, progress))?;
        Ok(Pulled { result, refused, ..pulled })
    }

    /// Tries the results of a key until `with` takes one.
    fn newest(
        &self,
        wanted: Wanted<'_>,
        with: &mut dyn FnMut(&Attempt) -> Result<(), RemoteError>,
    ) -> Result<(Option<Attempt>, Vec<RemoteError>), RemoteError> {
        let mut refused = Vec::new();
        for found in self.newest_records(wanted.key)? {
            let tried = self.read_record(wanted, &found).and_then(|result| {
                with(&result)?;
                Ok(result)
            });
            match tried {
                Ok(result) => return Ok((Some(Attempt { remote: Some(self.url().to_owned()), ..result }), refused)),
                Err(error) if error.is_of_one_result() => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok((None, refused))
    }

    fn newest_records(&self, key: &ActionKey) -> Result<Vec<ObjectMeta>, RemoteError> {
        let folder = self.results(key);
        let listed = self.ask(LIST, &folder, self.store.list_with_delimiter(Some(&folder)))?;
        let mut records = listed.objects;
        records.retain(|record| record.location.extension() == Some("json"));
        records.sort_by(|a, b| (b.last_modified, &b.location).cmp(&(a.last_modified, &a.location)));
        records.truncate(MOST_TRIED);
        Ok(records)
    }

    fn read_record(&self, wanted: Wanted<'_>, found: &ObjectMeta) -> Result<Attempt, RemoteError> {
        let place = self.place(&found.location);
        let other = |what: String| RemoteError::OtherRecord { place: place.clone(), what };
        if found.size > MOST_BYTES {
            return Err(other("it is far too large".to_owned()));
        }
        let bytes = self.get(&found.location)?.ok_or_else(|| other("it was removed just now".to_owned()))?;
        let result = record::from_bytes(&bytes, &place)?;
        if result.key != *wanted.key {
            return Err(other("it is no result of the key that it stands under".to_owned()));
        }
        match wanted.outputs.iter().find(|name| result.output(name).is_none()) {
            Some(missing) => Err(other(format!("its result has no {missing}"))),
            None => Ok(result),
        }
    }

    /// Takes a result into the cache: all its objects first, then its record.
    fn take(
        &self,
        cache: &Cache,
        result: &Attempt,
        pulled: &mut Pulled,
        progress: &dyn Fn(u64),
    ) -> Result<(), RemoteError> {
        let store = cache.store();
        loop {
            for output in &result.outputs {
                if store.check(&output.digest, None).is_err() {
                    self.fetch(cache, output, progress)?;
                    pulled.objects += 1;
                    pulled.bytes += output.bytes;
                }
            }
            // Objects that no result mentions yet may have been swept while others came.
            let _unswept = SharedLock::shared(&store.lock_file("objects"))?;
            if !result.outputs.iter().all(|output| store.contains(&output.digest)) {
                continue;
            }
            let result = Attempt { remote: Some(self.url().to_owned()), ..result.clone() };
            if !AttemptFile::path(store, &result.key, &result.id).exists() {
                AttemptFile::new(result.clone(), None).write(store)?;
            }
            return Ok(cache.ledger().adopt(&[(result, None)]).map_err(CacheError::from)?);
        }
    }

    /// Fetches an object into the store, where it appears only if it is what its name says.
    fn fetch(&self, cache: &Cache, output: &Output, progress: &dyn Fn(u64)) -> Result<(), RemoteError> {
        self.check_size(output)?;
        let path = self.object(&output.digest);
        let place = cache.store().path(&output.digest);
        let mut file = durable::start_file(&cache.store().temporary())?;
        let found = self.read(&path, output.bytes, &mut |part| {
            file.write_all(part).map_err(FileError::of("write", &place))?;
            progress(part.len() as u64);
            Ok(())
        })?;
        if found != output.digest {
            return Err(RemoteError::WrongBytes { digest: output.digest, found, place: self.place(&path) });
        }
        Ok(durable::finish_file(file, &cache.store().place_for(&output.digest)?, READ_ONLY)?)
    }

    /// Checks that an object is there with the size that the record says, so that no more is fetched than it should
    /// have.
    fn check_size(&self, output: &Output) -> Result<(), RemoteError> {
        let path = self.object(&output.digest);
        let what = match self.head(&path)? {
            Some(there) if there.size == output.bytes => return Ok(()),
            Some(there) => format!("has {} bytes instead of {}", there.size, output.bytes),
            None => "does not exist".to_owned(),
        };
        Err(RemoteError::Lacks { digest: output.digest, place: self.place(&path), what })
    }
}
