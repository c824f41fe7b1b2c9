//! Sharing results through an object store: an S3 or Google Cloud bucket, an Azure container, or a folder.
//!
//! ```text
//! FORMAT                         the version of this layout
//! objects/<2>/<62>               artifacts, named by digest
//! results/<key>/<attempt>.json   the record of each result, as in a store's manifests/
//! results/<key>/<attempt>.<fingerprint>.sig   a signature of the record: a signed statement about its bytes
//! ```
//!
//! A record is written after all objects that it references have been read back and hashed. A pulled result is recorded
//! after all its objects have been downloaded and hashed. So a hit never has missing bytes, even if a push or a pull is
//! interrupted. Objects from a remote are trusted because of their digests. If the cache trusts keys, records are
//! trusted because of their signatures. A record names its format. An existing readable record is not overwritten,
//! unless it differs from the signed one.

mod address;
mod client;
mod error;
mod pull;
mod push;
mod record;
mod seen;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use object_store::ObjectStore;
use object_store::path::Path;
use tokio::runtime::Runtime;

use crate::{ActionKey, AttemptId, Digest};
use address::Address;

pub use error::RemoteError;
pub use pull::{Pulled, Wanted};
pub use push::{Pushed, Pusher};

/// The word of FORMAT, and the version that this code reads and writes.
const WORD: &str = "tfnas-remote";
const VERSION: u32 = 1;

/// A location to push results to and pull them from. It can be shared by any number of threads. Calls block.
#[derive(Debug)]
pub struct Remote {
    address: Address,
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
    stopped: Arc<AtomicBool>,
    /// Whether `FORMAT` exists. If not, the remote is empty.
    marked: AtomicBool,
}

impl Remote {
    /// Validates an address without contacting the remote.
    ///
    /// # Errors
    /// Returns [`RemoteError::Url`] if the address is invalid.
    pub fn check_url(url: &str) -> Result<(), RemoteError> {
        Address::parse(url).map(drop)
    }

    /// Opens a remote by its address. It reads the same environment variables as the provider's own tools, which begin
    /// with `AWS_`, `GOOGLE_` or `AZURE_`. Setting `stopped` aborts the request in progress.
    ///
    /// # Errors
    /// Returns [`RemoteError::Url`] if the address is invalid, [`RemoteError::Credentials`] if there are no
    /// credentials, [`RemoteError::Request`] if the remote cannot be reached or refuses, [`RemoteError::Absent`] if it
    /// does not exist, and [`RemoteError::Format`] or [`RemoteError::NotARemote`] if it has other content.
    pub fn open(
        url: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        stopped: Arc<AtomicBool>,
    ) -> Result<Self, RemoteError> {
        let address = Address::parse(url)?;
        let store = address.connect(environment)?;
        let runtime = client::runtime(url)?;
        let remote = Self { address, store, runtime, stopped, marked: AtomicBool::new(false) };
        remote.check_format()?;
        Ok(remote)
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// Returns whether nothing was ever pushed to it.
    pub fn is_empty(&self) -> bool {
        !self.marked.load(Ordering::Relaxed)
    }

    fn check_format(&self) -> Result<(), RemoteError> {
        if let Some(folder) = self.address.folder()
            && !folder.is_dir()
        {
            return Err(RemoteError::Absent { url: self.url().to_owned(), what: "folder" });
        }
        let path = self.path(["FORMAT"]);
        let bytes = match self.get(&path)? {
            Some(bytes) => bytes,
            None if !self.holds_anything()? => return Ok(()),
            // Another push may have created it in the meantime.
            None => self.get(&path)?.ok_or_else(|| RemoteError::NotARemote { url: self.url().to_owned() })?,
        };
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace();
        match (words.next(), words.next().and_then(|word| word.parse::<u32>().ok()), words.next()) {
            (Some(WORD), Some(VERSION), None) => {
                self.marked.store(true, Ordering::Relaxed);
                Ok(())
            }
            _ => Err(RemoteError::Format {
                url: self.url().to_owned(),
                found: text.chars().take(40).collect::<String>().trim().to_owned(),
            }),
        }
    }

    /// Writes `FORMAT` to an empty remote, so that other programs see that the location is in use.
    fn mark(&self) -> Result<(), RemoteError> {
        if self.is_empty() {
            self.put(&self.path(["FORMAT"]), format!("{WORD} {VERSION}\n").into_bytes())?;
            self.marked.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn path<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Path {
        names.into_iter().fold(self.address.prefix.clone(), |path, name| path.join(name))
    }

    fn object(&self, digest: &Digest) -> Path {
        let name = digest.to_string();
        self.path(["objects", &name[..2], &name[2..]])
    }

    fn results(&self, key: &ActionKey) -> Path {
        self.path(["results", &key.to_string()])
    }

    fn record(&self, key: &ActionKey, attempt: &AttemptId) -> Path {
        self.results(key).join(format!("{attempt}.json"))
    }

    /// Returns the address of an object, for display.
    fn place(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.address.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.url(), below.trim_start_matches('/'))
    }
}
