//! Sharing results by way of an object store: a bucket of S3, Google Cloud or Azure, or a folder.
//!
//! ```text
//! FORMAT                   the version of this layout
//! objects/<2>/<62>         artifacts, named by digest
//! results/<key>/<attempt>.json   the record of each result, as in a store's manifests/
//! ```
//!
//! A record is written after all objects that it mentions, and a pulled result is recorded after all its objects have
//! come and have been hashed: so there is never a hit whose bytes are missing. What comes from a remote is believed
//! only as far as its digest goes.

mod pull;
mod push;

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt, ObjectStoreScheme, RetryConfig};
use tokio::runtime::Runtime;

use crate::{ActionKey, AttemptFileError, AttemptId, CacheError, Digest, FileError};

pub use pull::Pulled;
pub use push::Pushed;

/// What FORMAT says: this version reads and writes it.
const FORMAT: &str = "tfnas-remote 1\n";

/// Bytes moved in one request; larger objects take several.
const PART_BYTES: u64 = 8 << 20;

/// How long a request may take to connect, and to send what was asked for.
const CONNECT: Duration = Duration::from_secs(10);
const REQUEST: Duration = Duration::from_secs(120);

/// How often, and how long in all, a request that a server could not answer is made again.
const RETRIES: usize = 4;
const RETRY_FOR: Duration = Duration::from_secs(30);

/// A place that results are pushed to and pulled from. Calls block.
#[derive(Debug)]
pub struct Remote {
    url: String,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    runtime: Runtime,
}

/// What can go wrong with a remote.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// An address that is none.
    #[error(
        "{url} is no address of a remote: {why} (expected s3://bucket/path, gs://bucket/path, az://container/path or \
         file:///path)"
    )]
    Url {
        /// The address.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// It cannot be reached, or refuses.
    #[error("cannot {action} {place}: {source} (check the address, the network and the credentials)")]
    Request {
        /// What was tried, as a verb that fits after "cannot".
        action: &'static str,
        /// On what.
        place: String,
        /// What the object store said.
        source: object_store::Error,
    },
    /// A newer version made it, or it is something else.
    #[error(
        "the remote {url} has another format than this version knows ({found:?}): nothing was touched; use the version \
         that made it, or another address"
    )]
    Format {
        /// Its address.
        url: String,
        /// What it says of itself, as far as it can be shown.
        found: String,
    },
    /// An object that is not what its name says.
    #[error(
        "the remote returned wrong bytes for artifact {}: {place} has the digest {}",
        digest.short(),
        found.short()
    )]
    WrongBytes {
        /// The artifact.
        digest: Digest,
        /// The digest of what came.
        found: Digest,
        /// The object's address.
        place: String,
    },
    /// An object that a result mentions and that is not there, or has another size.
    #[error("the remote lacks artifact {}, which a result mentions: {place} {what}", digest.short())]
    Lacks {
        /// The artifact.
        digest: Digest,
        /// The object's address.
        place: String,
        /// In which way.
        what: String,
    },
    /// A record that is damaged.
    #[error("the remote's record of a result cannot be used: {0}")]
    Record(#[from] AttemptFileError),
    /// The cache on this side.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file on this side.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Remote {
    /// Opens a remote by its address, with `options` for its client: the variables that the providers' own tools read
    /// (`AWS_ENDPOINT_URL`, `GOOGLE_…`, `AZURE_…`); others are passed over.
    ///
    /// # Errors
    /// [`RemoteError::Url`]; [`RemoteError::Request`] if it cannot be reached; [`RemoteError::Format`].
    pub fn open(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, RemoteError> {
        let (store, prefix) = connect(url, options).map_err(|why| RemoteError::Url { url: url.to_owned(), why })?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| FileError::new("start the client for", url, source))?;
        let remote = Self { url: url.trim_end_matches('/').to_owned(), store, prefix, runtime };
        match remote.get(&remote.path(["FORMAT"])) {
            Ok(bytes) if bytes == FORMAT.as_bytes() => Ok(remote),
            Ok(bytes) => {
                let found = String::from_utf8_lossy(&bytes).chars().take(40).collect();
                Err(RemoteError::Format { url: remote.url, found })
            }
            Err(object_store::Error::NotFound { .. }) => Ok(remote),
            Err(source) => Err(remote.failed("read", &remote.path(["FORMAT"]), source)),
        }
    }

    /// Returns its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn path<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Path {
        names.into_iter().fold(self.prefix.clone(), |path, name| path.join(name))
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

    /// Returns an object's address, for people.
    fn place(&self, path: &Path) -> String {
        let below = path.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(path.as_ref());
        format!("{}/{}", self.url, below.trim_start_matches('/'))
    }

    fn failed(&self, action: &'static str, path: &Path, source: object_store::Error) -> RemoteError {
        RemoteError::Request { action, place: self.place(path), source }
    }

    /// Returns the size of an object; none if it is not there.
    fn size(&self, path: &Path) -> Result<Option<u64>, RemoteError> {
        match self.runtime.block_on(self.store.head(path)) {
            Ok(facts) => Ok(Some(facts.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("look for", path, source)),
        }
    }

    /// Returns a small object whole.
    fn get(&self, path: &Path) -> Result<Vec<u8>, object_store::Error> {
        self.runtime.block_on(async { Ok(self.store.get(path).await?.bytes().await?.to_vec()) })
    }

    fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), RemoteError> {
        let put = self.runtime.block_on(self.store.put(path, bytes.into()));
        put.map(drop).map_err(|source| self.failed("write", path, source))
    }
}

/// Makes the client for an address; the error says what is wrong with the address or the options.
fn connect(
    url: &str,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    // Fails only if another one is in use already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let parsed = url::Url::parse(url).map_err(|error| error.to_string())?;
    let (scheme, prefix) = ObjectStoreScheme::parse(&parsed).map_err(|error| error.to_string())?;
    let retry = RetryConfig { backoff: BackoffConfig::default(), max_retries: RETRIES, retry_timeout: RETRY_FOR };
    let client = ClientOptions::new().with_connect_timeout(CONNECT).with_timeout(REQUEST);
    let options: Vec<(String, String)> =
        options.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    /// Each builder has keys of a type of its own.
    macro_rules! build {
        ($builder:ty) => {{
            let builder = <$builder>::new().with_url(url).with_client_options(client).with_retry(retry);
            let builder = options.into_iter().fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
            Arc::new(builder.build().map_err(|error| error.to_string())?) as Arc<dyn ObjectStore>
        }};
    }
    let store = match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new().with_fsync(true)) as Arc<dyn ObjectStore>,
        ObjectStoreScheme::AmazonS3 => build!(AmazonS3Builder),
        ObjectStoreScheme::GoogleCloudStorage => build!(GoogleCloudStorageBuilder),
        ObjectStoreScheme::MicrosoftAzure => build!(MicrosoftAzureBuilder),
        _ => return Err("there is no client for such an address".to_owned()),
    };
    Ok((store, prefix))
}
