//! Pulling results from a remote.

use std::io::Write;

use object_store::ObjectMeta;

use super::error::LIST;
use super::{Remote, RemoteError, record};
use crate::atomic_write::{self, Access};
use crate::attempt_file::{AttemptFile, MAX_BYTES};
use crate::lock::SharedLock;
use crate::trust::{self, Refused, Signature, SignatureCheck, Untrusted};
use crate::{ActionKey, Attempt, AttemptId, Cache, CacheError, FileError, Output, Trust};

/// Maximum number of results tried for one key, newest first.
const MAX_TRIED: usize = 8;

/// A result that is wished for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its key.
    pub key: &'a ActionKey,
    /// The outputs that the result must have. It may have more.
    pub outputs: &'a [&'a str],
}

/// The result of a pull of one key, or of its dry run.
#[derive(Debug, Default)]
pub struct Pulled {
    /// The pulled result, or `None` if the remote has no usable one.
    pub result: Option<Attempt>,
    /// Number of objects downloaded. The other objects were already in the store.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Newer results that could not be used, and the reasons. The user should be warned about them.
    pub refused: Vec<RemoteError>,
}

/// A callback that accepts a result, with its verified signature if one is required.
type Taking<'a> = dyn FnMut(&Attempt, Option<&Signature>) -> Result<(), RemoteError> + 'a;

/// A record on the remote and the names of its signatures.
struct Found {
    record: ObjectMeta,
    signatures: Vec<ObjectMeta>,
}

fn names(objects: &[ObjectMeta]) -> Vec<String> {
    objects.iter().filter_map(|object| object.location.filename()).map(str::to_owned).collect()
}

