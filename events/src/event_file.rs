use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Appends events to the event file of a run.
///
/// ```
/// use serde_json::json;
/// use tfnas_events::{EventFile, RunProgress, StageState, read};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("events/1.jsonl");
/// let mut file = EventFile::create(&path)?;
/// file.append(None, &json!({ "event": "planned", "run": 1 }))?;
/// file.append(Some("train"), &json!({ "event": "started" }))?;
/// file.append(Some("train"), &json!({ "event": "metric", "name": "val_top1", "step": 0, "value": 0.5 }))?;
///
/// let progress = RunProgress::of(&read(&path)?);
/// assert_eq!(progress.stages[0].state, StageState::Running);
/// assert_eq!(progress.stages[0].series["val_top1"], [(0, 0.5)]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
    /// Whether the last write may have left half a line.
    torn: bool,
}

#[derive(Serialize)]
struct Line<'a, E> {
    time_ms: i64,
    #[serde(flatten)]
    event: &'a E,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl EventFile {
    /// Creates the file, and its folder if necessary. A file of an earlier run with the same number, which the ledger has
    /// lost, is replaced.
    ///
    /// # Errors
    /// Returns an error if the folder or the file cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // A new file instead of a truncated one: another process may still follow the old one.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { path: path.to_owned(), file, torn: false })
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event as one line. After an error, later events can still be appended.
    ///
    /// * `id`: the instance; `None` for an event of the whole run.
    /// * `event`: serializes to an object with the field `event`.
    ///
    /// # Errors
    /// Returns an error if the line cannot be written.
    pub fn append(&mut self, id: Option<&str>, event: &impl Serialize) -> io::Result<()> {
        let mut bytes = if self.torn { vec![b'\n'] } else { Vec::new() };
        serde_json::to_writer(&mut bytes, &Line { time_ms: now_ms(), event, id })?;
        bytes.push(b'\n');
        let written = self.file.write_all(&bytes);
        self.torn = written.is_err();
        written
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::{Tail, read};

    #[test]
    fn a_second_file_of_the_same_run_replaces_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events/1.jsonl");
        EventFile::create(&path).unwrap().append(None, &json!({ "event": "planned", "run": 1 })).unwrap();
        let mut second = EventFile::create(&path).unwrap();
        second.append(Some("a"), &json!({ "event": "cached" })).unwrap();
        second.append(Some("b"), &json!({ "event": "cached" })).unwrap();
        assert_eq!(read(&path).unwrap().len(), 2);
    }

    #[test]
    fn after_a_torn_line_the_next_one_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.jsonl");
        let mut file = EventFile::create(&path).unwrap();
        file.file.write_all(b"{\"time_ms\":1,\"ev").unwrap();
        file.torn = true;
        file.append(Some("a"), &json!({ "event": "interrupted" })).unwrap();
        let lines = Tail::new(&path).read().unwrap();
        assert_eq!(lines.iter().map(|line| line.record.is_some()).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_full_disk_is_an_error_and_no_panic() {
        let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
        let mut file = EventFile { path: PathBuf::new(), file: full, torn: false };
        assert!(file.append(None, &json!({ "event": "planned" })).is_err());
        assert!(file.torn);
    }
}
