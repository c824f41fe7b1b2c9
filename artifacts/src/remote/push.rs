//! Pushing results to a remote.

use std::fs::File;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, WriteMultipart};

use super::client::{PART_BYTES, part_bytes};
use super::seen::Seen;
use super::{Remote, RemoteError, record};
use crate::digest::{Hasher, read_blocks};
use crate::trust::{self, Signature};
use crate::{Attempt, Cache, CacheError, Digest, FileError, ObjectError, Output};
use tfnas_attestations::keys::SigningKey;

/// Number of parts of one object uploaded at once.
const PARTS_AT_ONCE: usize = 4;

/// Time limit for telling the server to discard the parts of an aborted upload.
const ABORT: Duration = Duration::from_secs(5);

/// Pushes results of one store to one remote. It can be shared by any number of threads.
#[derive(Debug)]
pub struct Pusher<'a> {
    remote: &'a Remote,
    cache: &'a Cache,
    seen: Seen,
    key: Option<&'a SigningKey>,
}

/// The result of a push of one result, or of its dry run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Whether its record was written: it did not exist, or could not be read.
    pub recorded: bool,
    /// Number of uploaded objects: those that the remote did not have, or whose content did not match their digest.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
    /// Signatures that were written: they did not exist, or differed.
    pub signatures: u64,
}

impl Pushed {
    /// Returns whether all was there already.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl<'a> Pusher<'a> {
    /// Prepares a push. Nothing is uploaded yet.
    pub fn new(remote: &'a Remote, cache: &'a Cache) -> Self {
        Self { remote, cache, seen: Seen::open(cache.store(), remote), key: None }
    }

    /// Signs results made in this store with a key. Pulled results keep the signatures that they came with and get no
    /// new one.
    pub fn signing(self, key: Option<&'a SigningKey>) -> Self {
        Self { key, ..self }
    }

    /// Uploads a result. `progress` is called with the number of bytes sent.
    ///
    /// Each output is hashed before it is uploaded. Objects on the remote, old and new, are read back and hashed. The
    /// record is written last.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if a request fails, [`RemoteError::Cache`] if an output is missing or damaged
    /// in the store, and [`RemoteError::WrongBytes`] if the remote returns other bytes than it was sent. Objects that
    /// were already uploaded stay and are not uploaded again.
    pub fn push(&self, result: &Attempt, progress: &dyn Fn(u64)) -> Result<Pushed, RemoteError> {
        self.remote.mark()?;
        let mut pushed = Pushed::default();
        for output in &result.outputs {
            if !self.is_there(output)? {
                self.send(output, progress)?;
                pushed.objects += 1;
                pushed.bytes += output.bytes;
            }
        }
        // A record without its signature would be refused, a signature without its record is nothing.
        let is_there = self.has_record(result)?;
        for signature in self.absent_signatures(result)? {
            self.remote.put(&self.sibling(result, &signature.name), signature.bytes)?;
            pushed.signatures += 1;
        }
        if !is_there {
            self.remote.put(&self.remote.record(&result.key, &result.id), record::to_bytes(result))?;
            pushed.recorded = true;
        }
        Ok(pushed)
    }

    /// Returns what [`push`](Self::push) would upload. It compares sizes and does not read objects.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if the remote cannot be reached.
    pub fn compare(&self, result: &Attempt) -> Result<Pushed, RemoteError> {
        let mut pushed = Pushed { recorded: !self.has_record(result)?, ..Pushed::default() };
        pushed.signatures = self.absent_signatures(result)?.len() as u64;
        for output in &result.outputs {
            if self.head(output)?.is_none() {
                pushed.objects += 1;
                pushed.bytes += output.bytes;
            }
        }
        Ok(pushed)
    }

    /// Returns whether the remote has a record of the result that can be read. That of a newer version is one.
    fn has_record(&self, result: &Attempt) -> Result<bool, RemoteError> {
        let path = self.remote.record(&result.key, &result.id);
        let Some(bytes) = self.remote.get(&path)? else { return Ok(false) };
        if self.key.is_some() && bytes == record::to_bytes(result) {
            return Ok(true);
        }
        Ok(match record::from_bytes(&bytes, &self.remote.place(&path)) {
            // The signature covers the bytes of the record, which may have been altered on the remote.
            Ok(_) if self.signs(result) => false,
            Err(error @ RemoteError::NewerRecord { .. }) if self.signs(result) => return Err(error),
            Ok(there) => there.id == result.id && there.key == result.key && there.outputs == result.outputs,
            Err(RemoteError::NewerRecord { .. }) => true,
            Err(_) => false,
        })
    }

    fn signs(&self, result: &Attempt) -> bool {
        self.key.is_some() && result.remote.is_none()
    }

