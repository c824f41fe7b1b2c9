use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tfnas_planner::machine::build;

use super::exit_status;
use super::process::{VARIABLES, waiting};

/// Why a query to the worker failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The worker could not be started.
    #[error("cannot start {}: {source}", path.display())]
    Start {
        /// Path of the worker.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The worker refused or crashed. Contains its error message if it wrote one.
    #[error("{0}")]
    Refused(String),
}

/// Runs the worker, which links libtorch, for a query that is not a stage, and returns its standard output.
///
/// * `verb`: the query. The version of this program and `arguments` are passed after it.
///
/// # Errors
/// Returns [`QueryError`] if the worker cannot be started or fails.
pub fn query_worker(worker: &Path, verb: &str, arguments: &[OsString]) -> Result<Vec<u8>, QueryError> {
    let ended = Command::new(worker)
        .args([verb, build::VERSION])
        .args(arguments)
        .envs(VARIABLES)
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
