use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_fs::TempDir;

use crate::error::CommandError;

/// What the name of the description adds to that of the file.
const DESCRIPTION: &str = ".preprocessing.json";
/// The name of the file while it is written; one name, since a TorchScript file contains its own.
const ASIDE: &str = "network";

/// A file on its way to its place, with a description beside it: both are written aside, and renamed when they are whole.
pub struct Delivery {
    target: PathBuf,
    folder: TempDir,
}

impl Delivery {
    /// Begins a delivery; nothing stands at the target before its end.
    ///
    /// # Errors
    /// A target whose folder is not there or cannot be written.
    pub fn to(target: &Path) -> Result<Self, CommandError> {
        let folder = target.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() {
            return Err(CommandError::usage(format!(
                "cannot write {}: there is no folder {}",
                target.display(),
                folder.display()
            ))
            .with_hint("make the folder first"));
        }
        let aside = tfnas_fs::new_folder_in(folder, ".export-");
        let folder = aside.map_err(|error| cannot_write(target, &error))?;
        Ok(Self { target: target.to_owned(), folder })
    }

    /// Where the file is to be written.
    pub fn aside(&self) -> PathBuf {
        self.folder.path().join(ASIDE)
    }

    /// A place for a file that nobody keeps.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The last part of the target's name.
    pub fn file_name(&self) -> String {
        self.target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write(&self, bytes: &[u8]) -> Result<(), CommandError> {
        self.write_at(&self.aside(), bytes)
    }

    /// Writes a file that nobody keeps.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write_at(&self, path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
        tfnas_fs::write_synced(path, bytes).map_err(|error| cannot_write(&self.target, &error))
    }

    /// Puts the description and, last, the file in their places; returns both, the file first.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(self, description: &Value) -> Result<(PathBuf, PathBuf), CommandError> {
        let text = serde_json::to_string_pretty(description).expect("a description has text keys and finite numbers");
        let aside = self.scratch("description");
        self.write_at(&aside, format!("{text}\n").as_bytes())?;
        let mut beside = self.target.clone().into_os_string();
        beside.push(DESCRIPTION);
        let beside = PathBuf::from(beside);
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|error| cannot_write(to, &error));
        rename(&aside, &beside)?;
        rename(&self.aside(), &self.target)?;
        Ok((self.target, beside))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()))
}
