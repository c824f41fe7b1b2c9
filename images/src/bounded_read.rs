//! Reading of image files with a size limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Reads a complete file into `content`, whose memory is reused between files.
///
/// # Errors
/// Returns an error if the file cannot be read, is larger than `limit` bytes, or is not a regular file (opening a pipe
/// would block, and a device never ends).
pub(crate) fn read_bounded(path: &Path, limit: u64, content: &mut Vec<u8>) -> io::Result<()> {
    content.clear();
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    content.reserve(metadata.len() as usize + 1);
    File::open(path)?.take(limit + 1).read_to_end(content)?;
    // The file may have grown since its size was read.
    if content.len() as u64 > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

fn too_large(limit: u64) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 10]).unwrap();
        let mut content = vec![1, 2, 3];
        read_bounded(&path, 10, &mut content).unwrap();
        assert_eq!(content, [7; 10]);
        assert!(read_bounded(&path, 9, &mut content).unwrap_err().to_string().contains("larger than 9 bytes"));
        let error = read_bounded(folder.path(), 10, &mut content).unwrap_err();
        assert!(error.to_string().contains("not a regular file"));
        let error = read_bounded(&folder.path().join("none"), 10, &mut content).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
