use std::io;
use std::path::Path;

use crate::Record;

/// Reads new events from a growing event file.
#[derive(Debug)]
pub struct Tail(tfnas_fs::Tail);

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
        Self(tfnas_fs::Tail::new(path))
    }

    /// Returns the next complete lines, at most a block of them. The result is empty if there are none.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        loop {
            let read = self.0.read()?;
            let lines: Vec<Line> = read.iter().filter_map(|line| parsed(&line.bytes)).collect();
            if !lines.is_empty() || read.is_empty() {
                return Ok(lines);
            }
        }
    }
}

/// Returns `None` for an empty line.
fn parsed(bytes: &[u8]) -> Option<Line> {
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

    use std::fs;

    use super::*;
    use crate::Event;

    #[test]
    fn events_are_parsed_and_other_lines_kept_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let mut tail = Tail::new(&path);
        fs::write(&path, "\n{\"time_ms\":1,\"event\":\"interrupted\"}\nnoise\n\n{\"time_ms\":2,").unwrap();
        let lines = tail.read().unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].record.as_ref().unwrap().event, Event::Interrupted);
        assert_eq!((lines[1].text.as_str(), &lines[1].record), ("noise", &None));
        assert!(tail.read().unwrap().is_empty(), "half a line is none");
        assert_eq!(read(&path).unwrap().len(), 1);
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
