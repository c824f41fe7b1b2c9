//! Reads files from users with a size limit, so that an endless or wrong file causes an error instead of filling the
//! memory.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Reads a file of at most `max_bytes` bytes.
///
/// # Errors
/// Returns an error if the file cannot be read, and [`ErrorKind::FileTooLarge`] if it is larger.
pub fn read_limited(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Reads a UTF-8 text of at most `max_bytes` bytes.
///
/// # Errors
/// Returns the errors of [`read_limited`], and [`ErrorKind::InvalidData`] with the line if the bytes are not UTF-8.
pub fn read_text_limited(path: &Path, max_bytes: u64) -> io::Result<String> {
    String::from_utf8(read_limited(path, max_bytes)?).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(ErrorKind::InvalidData, format!("line {line} is not UTF-8 text"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_are_read_up_to_a_limit_and_text_must_be_utf_8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"abc\xFF").unwrap();
        assert_eq!(read_limited(&path, 4).unwrap(), b"abc\xFF");
        assert_eq!(read_limited(&path, 3).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read_text_limited(&path, 4).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read_text_limited(Path::new("/dev/zero"), 1 << 10).unwrap_err().kind(), ErrorKind::FileTooLarge);
    }
}
