//! Files that the user names for output.

use std::path::Path;

use crate::error::CommandError;

/// Checks that the folder of a file exists before the work for the file is done. `target` is an absolute path.
pub fn check(target: &Path) -> Result<(), CommandError> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    if folder.is_dir() {
        return Ok(());
    }
    let message = format!("cannot write {}: there is no folder {}", target.display(), folder.display());
    Err(CommandError::usage(message).with_hint("create the folder first"))
}
