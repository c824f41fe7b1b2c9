use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use tfnas_stages::Event;

/// Maximum number of bytes to read at once: a file may have grown for days.
const BLOCK_BYTES: u64 = 1 << 20;

/// Reads new lines from a growing file of events.
pub struct Tail {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line that is not complete yet.
    half: Vec<u8>,
    /// Events that begin before this offset have been reported by an earlier planner.
    reported_until: u64,
}

/// A complete line.
pub struct Line {
    /// `None` if the line is not an event, because the worker died while writing it.
    pub event: Option<Event>,
    /// Whether an earlier planner has reported the event.
    pub reported: bool,
}

impl Tail {
    /// Creates a reader of a file, which need not exist yet. If `old` is set, an earlier planner has reported the
    /// events that the file contains now.
    pub fn new(path: PathBuf, old: bool) -> Self {
        let length = std::fs::metadata(&path).map_or(0, |facts| facts.len());
        Self { path, offset: 0, half: Vec::new(), reported_until: if old { length } else { 0 } }
    }

    /// Returns the next new lines, at most a block of them. The result is empty if there are none.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        // The file is reopened each time because network file systems check for changes of other machines on open.
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = std::mem::take(&mut self.half);
        let begin = self.offset - bytes.len() as u64;
        let old = bytes.len();
        file.take(BLOCK_BYTES).read_to_end(&mut bytes)?;
        self.offset += (bytes.len() - old) as u64;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.half = bytes.split_off(complete);
        if self.half.len() as u64 > BLOCK_BYTES {
            // No event is this long.
            self.half.clear();
        }
        let mut lines = Vec::new();
        let mut at = begin;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let event = serde_json::from_slice(line).ok();
            lines.push(Line { event, reported: at < self.reported_until });
            at += line.len() as u64;
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn only_complete_lines_are_parsed_and_reported_ones_are_marked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        assert!(Tail::new(path.clone(), true).read().unwrap().is_empty());
        fs::write(&path, "{\"event\":\"resumed\",\"at\":\"a\"}\nnoise\n").unwrap();
        let mut tail = Tail::new(path.clone(), true);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"event\":\"resumed\"").unwrap();
        let lines = tail.read().unwrap();
        assert_eq!(
            lines.iter().map(|line| (line.event.is_some(), line.reported)).collect::<Vec<_>>(),
            [(true, true), (false, true)]
        );
        assert!(tail.read().unwrap().is_empty(), "an incomplete line is not parsed");
        file.write_all(b",\"at\":\"b\"}\n").unwrap();
        let lines = tail.read().unwrap();
        assert!(matches!(&lines[0], Line { event: Some(Event::Resumed { at }), reported: false } if at == "b"));
    }
}
