//! A content-addressed store of artifacts and a ledger of how each of them was made.
//!
//! A [`Cache`] is a folder that holds both. The [`Store`] has the bytes, each file named by the BLAKE3 digest of its
//! content. The [`Ledger`], an SQLite database, records which attempt of which action made them, from which inputs,
//! when and with which outcome. The crate does not know what a stage does: an action is a [`KeyManifest`] of named
//! fields, and its digest, the [`ActionKey`], is the cache key.
//!
//! ```
//! use tfnas_artifacts::{Cache, KeyManifest, NewAttempt, NewRun, Outcome, Purpose, Usage, Waiting};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let new_run = NewRun { tool: "example 1.0".into(), ..NewRun::default() };
//! let cache = Cache::open(&folder.path().join("cache"))?;
//! let run = cache.begin_run(&new_run)?;
//!
//! let mut manifest = KeyManifest::new("train", 1);
//! manifest.parameter("epochs", &serde_json::json!(30))?;
//! let key = manifest.key();
//! if cache.find_and_use(&run, &key)?.result.is_none() {
//!     let lock = cache.lock(&key, &mut |_holder| Waiting::GoOn)?.expect("the wait is not given up");
//!     let attempt = NewAttempt {
//!         instance: "train".into(),
//!         manifest,
//!         origins: Default::default(),
//!         environment: serde_json::json!({}),
//!         purpose: Purpose::Run,
//!     };
//!     let mut attempt = cache.begin_attempt(&run, lock, attempt)?;
//!     let file = attempt.output_folder().join("weights");
//!     std::fs::write(&file, b"weights")?;
//!     let metrics = serde_json::json!({ "top1": 0.75 });
//!     cache.commit(&mut attempt, &[("weights".into(), file)], metrics, Usage::default())?;
//! }
//! cache.end_run(run, Outcome::Done)?;
//!
//! let result = cache.find(&key)?.result.expect("it was committed");
//! assert_eq!(std::fs::read(cache.open_verified(&result.outputs[0].digest)?)?, b"weights");
//! # Ok(())
//! # }
//! ```
//!
//! # Layout of a cache
//!
//! ```text
//! FORMAT               the version of this layout
//! ledger.sqlite3       the ledger; it can be rebuilt from manifests/ and objects/
//! ledger.path          the path of the ledger, if it is outside the folder
//! objects/<2>/<62>     artifacts, read-only, named by digest
//! manifests/<key>/     one JSON record per finished attempt, <attempt>.json, its pin, <attempt>.pin, and the signatures
//!                      that it was pulled with, <attempt>.<fingerprint>.sig
//! logs/<attempt>.log   the log of an attempt's worker, its job, <attempt>.job.json, and with `run --profile` the trace of
//!                      its operations, <attempt>.trace.json
//! attempts/<attempt>/  the outputs of a running worker
//! detached/<attempt>/  the job and the messages of a worker that outlives its planner, until the attempt ends
//! events/<run>.jsonl   the events of a run, appended while it runs; `gc` keeps it, and no result depends on it
//! reports/<run>.html   the report of a run, written by `run all`; `gc` keeps it
//! resume/<key>/        the resume point of a long stage, until its key has a result
//! folders/             remembered digests of image folders, so that unchanged files are not read again
//! programs/            remembered digests of the programs and libraries that did the work
//! remotes/             remembered digests of objects on remotes, and in refused/<key> the results of remotes that have
//!                      no signature by a trusted key
//! tmp/  quarantine/    incomplete files; damaged objects
//! locks/               files for kernel locks; the existence of a file means nothing
//! ```
//!
//! # Crash safety
//!
//! Bytes are synced under a temporary name and renamed before a manifest names them. The manifest is synced before the
//! ledger references it. The ledger records an attempt with all its outputs in one transaction. A crash at any point
//! therefore loses at most the attempt in progress.

mod atomic_write;
mod attempt_file;
mod attempt_lifecycle;
mod cache;
mod detached;
mod digest;
mod file_error;
mod file_stat;
mod file_system;
mod folder;
mod format;
mod gc;
mod key;
mod ledger;
mod ledger_path;
mod lock;
mod rebuild;
mod record;
mod remote;
mod run_name;
mod scalar;
mod store;
mod trust;
mod verify;

pub use attempt_file::AttemptFileError;
pub use attempt_lifecycle::{OpenAttempt, OpenRun};
pub use cache::{Cache, CacheError, Hit};
pub use digest::{Digest, ParseDigestError};
pub use file_error::FileError;
pub use folder::{
    FolderCheck, FolderError, FolderManifest, FolderRules, InputIdentity, ManifestEntry, ParseManifestError,
    check_folders, identify_file, identify_folder, identify_list,
};
pub use format::FormatError;
pub use gc::{Removal, RemovedAttempt, Retention};
pub use key::{ActionKey, Field, FieldChange, KeyError, KeyManifest};
pub use ledger::{Found, Ledger, LedgerError, Lineage, RunFilter, RunSummary, Totals};
pub use ledger_path::LedgerPathError;
pub use lock::{Holder, KeyLock, Waiting};
pub use rebuild::Rebuilt;
pub use record::{
    Attempt, AttemptId, Failure, Input, NewAttempt, NewRun, Outcome, Output, ParseAttemptError, Purpose, Run, RunId,
    Usage,
};
pub use remote::{Pulled, Pushed, Pusher, Remote, RemoteError, Wanted};
pub use run_name::{RunName, RunNameError, RunNote, RunNoteError};
pub use scalar::{Scalar, ScalarError};
pub use store::{ObjectError, Store};
pub use trust::{Trust, TrustError, Untrusted};
pub use verify::Verification;