    /// Returns the signatures of a result that the remote lacks, or has other ones of.
    fn absent_signatures(&self, result: &Attempt) -> Result<Vec<Signature>, RemoteError> {
        let store = self.cache.store();
        let mut signatures = Vec::new();
        for name in trust::names(store, result)? {
            let bytes = trust::local(store, result, &name)?;
            signatures.push(Signature { name, bytes });
        }
        if let Some(key) = self.key.filter(|_| self.signs(result)) {
            signatures.push(trust::sign(&record::to_bytes(result), result, key));
        }
        let mut absent = Vec::new();
        for signature in signatures {
            if self.remote.get(&self.sibling(result, &signature.name))?.as_ref() != Some(&signature.bytes) {
                absent.push(signature);
            }
        }
        Ok(absent)
    }

    fn sibling(&self, result: &Attempt, name: &str) -> Path {
        self.remote.results(&result.key).join(name)
    }

    /// Returns the remote's metadata of an object, or `None` if it is missing or has another size.
    fn head(&self, output: &Output) -> Result<Option<ObjectMeta>, RemoteError> {
        Ok(self.remote.head(&self.remote.object(&output.digest))?.filter(|there| there.size == output.bytes))
    }

    /// Returns whether the remote has an object with the right content.
    fn is_there(&self, output: &Output) -> Result<bool, RemoteError> {
        let Some(there) = self.head(output)? else { return Ok(false) };
        let tag = there.e_tag.as_deref();
        if self.seen.is_sound(&output.digest, tag) {
            return Ok(true);
        }
        let found = self.remote.read(&there.location, output.bytes, &mut |_| Ok(()))?;
        if found == output.digest {
            self.seen.remember(&output.digest, tag);
        }
        Ok(found == output.digest)
    }

    /// Sends an object, and reads it back.
    fn send(&self, output: &Output, progress: &dyn Fn(u64)) -> Result<(), RemoteError> {
        let path = self.remote.object(&output.digest);
        let file = self.cache.open_verified(&output.digest)?;
        let mut source = File::open(&file).map_err(FileError::of("open", &file))?;
        let tag = if output.bytes <= PART_BYTES {
            let bytes = read_whole(&mut source, output, &file)?;
            let tag = self.remote.put(&path, bytes)?.e_tag;
            progress(output.bytes);
            tag
        } else {
            self.send_in_parts(&mut source, &file, output, &path, progress)?
        };
        let found = self.remote.read(&path, output.bytes, &mut |_| Ok(()))?;
        if found != output.digest {
            let place = self.remote.place(&path);
            return Err(RemoteError::WrongBytes { digest: output.digest, found, place });
        }
        self.seen.remember(&output.digest, tag.as_deref());
        Ok(())
    }

    /// Uploads a large object in parts. It appears on the remote only if the sent bytes have its digest. Returns its
    /// entity tag.
    fn send_in_parts(
        &self,
        source: &mut File,
        file: &std::path::Path,
        output: &Output,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<Option<String>, RemoteError> {
        let remote = self.remote;
        let upload = remote.ask("write", path, remote.store.put_multipart(path))?;
        // Parts are uploaded by tasks, which must be spawned inside the runtime.
        let _within = remote.runtime.enter();
        let part = usize::try_from(part_bytes(output.bytes)).unwrap_or(usize::MAX);
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
        let mut hasher = Hasher::new();
        let mut refused = None;
        let read = read_blocks(source, &mut Vec::new(), |block| {
            hasher.update(block);
            if let Err(error) = remote.ask("write", path, upload.wait_for_capacity(PARTS_AT_ONCE)) {
                refused = Some(error);
                return Err(std::io::Error::other("the remote refused a part"));
            }
            upload.write(block);
            progress(block.len() as u64);
            Ok(())
        });
        let sound = match (refused, read) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(FileError::new("read", file, error).into()),
            (None, Ok(_)) => check(&output.digest, hasher.finish(), file),
        };
        match sound {
            Ok(()) => Ok(remote.ask("write", path, upload.finish())?.e_tag),
            Err(error) => {
                // Report the first error. Providers remove the rest of an unfinished upload.
                let _ = remote.runtime.block_on(async { tokio::time::timeout(ABORT, upload.abort()).await });
                Err(error)
            }
        }
    }
}

/// Reads a small object completely.
fn read_whole(source: &mut File, output: &Output, file: &std::path::Path) -> Result<Vec<u8>, RemoteError> {
    let mut bytes = Vec::new();
    read_blocks(source, &mut Vec::new(), |block| {
        bytes.extend_from_slice(block);
        Ok(())
    })
    .map_err(FileError::of("read", file))?;
    check(&output.digest, Digest::of_bytes(&bytes), file)?;
    Ok(bytes)
}

/// Checks that the bytes read for the upload have the digest verified just before.
fn check(digest: &Digest, found: Digest, file: &std::path::Path) -> Result<(), RemoteError> {
    if found == *digest {
        return Ok(());
    }
    let damaged = ObjectError::Damaged { digest: *digest, found, path: file.to_owned() };
    Err(CacheError::from(damaged).into())
}
