use std::path::{Path, PathBuf};

/// The worker's file name.
const NAME: &str = "tfnas-stage";

/// A worker that is not there.
#[derive(Debug, thiserror::Error)]
#[error("the worker {} is not there", path.display())]
pub struct ProgramError {
    /// Where it should be.
    pub path: PathBuf,
}

impl ProgramError {
    /// The way out.
    pub const HINT: &str = "build the whole package (`cargo build`), or name the worker with --worker";
}

/// Returns the program that does stages: the one named, or that beside this program.
///
/// # Errors
/// [`ProgramError`] when it is not there.
pub fn worker_program(named: Option<&Path>) -> Result<PathBuf, ProgramError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(NAME))).unwrap_or(NAME.into()),
    };
    if path.is_file() { Ok(path) } else { Err(ProgramError { path }) }
}
