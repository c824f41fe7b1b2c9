use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tfnas_planner::machine::build;
use tfnas_stages::Request;

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

/// Lets a worker, which links libtorch, answer a request that is not part of a run. Returns its standard output.
///
/// # Errors
/// Returns [`QueryError`] if the worker cannot be started or fails.
pub fn query_worker(worker: &Path, request: &Request) -> Result<Vec<u8>, QueryError> {
    let start = |source| QueryError::Start { path: worker.to_owned(), source };
    let text = serde_json::to_vec(request).map_err(|error| QueryError::Refused(error.to_string()))?;
    let mut process = Command::new(worker)
        .args(["answer", build::VERSION])
        .envs(VARIABLES)
        .envs(waiting())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = process.stdin.take() {
        // A worker that exits before it has read the request reports the reason.
        let _ = stdin.write_all(&text);
    }
    let ended = process.wait_with_output().map_err(start)?;
    if ended.status.success() {
        return Ok(ended.stdout);
    }
    let stderr = String::from_utf8_lossy(&ended.stderr);
    let stderr = stderr.trim();
    Err(QueryError::Refused(match ended.status.code() {
        Some(_) if !stderr.is_empty() => stderr.to_owned(),
        _ => format!("{}\n{stderr}", exit_status::describe(ended.status, false, None)).trim().to_owned(),
    }))
}
