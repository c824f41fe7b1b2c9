use std::path::{Path, PathBuf};

const NAME: &str = "tfnas-stage";

/// The worker program was not found.
#[derive(Debug, thiserror::Error)]
#[error("the worker {} does not exist", path.display())]
pub struct ProgramError {
    /// The path that was tried.
    pub path: PathBuf,
}

impl ProgramError {
    /// How to fix the error.
    pub const HINT: &str = "build all programs (`cargo build`), or set the path of the worker with --worker";
}

/// Returns the path of the worker program: `named` if given, else `tfnas-stage` in the folder of this program.
///
/// # Errors
/// Returns [`ProgramError`] if the file does not exist.
pub fn worker_program(named: Option<&Path>) -> Result<PathBuf, ProgramError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(NAME))).unwrap_or(NAME.into()),
    };
    if path.is_file() { Ok(path) } else { Err(ProgramError { path }) }
}
