use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Record;

/// Maximum number of bytes to read at once.
const BLOCK_BYTES: u64 = 1 << 20;

/// Reads new lines from a growing event file.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line that is not complete yet.
    half: Vec<u8>,
}

/// A complete line.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The line as it is in the file, without the line break.
    pub text: String,
    /// `None` if the line is not an event.
    pub record: Option<Record>,
}

impl Tail {
    /// Creates a reader that starts at the beginning of a file, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), offset: 0, half: Vec::new() }
    }

    /// Returns the next complete lines, at most a block of them. The result is empty if there are none.
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
            let old = bytes.len();
            let read = file.take(BLOCK_BYTES).read_to_end(&mut bytes);
            self.offset += (bytes.len() - old) as u64;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let grown = bytes.len() > old;
            self.half = bytes.split_off(whole);
            read?;
            let lines: Vec<Line> = bytes.split(|byte| *byte == b'\n').filter_map(line).collect();
            // A block without a complete line is the middle of a long one.
            if !lines.is_empty() || !grown {
                return Ok(lines);
            }
        }
    }
}

fn line(bytes: &[u8]) -> Option<Line> {
    let text = String::from_utf8_lossy(bytes).trim().to_owned();
    let record = serde_json::from_str(&text).ok();
    (!text.is_empty()).then_some(Line { text, record })
}

/// Reads all events of a file. Lines that are not events, as half a line at the end, are skipped. A file that does not
/// exist has none.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Record>> {
    let mut tail = Tail::new(path);
    let mut records = Vec::new();
    loop {
        let lines = tail.read()?;
        if lines.is_empty() {
            return Ok(records);
        }
        records.extend(lines.into_iter().filter_map(|line| line.record));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::{self, OpenOptions};
    use std::io::Write;

    use super::*;
    use crate::Event;

    #[test]
    fn lines_are_returned_when_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let mut tail = Tail::new(&path);
        assert!(tail.read().unwrap().is_empty(), "the file does not exist yet");
        fs::write(&path, "{\"time_ms\":1,\"event\":\"interrupted\"}\nnoise\n\n{\"time_ms\":2,").unwrap();
        let lines = tail.read().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].record.as_ref().unwrap().event, Event::Interrupted);
        assert_eq!((lines[1].text.as_str(), &lines[1].record), ("noise", &None));
        assert!(tail.read().unwrap().is_empty(), "half a line is none");
        assert_eq!(read(&path).unwrap().len(), 1);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\"event\":\"interrupted\"}\n").unwrap();
        assert_eq!(tail.read().unwrap()[0].record.as_ref().unwrap().time_ms, 2);
    }

    #[test]
    fn long_lines_and_large_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let message = "x".repeat(3 << 20);
        let long = format!("{{\"time_ms\":1,\"event\":\"failed\",\"message\":\"{message}\",\"id\":\"a\"}}\n");
        fs::write(&path, long + &"{\"time_ms\":2,\"event\":\"interrupted\"}\n".repeat(50_000)).unwrap();
        let records = read(&path).unwrap();
        assert_eq!(records.len(), 50_001);
        assert!(matches!(&records[0].event, Event::Failed { message } if message.len() == 3 << 20));
    }
}
