//! Storage of resume points.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StageError;

/// File extension of resume points.
const EXTENSION: &str = "resume";

/// The folder with the resume points of one stage. It contains the last complete resume point at any time.
///
/// A resume point is a file `{position}-{digest}.resume`. The position increases with progress; the digest is the BLAKE3 digest
/// of the content. A resume point is written to a temporary file, synced and renamed; then earlier ones are removed. A file
/// whose content does not match its digest (for example after a power loss) is ignored, and an earlier one is used.
pub struct CheckpointDir {
    folder: PathBuf,
}

impl CheckpointDir {
    /// Opens the folder, which must exist.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Returns the content of the latest complete resume point, or `None` if there is none.
    ///
    /// # Errors
    /// Returns an error if the folder or a file in it cannot be read.
    pub fn latest(&self) -> Result<Option<Vec<u8>>, StageError> {
        let mut points = self.points()?;
        points.sort();
        for path in points.iter().rev() {
            let bytes = fs::read(path).map_err(|error| StageError::file("read", path, &error))?;
            let digest = blake3::hash(&bytes).to_hex();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if stem.ends_with(digest.as_str()) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Writes a resume point and removes earlier ones.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written; earlier resume points are then kept.
    pub fn save(&self, position: u64, bytes: &[u8]) -> Result<(), StageError> {
        let digest = blake3::hash(bytes).to_hex();
        let path = self.folder.join(format!("{position:020}-{digest}.{EXTENSION}"));
        tfnas_fs::write_atomic(&path, bytes)
            .map_err(|error| StageError::file("write the resume point", &path, &error))?;
        for earlier in self.points()?.iter().filter(|earlier| **earlier != path) {
            fs::remove_file(earlier).map_err(|error| StageError::file("remove", earlier, &error))?;
        }
        Ok(())
    }

    fn points(&self) -> Result<Vec<PathBuf>, StageError> {
        let list = || fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
        let mut paths = list().map_err(|error| StageError::file("list", &self.folder, &error))?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_latest_resume_point_is_loaded_and_earlier_ones_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let resume = CheckpointDir::new(folder.path());
        assert_eq!(resume.latest().unwrap(), None);
        resume.save(9, b"nine").unwrap();
        resume.save(10, b"ten").unwrap();
        assert_eq!(resume.latest().unwrap().as_deref(), Some(b"ten".as_slice()));
        assert_eq!(resume.points().unwrap().len(), 1, "the earlier resume point was removed");
    }

    #[test]
    fn a_resume_point_that_does_not_match_its_digest_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let resume = CheckpointDir::new(folder.path());
        resume.save(1, b"whole").unwrap();
        let digest = blake3::hash(b"torn and more").to_hex();
        fs::write(folder.path().join(format!("{:020}-{digest}.resume", 2)), b"torn").unwrap();
        assert_eq!(resume.latest().unwrap().as_deref(), Some(b"whole".as_slice()));
    }
}