impl Remote {
    /// Returns every key for which the remote has results.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if the remote cannot be listed.
    pub fn keys(&self) -> Result<Vec<ActionKey>, RemoteError> {
        let folder = self.path(["results"]);
        let listed = self.ask(LIST, &folder, self.store.list_with_delimiter(Some(&folder)))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename()?.parse().ok());
        Ok(names.collect())
    }

    /// Returns what [`pull`](Self::pull) would download. It reads records and compares sizes, but downloads no objects.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if the remote cannot be reached, and [`RemoteError::Cache`] for an error of the
    /// cache.
    pub fn look(&self, cache: &Cache, wanted: Wanted<'_>) -> Result<Pulled, RemoteError> {
        let mut pulled = Pulled::default();
        let (result, refused) = self.newest(cache, wanted, &mut |result, _| {
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

    /// Downloads the newest result of a key with its outputs. If the cache [trusts](Cache::trusting) keys, only results
    /// signed by one of them are considered.
    ///
    /// Every object is hashed before it is stored. A result with a missing or wrong object is refused and not recorded.
    /// Objects that were completely downloaded by an interrupted pull are not downloaded again. `progress` is called
    /// with the number of bytes received.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if the remote cannot be reached, and [`RemoteError::Cache`] or
    /// [`RemoteError::File`] for an error of the cache.
    pub fn pull(&self, cache: &Cache, wanted: Wanted<'_>, progress: &dyn Fn(u64)) -> Result<Pulled, RemoteError> {
        let mut pulled = Pulled::default();
        let (result, refused) = self.newest(cache, wanted, &mut |result, signature| {
            self.store_result(cache, result, signature, &mut pulled, progress)
        })?;
        if let Some(trust) = cache.trust() {
            let untrusted = refused.iter().filter_map(|error| match error {
                RemoteError::Untrusted(untrusted) => Some(untrusted.clone()),
                _ => None,
            });
            Refused::remember(cache.store(), wanted.key, trust, untrusted.filter(|_| result.is_none()).collect());
        }
        Ok(Pulled { result, refused, ..pulled })
    }

    /// Tries the results of a key until `with` accepts one, with its verified signature if one is required.
    fn newest(
        &self,
        cache: &Cache,
        wanted: Wanted<'_>,
        with: &mut Taking<'_>,
    ) -> Result<(Option<Attempt>, Vec<RemoteError>), RemoteError> {
        let mut refused = Vec::new();
        for found in self.newest_records(wanted.key, cache.trust())? {
            let tried = self.read_record(wanted, &found, cache.trust()).and_then(|(result, signature)| {
                with(&result, signature.as_ref())?;
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

    /// Returns the newest records of a key with the names of their signatures. Records with a signature file of a
    /// trusted key are always included, no matter how many unsigned ones the remote has.
    fn newest_records(&self, key: &ActionKey, trust: Option<&Trust>) -> Result<Vec<Found>, RemoteError> {
        let folder = self.results(key);
        let listed = self.ask(LIST, &folder, self.store.list_with_delimiter(Some(&folder)))?;
        let (mut records, others): (Vec<ObjectMeta>, Vec<ObjectMeta>) =
            listed.objects.into_iter().partition(|object| object.location.extension() == Some("json"));
        records.sort_by(|a, b| (b.last_modified, &b.location).cmp(&(a.last_modified, &a.location)));
        let mut left = [MAX_TRIED; 2];
        let found = records.into_iter().filter_map(|record| {
            let stem = record.location.filename()?.strip_suffix(".json")?.to_owned();
            let of_record = |object: &&ObjectMeta| {
                object.location.filename().is_some_and(|name| name.starts_with(&stem) && name.ends_with(".sig"))
            };
            let signatures: Vec<ObjectMeta> = others.iter().filter(of_record).cloned().collect();
            let trusted = match (trust, stem.parse::<AttemptId>()) {
                (Some(trust), Ok(id)) => trust.file_names(&id),
                _ => Vec::new(),
            };
            let is_trusted = names(&signatures).iter().any(|name| trusted.contains(name));
            let left = &mut left[usize::from(is_trusted)];
            *left = left.checked_sub(1)?;
            Some(Found { record, signatures })
        });
        Ok(found.collect())
    }

    fn read_record(
        &self,
        wanted: Wanted<'_>,
        found: &Found,
        trust: Option<&Trust>,
    ) -> Result<(Attempt, Option<Signature>), RemoteError> {
        let path = &found.record.location;
        let place = self.place(path);
        let other = |what: String| RemoteError::OtherRecord { place: place.clone(), what };
        if found.record.size > MAX_BYTES {
            return Err(other("it is far too large".to_owned()));
        }
        let bytes = self.get(path)?.ok_or_else(|| other("it was just removed".to_owned()))?;
        let result = record::from_bytes(&bytes, &place)?;
        let signature = trust.map(|trust| self.signature(trust, &bytes, &result, found)).transpose()?;
        if result.key != *wanted.key {
            return Err(other("it is not a result of its key".to_owned()));
        }
        match wanted.outputs.iter().find(|name| result.output(name).is_none()) {
            Some(missing) => Err(other(format!("its result has no {missing}"))),
            None => Ok((result, signature)),
        }
    }

    /// Returns the signature of a record by a key that is trusted.
    fn signature(
        &self,
        trust: &Trust,
        record: &[u8],
        result: &Attempt,
        found: &Found,
    ) -> Result<Signature, RemoteError> {
        let read = &mut |name: &str| -> Result<Vec<u8>, RemoteError> {
            let object = found.signatures.iter().find(|object| object.location.filename() == Some(name));
            match object.filter(|object| object.size <= trust::MAX_BYTES) {
                Some(object) => Ok(self.get(&object.location)?.unwrap_or_default()),
                None => Ok(Vec::new()),
            }
        };
        match trust.verified_signature(Some(record), result, &names(&found.signatures), read)? {
            SignatureCheck::Valid(signature) => Ok(signature),
            SignatureCheck::Untrusted(why) => {
                Err(RemoteError::Untrusted(Untrusted { place: self.place(&found.record.location), why }))
            }
        }
    }

    /// Takes a result into the cache: all its objects first, then its record.
    fn store_result(
        &self,
        cache: &Cache,
        result: &Attempt,
        signature: Option<&Signature>,
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
            // Objects that no result references yet may have been removed by `gc` during the download.
            let _unswept = SharedLock::shared(&store.lock_file("objects"))?;
            if !result.outputs.iter().all(|output| store.contains(&output.digest)) {
                continue;
            }
            let result = Attempt { remote: Some(self.url().to_owned()), ..result.clone() };
            if signature.is_some() {
                cache.forget_other(&result)?;
            }
            if !AttemptFile::path(store, &result.key, &result.id).exists() {
                AttemptFile::new(result.clone(), None).write(store)?;
            }
            if let Some(signature) = signature {
                signature.keep(store, &result)?;
            }
            return Ok(cache.ledger().adopt(&[(result, None)]).map_err(CacheError::from)?);
        }
    }

    /// Downloads an object into the store. It is stored only if its content matches its digest.
    fn fetch(&self, cache: &Cache, output: &Output, progress: &dyn Fn(u64)) -> Result<(), RemoteError> {
        self.check_size(output)?;
        let path = self.object(&output.digest);
        let place = cache.store().path(&output.digest);
        let mut file = atomic_write::start_file(&cache.store().temporary())?;
        let found = self.read(&path, output.bytes, &mut |part| {
            file.as_file_mut().write_all(part).map_err(FileError::of("write", &place))?;
            progress(part.len() as u64);
            Ok(())
        })?;
        if found != output.digest {
            return Err(RemoteError::WrongBytes { digest: output.digest, found, place: self.place(&path) });
        }
        Ok(atomic_write::finish_file(file, &cache.store().place_for(&output.digest)?, Access::ReadOnly)?)
    }

    /// Checks that an object exists with the recorded size, so that a wrong object is not downloaded.
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
