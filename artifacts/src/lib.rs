//! BLAKE3 digests, the content-addressed store and the SQLite ledger.
//!
//! A [`Cache`] is a folder that holds both: the [`Store`] has the bytes, each file named by the digest of what is in
//! it; the [`Ledger`] knows which attempt of which action made them, from what, when and how. Nothing here knows what a
//! stage does.
//!
//! ```text
//! FORMAT               the version of this layout
//! ledger.sqlite3       the ledger; remade from manifests/ and objects/ when it is damaged
//! ledger.path          where the ledger is instead, when it was put elsewhere
//! objects/<2>/<62>     artifacts, read-only, named by digest
//! manifests/<key>/     one readable record per finished attempt, <attempt>.json, its pin, <attempt>.pin, and signatures that
//!                      it was pulled with, <attempt>.<fingerprint>.sig
//! logs/<attempt>.log   what the worker of an attempt wrote
//! attempts/<attempt>/  where a worker leaves its outputs
//! detached/<attempt>/  of an attempt whose worker outlives its planner: its job, and what it says; gone when it has ended
//! reports/<run>.html   the page about a run; written by `run all`, never removed by `gc`
//! resume/<key>/        where a long stage keeps its resume point, until its key has a result
//! folders/             what is remembered of image folders, so that unchanged files are not read again
//! programs/            what is remembered of the programs and libraries that did the work, likewise
//! remotes/             what is remembered of remotes' objects, for the same reason, and refused/<key>: which results of them
//!                      nobody vouches for who is trusted
//! tmp/  quarantine/    bytes on their way in; damaged objects, set aside
//! locks/               files that kernel locks are taken on; their presence means nothing
//! ```
//!
//! Bytes are synced under a temporary name and renamed before a manifest names them, the manifest is synced before the
//! ledger mentions it, and the ledger mentions an attempt with all its outputs in one transaction. So a crash at any
//! instant loses at most the attempt under way.

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
pub use ledger::{Found, Ledger, LedgerError, Lineage, RunSummary, Totals};
pub use ledger_path::LedgerPathError;
pub use lock::{Holder, KeyLock, Waiting};
pub use rebuild::Rebuilt;
pub use record::{
    Attempt, AttemptId, Failure, Input, NewAttempt, NewRun, Outcome, Output, ParseAttemptError, Purpose, Run, RunId,
    Usage,
};
pub use remote::{Pulled, Pushed, Pusher, Remote, RemoteError, Wanted};
pub use scalar::{Scalar, ScalarError};
pub use store::{ObjectError, Store};
pub use trust::{Trust, TrustError, Untrusted};
pub use verify::Verification;
