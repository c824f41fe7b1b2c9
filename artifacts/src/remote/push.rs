//! Pushing results to a remote.

use std::fs::File;

use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};

use super::{FORMAT, PART_BYTES, Remote, RemoteError};
use crate::attempt_file::AttemptFile;
use crate::digest::{Hasher, read_blocks};
use crate::{Attempt, Cache, CacheError, Digest, FileError, ObjectError, Outcome, Output};

/// Parts of one object that are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// What a push did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Results that are on the remote now and were not before.
    pub results: u64,
    /// Objects that were sent; the others were there.
    pub objects: u64,
    /// Their size together.
    pub bytes: u64,
}

impl Remote {
    /// Sends results with their outputs. Each output is hashed first; a damaged one is set aside and ends the push.
    /// `progress` is called with the size of each object that has been sent or was there.
    ///
    /// # Errors
    /// [`RemoteError::Request`]; [`RemoteError::Cache`] for an output that is missing or damaged on this side. What was
    /// sent until then stays, and is not sent again.
    pub fn push(&self, cache: &Cache, results: &[Attempt], progress: &dyn Fn(u64)) -> Result<Pushed, RemoteError> {
        let mut pushed = Pushed::default();
        let format = self.path(["FORMAT"]);
        if self.size(&format)?.is_none() {
            self.put(&format, FORMAT.into())?;
        }
        for result in results.iter().filter(|attempt| attempt.outcome == Some(Outcome::Done)) {
            for output in &result.outputs {
                if self.send(cache, output)? {
                    pushed.objects += 1;
                    pushed.bytes += output.bytes;
                }
                progress(output.bytes);
            }
            // The record goes last: whoever finds it finds all that it mentions.
            let record = self.record(&result.key, &result.id);
            if self.size(&record)?.is_none() {
                let run = match result.run {
                    Some(run) => cache.ledger().run(run).map_err(CacheError::from)?,
                    None => None,
                };
                self.put(&record, AttemptFile::new(result.clone(), run).to_text().into_bytes())?;
                pushed.results += 1;
            }
        }
        Ok(pushed)
    }

    /// Sends an object that is not there; returns whether it was sent.
    fn send(&self, cache: &Cache, output: &Output) -> Result<bool, RemoteError> {
        let path = self.object(&output.digest);
        if self.size(&path)? == Some(output.bytes) {
            return Ok(false);
        }
        let file = cache.open_verified(&output.digest)?;
        let mut source = File::open(&file).map_err(FileError::of("open", &file))?;
        if output.bytes <= PART_BYTES {
            let mut bytes = Vec::new();
            read_blocks(&mut source, &mut Vec::new(), |block| {
                bytes.extend_from_slice(block);
                Ok(())
            })
            .map_err(FileError::of("read", &file))?;
            check(&output.digest, Digest::of_bytes(&bytes), &file)?;
            self.put(&path, bytes)?;
        } else {
            self.send_in_parts(&mut source, &file, &output.digest, &path)?;
        }
        Ok(true)
    }

    /// Sends a large object; it appears on the remote only if what was sent has its digest.
    fn send_in_parts(
        &self,
        source: &mut File,
        file: &std::path::Path,
        digest: &Digest,
        path: &Path,
    ) -> Result<(), RemoteError> {
        let failed = |source| self.failed("write", path, source);
        let upload = self.runtime.block_on(self.store.put_multipart(path)).map_err(failed)?;
        // Parts are sent by tasks, which are made within the runtime.
        let _within = self.runtime.enter();
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES as usize);
        let mut hasher = Hasher::new();
        let mut refused = None;
        let read = read_blocks(source, &mut Vec::new(), |block| {
            hasher.update(block);
            let ready = self.runtime.block_on(upload.wait_for_capacity(PARTS_AT_ONCE));
            ready.map_err(|error| {
                refused = Some(error);
                std::io::Error::other("the remote refused a part")
            })?;
            upload.write(block);
            Ok(())
        });
        let sound = match (refused, read) {
            (Some(error), _) => Err(failed(error)),
            (None, Err(error)) => Err(FileError::new("read", file, error).into()),
            (None, Ok(_)) => check(digest, hasher.finish(), file),
        };
        match sound {
            Ok(()) => self.runtime.block_on(upload.finish()).map(drop).map_err(failed),
            Err(error) => {
                // The error that matters is the first; what is left of the upload, providers remove.
                let _ = self.runtime.block_on(upload.abort());
                Err(error)
            }
        }
    }
}

/// What was read to be sent must be what was checked just before.
fn check(digest: &Digest, found: Digest, file: &std::path::Path) -> Result<(), RemoteError> {
    if found == *digest {
        return Ok(());
    }
    let damaged = ObjectError::Damaged { digest: *digest, found, path: file.to_owned() };
    Err(CacheError::from(damaged).into())
}
