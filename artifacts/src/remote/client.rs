//! Requests: each blocks until it is answered, or until somebody asks for an end.

use std::ffi::OsString;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt, PutResult};
use tokio::runtime::Runtime;

use super::error::LIST;
use super::{Remote, RemoteError};
use crate::atomic_write::names_in;
use crate::digest::Hasher;
use crate::{Digest, FileError};

/// Bytes transferred in one request. Larger objects take several requests.
pub(super) const PART_BYTES: u64 = 8 << 20;

/// Providers allow 10,000 parts per object. Very large objects use larger parts.
const MAX_PARTS: u64 = 9_000;

/// How often a wait looks whether it should end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Returns how many bytes of an object of this size are moved in one request.
pub(super) fn part_bytes(size: u64) -> u64 {
    PART_BYTES.max(size.div_ceil(MAX_PARTS))
}

/// Returns the runtime for requests. Any thread can wait for any request.
pub(super) fn runtime(url: &str) -> Result<Runtime, RemoteError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(built.map_err(|source| FileError::new("start the client for", url, source))?)
}

impl Remote {
    /// Waits for a response.
    ///
    /// # Errors
    /// Returns [`RemoteError::Stopped`] if `stopped` was set.
    pub(super) fn wait<T>(&self, request: impl Future<Output = T>) -> Result<T, RemoteError> {
        let mut request = pin!(request);
        self.runtime.block_on(async {
            loop {
                if self.stopped.load(Ordering::Relaxed) {
                    return Err(RemoteError::Stopped);
                }
                if let Ok(answer) = tokio::time::timeout(LOOK_EVERY, request.as_mut()).await {
                    return Ok(answer);
                }
            }
        })
    }

    /// Waits for the response to a request about an object.
    ///
    /// # Errors
    /// Returns [`RemoteError::Request`] if the request fails, [`RemoteError::Absent`] if the object does not exist, and
    /// [`RemoteError::Stopped`] if `stopped` was set.
    pub(super) fn ask<T>(
        &self,
        action: &'static str,
        path: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, RemoteError> {
        self.wait(request)?.map_err(|error| self.failed(action, path, &error))
    }

    pub(super) fn failed(&self, action: &'static str, path: &Path, error: &object_store::Error) -> RemoteError {
        RemoteError::request(&self.address, action, self.place(path), error)
    }

    /// Like [`ask`](Self::ask), for an object that may not exist.
    fn ask_for<T>(
        &self,
        action: &'static str,
        path: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, RemoteError> {
        match self.wait(request)? {
            Ok(answer) => Ok(Some(answer)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(action, path, &error)),
        }
    }

    /// Returns the metadata of an object, or `None` if it does not exist.
    pub(super) fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, RemoteError> {
        self.ask_for("look for", path, self.store.head(path))
    }

    /// Returns the content of a small object, or `None` if it does not exist.
    pub(super) fn get(&self, path: &Path) -> Result<Option<Vec<u8>>, RemoteError> {
        self.ask_for("read", path, async { Ok(self.store.get(path).await?.bytes().await?.to_vec()) })
    }

    /// Writes a small object atomically.
    pub(super) fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<PutResult, RemoteError> {
        self.ask("write", path, self.store.put(path, bytes.into()))
    }

    /// Returns whether any object exists below the remote's address. In a folder, hidden files do not count.
    pub(super) fn holds_anything(&self) -> Result<bool, RemoteError> {
        if let Some(folder) = self.address.folder() {
            // `FORMAT#1` is the temporary name of the file that a concurrent first push is writing.
            let is_nothing = |name: &OsString| {
                let name = name.to_string_lossy();
                name == "lost+found" || name.starts_with('.') || name.starts_with("FORMAT#")
            };
            return Ok(!names_in(&folder)?.iter().all(is_nothing));
        }
        let prefix = self.address.prefix.clone();
        let mut listed = self.store.list(Some(&prefix));
        let first = self.wait(std::future::poll_fn(|context| listed.as_mut().poll_next(context)))?;
        Ok(first.transpose().map_err(|error| self.failed(LIST, &prefix, &error))?.is_some())
    }

    /// Reads an object that should have `size` bytes and passes them to `each` part by part. Returns their digest. It
    /// never reads more than `size` bytes.
    pub(super) fn read(
        &self,
        path: &Path,
        size: u64,
        each: &mut dyn FnMut(&[u8]) -> Result<(), RemoteError>,
    ) -> Result<Digest, RemoteError> {
        let mut hasher = Hasher::new();
        let mut offset = 0;
        while offset < size {
            let end = (offset + PART_BYTES).min(size);
            let part = self.ask("read", path, self.store.get_range(path, offset..end))?;
            hasher.update(&part);
            each(&part)?;
            if part.len() as u64 != end - offset {
                break;
            }
            offset = end;
        }
        Ok(hasher.finish())
    }
}
