use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tfnas_stages::{Event, Level, Metrics, PROTOCOL_VERSION};

use crate::check::{NAMED_IN_WARNINGS, first};

/// Shortest time between two progress events: a terminal shows no more.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// The same where events are kept in a file, each synced to a disk that others use too.
const PROGRESS_TO_FILE_EVERY: Duration = Duration::from_secs(2);

/// Tells the planner what happens: one event a line, on standard output or in a file.
#[derive(Clone)]
pub struct Reporter {
    last_progress: Option<Instant>,
    /// The file, where it is not standard output.
    file: Option<Arc<File>>,
    says_failures_alone: bool,
}

impl Reporter {
    /// A reporter that has said nothing yet.
    pub fn new() -> Self {
        Self { last_progress: None, file: None, says_failures_alone: false }
    }

    /// A reporter of a rank above 0: the planner hears the stage from rank 0, and from the others why they fail.
    pub fn of_failures() -> Self {
        Self { says_failures_alone: true, ..Self::new() }
    }

    /// A reporter that appends to a file, as whole lines, each on disk before the next.
    ///
    /// # Errors
    /// Those of opening it.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        // An earlier turn may have died in the middle of a line.
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
        Ok(Self { file: Some(Arc::new(file)), ..Self::new() })
    }

    /// The first event.
    pub fn hello(&mut self, environment: BTreeMap<String, String>) {
        self.send(&Event::Hello { protocol: PROTOCOL_VERSION, version: crate::VERSION.to_owned(), environment });
    }

    /// How far the work is; said at most ten times a second.
    pub fn progress(&mut self, phase: &str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        if done < total && self.last_progress.is_some_and(|last| now - last < self.progress_every()) {
            return;
        }
        self.last_progress = Some(now);
        self.send(&Event::Progress { phase: phase.to_owned(), done, total, unit: unit.to_owned() });
    }

    /// One number over time.
    pub fn metric(&mut self, name: &str, step: u64, value: f64) {
        // JSON has no other numbers, and a diverging loss must not end the report.
        if value.is_finite() {
            self.send(&Event::Metric { name: name.to_owned(), step, value });
        }
    }

    /// A line for people.
    pub fn info(&mut self, message: impl Into<String>) {
        self.send(&Event::Log { level: Level::Info, message: message.into() });
    }

    /// A line on something that may surprise.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.send(&Event::Log { level: Level::Warn, message: message.into() });
    }

    /// The stage goes on from a resume point.
    pub fn resumed(&mut self, at: impl Into<String>) {
        self.send(&Event::Resumed { at: at.into() });
    }

    /// The outputs are complete.
    pub fn done(&mut self, metrics: Metrics) {
        self.send(&Event::Done { metrics });
    }

    /// Several images were left out of each epoch, among them these.
    pub fn skipped(&mut self, images: usize, names: &[&str]) {
        if images > 0 {
            let names = self.named(names);
            self.warn(format!("{images} images could not be read and were left out of every epoch{names}"));
        }
    }

    /// The first of the images that were left out, for a message; the log gets all.
    pub fn named(&self, names: &[&str]) -> String {
        if names.is_empty() || self.says_failures_alone {
            return String::new();
        }
        for name in names {
            eprintln!("left out: {name:?}");
        }
        let all = if names.len() > NAMED_IN_WARNINGS { " (its log names all)" } else { "" };
        format!(": {}{all}", first(names))
    }

    /// The stage cannot be done; `peer` as in [`Event::Failed`].
    pub fn failed(&mut self, message: String, hint: Option<String>, peer: bool) {
        self.send(&Event::Failed { message, hint, peer });
    }

    fn progress_every(&self) -> Duration {
        if self.file.is_some() { PROGRESS_TO_FILE_EVERY } else { PROGRESS_EVERY }
    }

    /// Writes one event. A planner that no longer reads is gone, which [`Stop`](crate::stop::StopFlag) notices by
    /// itself; what a full disk keeps from the file is not what the stage's end is told by.
    fn send(&self, event: &Event) {
        if self.says_failures_alone && !matches!(event, Event::Failed { .. }) {
            return;
        }
        let mut line = serde_json::to_vec(event).expect("events are plain structs of strings and finite numbers");
        line.push(b'\n');
        let _ = match &self.file {
            Some(file) => (&**file).write_all(&line).and_then(|()| file.sync_data()),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(&line).and_then(|()| out.flush())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn events_in_a_file_are_whole_lines_even_after_a_turn_that_died_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, "{\"event\":\"done\",\"metrics\":{}}\n{\"event\":\"met").unwrap();
        let mut reporter = Reporter::to_file(&path).unwrap();
        reporter.resumed("epoch 2");
        drop(reporter);
        Reporter::to_file(&path).unwrap().info("on");
        let text = std::fs::read_to_string(&path).unwrap();
        let read: Vec<_> = text.lines().map(serde_json::from_str::<Event>).collect();
        assert!(read.len() == 4 && read[1].is_err(), "{text}");
        assert!(matches!(read[2], Ok(Event::Resumed { .. })) && matches!(read[3], Ok(Event::Log { .. })));
    }
}
