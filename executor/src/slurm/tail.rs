use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use tfnas_stages::Event;

/// The most that is read at a time: a file may have grown for days.
const BLOCK_BYTES: u64 = 1 << 20;

/// The end of a file of events that grows.
pub struct Tail {
    path: PathBuf,
    offset: u64,
    /// The beginning of a line whose end is not there yet.
    half: Vec<u8>,
    /// Events that begin before this place are not reported: an earlier planner has reported them.
    reported_until: u64,
}

/// A whole line.
pub struct Line {
    /// What it says; none for a line that a worker died in.
    pub event: Option<Event>,
    /// Whether an earlier planner has reported it.
    pub reported: bool,
}

impl Tail {
    /// The events in a file that need not be there yet; with `old`, an earlier planner has reported those in it.
    pub fn new(path: PathBuf, old: bool) -> Self {
        let length = std::fs::metadata(&path).map_or(0, |facts| facts.len());
        Self { path, offset: 0, half: Vec::new(), reported_until: if old { length } else { 0 } }
    }

    /// Returns the lines that have come since, in order: at most a block of them. None has come when it is empty.
    ///
    /// # Errors
    /// Those of reading.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        // Opened anew each time: that is when a network file system asks what others have written.
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
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.half = bytes.split_off(whole);
        if self.half.len() as u64 > BLOCK_BYTES {
            // No event is so long.
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
    fn only_whole_lines_are_events_and_old_ones_are_marked() {
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
        assert!(tail.read().unwrap().is_empty(), "half a line is none");
        file.write_all(b",\"at\":\"b\"}\n").unwrap();
        let lines = tail.read().unwrap();
        assert!(matches!(&lines[0], Line { event: Some(Event::Resumed { at }), reported: false } if at == "b"));
    }
}
