use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Maximum number of bytes to read at once: a file may have grown for days.
const BLOCK_BYTES: u64 = 1 << 20;
/// Maximum length of a line, so that a file without line breaks does not fill the memory.
const MAX_LINE_BYTES: usize = 16 << 20;

/// Reads the new lines of a growing file.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Bytes read so far.
    offset: u64,
    /// The beginning of a line that is not complete yet.
    half: Vec<u8>,
}

/// A complete line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Position of the line in the file, in bytes.
    pub offset: u64,
    /// The line without its line break.
    pub bytes: Vec<u8>,
}

impl Tail {
    /// Creates a reader that starts at the beginning of a file, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, half: Vec::new() }
    }

    /// Returns the next complete lines, at most a block of them. The result is empty if there are none.
    ///
    /// Of a line longer than 16 MiB, only the end is returned.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        loop {
            // The file is reopened each time because network file systems check for changes of other machines on open.
            let mut file = match File::open(&self.path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            };
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = std::mem::take(&mut self.half);
            let mut offset = self.offset - bytes.len() as u64;
            let old = bytes.len();
            let read = file.take(BLOCK_BYTES).read_to_end(&mut bytes);
            self.offset += (bytes.len() - old) as u64;
            let grown = bytes.len() > old;
            let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.half = bytes.split_off(complete);
            if self.half.len() > MAX_LINE_BYTES {
                self.half.clear();
            }
            read?;
            let lines: Vec<Line> = bytes
                .split_inclusive(|byte| *byte == b'\n')
                .map(|bytes| {
                    let line = Line { offset, bytes: bytes[..bytes.len() - 1].to_vec() };
                    offset += bytes.len() as u64;
                    line
                })
                .collect();
            // A block without a complete line is the middle of a long one.
            if !lines.is_empty() || !grown {
                return Ok(lines);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;

    fn line(offset: u64, text: &str) -> Line {
        Line { offset, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn lines_are_returned_once_and_when_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.read().unwrap(), [], "the file does not exist yet");
        fs::write(&path, "one\n\nhalf").unwrap();
        assert_eq!(tail.read().unwrap(), [line(0, "one"), line(4, "")]);
        assert_eq!(tail.read().unwrap(), []);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and rest\nnext\n").unwrap();
        assert_eq!(tail.read().unwrap(), [line(5, "half and rest"), line(19, "next")]);
        assert_eq!(tail.read().unwrap(), []);
    }

    #[test]
    fn lines_longer_than_a_block_and_many_blocks_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let long = "x".repeat(3 << 20);
        fs::write(&path, format!("{long}\n{}", "short\n".repeat(400_000))).unwrap();
        let mut tail = Tail::new(&path);
        let mut lines = Vec::new();
        loop {
            let read = tail.read().unwrap();
            if read.is_empty() {
                break;
            }
            lines.extend(read);
        }
        assert_eq!(lines.len(), 400_001);
        assert_eq!(lines[0], line(0, &long));
        assert_eq!(lines[400_000], line((3 << 20) + 1 + 6 * 399_999, "short"));
    }

    #[test]
    fn an_endless_line_is_not_kept_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let endless = MAX_LINE_BYTES + (5 << 19);
        fs::write(&path, format!("{}\nshort\n", "x".repeat(endless))).unwrap();
        let lines = Tail::new(&path).read().unwrap();
        assert!(lines[0].bytes.len() < 4 << 20, "{} bytes", lines[0].bytes.len());
        assert_eq!(lines[0].offset as usize + lines[0].bytes.len(), endless);
        assert_eq!(lines[1], line(endless as u64 + 1, "short"));
    }

    #[test]
    fn a_folder_in_place_of_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Tail::new(folder.path()).read().is_err());
    }
}
