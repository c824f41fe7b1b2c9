use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tfnas_planner::machine::build;

use super::exit_status;
use super::process::{ALLOCATOR, CUBLAS, waiting};

/// Why the worker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// It did not start.
    #[error("cannot start {}: {source}", path.display())]
    Start {
        /// The worker.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It said that it cannot, or died: its own words, where it left any.
    #[error("{0}")]
    Refused(String),
}

/// Asks the worker, which has libtorch, for something that is no stage, and returns what it wrote on standard output.
///
/// * `verb`: what it shall do; the version of this program and `arguments` follow it.
///
/// # Errors
/// [`QueryError`].
pub fn query_worker(worker: &Path, verb: &str, arguments: &[OsString]) -> Result<Vec<u8>, QueryError> {
    let ended = Command::new(worker)
        .args([verb, build::VERSION])
        .args(arguments)
        .envs(ALLOCATOR)
        .envs([CUBLAS])
        .envs(waiting())
        .stdin(Stdio::null())
        .output()
        .map_err(|source| QueryError::Start { path: worker.to_owned(), source })?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said = said.trim();
    Err(QueryError::Refused(match ended.status.code() {
        Some(_) if !said.is_empty() => said.to_owned(),
        _ => format!("{}\n{said}", exit_status::describe(ended.status, false, None)).trim().to_owned(),
    }))
}
