use std::io;
use std::path::Path;

use tfnas_stages::Event;

/// Reads new events from a growing file.
pub struct Tail {
    lines: tfnas_fs::Tail,
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
    pub fn new(path: &Path, old: bool) -> Self {
        let length = std::fs::metadata(path).map_or(0, |facts| facts.len());
        Self { lines: tfnas_fs::Tail::new(path), reported_until: if old { length } else { 0 } }
    }

    /// Returns the next new lines, at most a block of them. The result is empty if there are none.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        let lines = self.lines.read()?;
        Ok(lines
            .iter()
            .map(|line| Line {
                event: serde_json::from_slice(&line.bytes).ok(),
                reported: line.offset < self.reported_until,
            })
            .collect())
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
        assert!(Tail::new(&path, true).read().unwrap().is_empty());
        fs::write(&path, "{\"event\":\"resumed\",\"at\":\"a\"}\nnoise\n").unwrap();
        let mut tail = Tail::new(&path, true);
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
