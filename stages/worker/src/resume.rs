use std::fs;
use std::path::{Path, PathBuf};

use crate::error::StageError;

/// Ending of a resume point's file.
const ENDING: &str = "resume";

/// Resume points of one stage: at any instant the folder holds at least the last complete one.
///
/// A point is one file, `{position}-{digest}.resume`, where the position grows with the work done and the digest is
/// the BLAKE3 of the content. It is written aside, synced, renamed, and only then are earlier ones removed; a file
/// whose content is not what its name says (a disk that lost power) is passed over for an earlier one.
pub struct CheckpointDir {
    folder: PathBuf,
}

impl CheckpointDir {
    /// The resume points in this folder.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Returns the content of the furthest complete resume point, where there is one.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read.
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

    /// Makes a resume point, and removes those before it.
    ///
    /// # Errors
    /// If it cannot be written; the earlier ones are then still there.
    pub fn save(&self, position: u64, bytes: &[u8]) -> Result<(), StageError> {
        let digest = blake3::hash(bytes).to_hex();
        let path = self.folder.join(format!("{position:020}-{digest}.{ENDING}"));
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
        paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_furthest_complete_point_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let resume = CheckpointDir::new(folder.path());
        assert_eq!(resume.latest().unwrap(), None);
        resume.save(9, b"nine").unwrap();
        resume.save(10, b"ten").unwrap();
        assert_eq!(resume.latest().unwrap().as_deref(), Some(b"ten".as_slice()));
        assert_eq!(resume.points().unwrap().len(), 1, "the earlier point is gone");
    }

    #[test]
    fn a_point_whose_bytes_are_not_those_of_its_name_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let resume = CheckpointDir::new(folder.path());
        resume.save(1, b"whole").unwrap();
        let digest = blake3::hash(b"torn and more").to_hex();
        fs::write(folder.path().join(format!("{:020}-{digest}.resume", 2)), b"torn").unwrap();
        assert_eq!(resume.latest().unwrap().as_deref(), Some(b"whole".as_slice()));
    }
}
