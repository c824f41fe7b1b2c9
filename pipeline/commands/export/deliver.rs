use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_artifacts::Digest;
use tfnas_fs::TempDir;

use crate::error::CommandError;
use crate::target_folder;

/// Suffix of the description's file name.
const DESCRIPTION: &str = ".preprocessing.json";
/// File name while the file is being written. It is constant because a TorchScript file contains its own name.
const ASIDE: &str = "network";

/// Writes a file, its weights if they are a file of their own, and its description to a temporary folder, and renames them when
/// all are complete.
pub struct Delivery {
    target: PathBuf,
    folder: TempDir,
    weights: Option<WeightsFile>,
}

/// The weights that a file reads, in the same folder.
pub struct WeightsFile {
    pub name: String,
    pub digest: Digest,
}

impl Delivery {
    /// Creates a temporary folder next to the target.
    pub fn to(target: &Path) -> Result<Self, CommandError> {
        target_folder::check(target)?;
        if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
            return Err(CommandError::usage(format!("cannot write {}: it is not a regular file", target.display()))
                .with_hint("name a file: the description of the images is written next to it"));
        }
        let folder = target.parent().unwrap_or(Path::new("/"));
        let aside = tfnas_fs::new_folder_in(folder, ".export-");
        let folder = aside.map_err(|error| cannot_write(target, &error))?;
        Ok(Self { target: target.to_owned(), folder, weights: None })
    }

    /// Returns the path to which the file must be written.
    pub fn aside(&self) -> PathBuf {
        self.folder.path().join(ASIDE)
    }

    /// Returns the path of a temporary file.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the file name of the target.
    pub fn file_name(&self) -> String {
        self.target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub fn write(&self, bytes: &[u8]) -> Result<(), CommandError> {
        self.write_at(&self.aside(), bytes)
    }

    /// Writes a temporary file.
    pub fn write_at(&self, path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
        tfnas_fs::write_synced(path, bytes).map_err(|error| cannot_write(&self.target, &error))
    }

    /// Writes the weights next to the file, under this name. Does not overwrite other weights unless their file is
    /// overwritten too.
    pub fn write_weights(&mut self, name: String, bytes: &[u8]) -> Result<(), CommandError> {
        let target = self.target.with_file_name(&name);
        let digest = Digest::of_bytes(bytes);
        if target.exists() && !self.target.exists() && Digest::of_file(&target)?.0 != digest {
            let message = format!("cannot write {}: the file exists and has other weights", target.display());
            return Err(CommandError::usage(message).with_hint("export into another folder, or move the file"));
        }
        self.write_at(&self.scratch(&name), bytes)?;
        self.weights = Some(WeightsFile { name, digest });
        Ok(())
    }

    /// Returns the weights that are a file of their own.
    pub fn weights(&self) -> Option<&WeightsFile> {
        self.weights.as_ref()
    }

    /// Renames the weights, the description and then the file to their final paths, and returns the paths, the file first.
    pub fn finish(self, description: &Value) -> Result<(PathBuf, PathBuf), CommandError> {
        let text = serde_json::to_string_pretty(description).expect("a description has text keys and finite numbers");
        let aside = self.scratch("description");
        self.write_at(&aside, format!("{text}\n").as_bytes())?;
        let mut description_path = self.target.clone().into_os_string();
        description_path.push(DESCRIPTION);
        let description_path = PathBuf::from(description_path);
        let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|error| cannot_write(to, &error));
        if let Some(WeightsFile { name, .. }) = &self.weights {
            rename(&self.scratch(name), &self.target.with_file_name(name))?;
        }
        rename(&aside, &description_path)?;
        rename(&self.aside(), &self.target)?;
        Ok((self.target, description_path))
    }
}

pub fn cannot_write(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", path.display()))
}
