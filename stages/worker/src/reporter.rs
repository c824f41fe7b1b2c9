//! Reports the events of a stage.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tfnas_stages::{Event, Level, Metrics, PROTOCOL_VERSION, Profile};

use crate::check::{NAMED_IN_WARNINGS, first_paths};
use crate::images::DataLoader;

/// Minimum time between progress events on standard output.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);
/// Minimum time between progress events in a file, where each event is synced to a disk that others use too.
const FILE_PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Reports events to the planner, one per line, on standard output or in a file.
#[derive(Clone)]
pub struct Reporter {
    last_progress: Option<Instant>,
    /// `None` for standard output.
    file: Option<Arc<File>>,
    /// Report no other events than failures.
    failures_only: bool,
}

impl Reporter {
    /// Creates a reporter that writes to standard output.
    pub fn new() -> Self {
        Self { last_progress: None, file: None, failures_only: false }
    }

    /// Creates the reporter of a rank above 0, which reports only failures. Rank 0 reports the other events of the stage.
    pub fn failures_only() -> Self {
        Self { failures_only: true, ..Self::new() }
    }

    /// Creates a reporter that appends to a file and syncs each write to disk.
    ///
    /// # Errors
    /// Returns an error if the file cannot be opened, read or written.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        // An earlier run may have been killed in the middle of a line.
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

    /// Reports the first event. `environment` contains entries for the environment record.
    pub fn hello(&mut self, environment: BTreeMap<String, String>) {
        self.send(&Event::Hello { protocol: PROTOCOL_VERSION, version: crate::VERSION.to_owned(), environment });
    }

    /// Reports progress. Events that follow the previous one too closely are dropped, except the last (`done == total`).
    pub fn progress(&mut self, phase: &str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        if done < total && self.last_progress.is_some_and(|last| now - last < self.progress_interval()) {
            return;
        }
        self.last_progress = Some(now);
        self.send(&Event::Progress { phase: phase.to_owned(), done, total, unit: unit.to_owned() });
    }

    /// Reports one value of a time series.
    pub fn metric(&mut self, name: &str, step: u64, value: f64) {
        self.points([(step, name.to_owned(), value)]);
    }

    /// Reports the metrics of an epoch.
    pub fn metrics(&mut self, step: u64, metrics: &[(impl AsRef<str>, f64)]) {
        self.points(metrics.iter().map(|(name, value)| (step, name.as_ref().to_owned(), *value)));
    }

    /// Reports values of time series, as step, name and value, with a single write.
    pub fn points(&mut self, points: impl IntoIterator<Item = (u64, String, f64)>) {
        // JSON cannot represent other numbers, and a diverging loss must not fail the stage here.
        let finite = points.into_iter().filter(|(.., value)| value.is_finite());
        let events: Vec<Event> = finite.map(|(step, name, value)| Event::Metric { name, step, value }).collect();
        self.send_all(&events);
    }

    /// Logs a message.
    pub fn info(&mut self, message: impl Into<String>) {
        self.send(&Event::Log { level: Level::Info, message: message.into() });
    }

    /// Logs a warning.
    pub fn warn(&mut self, message: impl Into<String>) {
        self.send(&Event::Log { level: Level::Warn, message: message.into() });
    }

    /// Reports that the stage resumed from a resume point.
    pub fn resumed(&mut self, at: impl Into<String>) {
        self.send(&Event::Resumed { at: at.into() });
    }

    /// Logs the share of the stage's time that was spent waiting for images, and returns it as a metric.
    pub fn data_wait(&mut self, loader: &DataLoader) -> (String, f64) {
        let share = loader.waiting_share();
        self.info(format!("{:.1} % of the time was spent waiting for images", 100.0 * share));
        ("data_wait".to_owned(), share)
    }

    /// Reports where the time of the stage went.
    pub fn profile(&mut self, profile: Profile) {
        self.send(&Event::Profile(profile));
    }

    /// Reports that the outputs are complete.
    pub fn done(&mut self, metrics: Metrics) {
        self.send(&Event::Done { metrics });
    }

    /// Warns that images were skipped of every epoch. `names` are their paths as far as this process knows them.
    pub fn warn_skipped(&mut self, images: usize, names: &[&str]) {
        if images > 0 {
            let names = self.describe_skipped(names);
            self.warn(format!("{images} images could not be read and were skipped of every epoch{names}"));
        }
    }

    /// Returns a list of the first images that were skipped, for a message, and writes all of them to the log.
    pub fn describe_skipped(&self, names: &[&str]) -> String {
        if names.is_empty() || self.failures_only {
            return String::new();
        }
        for name in names {
            eprintln!("skipped: {name:?}");
        }
        let all = if names.len() > NAMED_IN_WARNINGS { " (all are in the log)" } else { "" };
        format!(": {}{all}", first_paths(names))
    }

    /// Reports that the stage failed. `peer` is that of [`Event::Failed`].
    pub fn failed(&mut self, message: String, hint: Option<String>, peer: bool) {
        self.send(&Event::Failed { message, hint, peer });
    }

    fn progress_interval(&self) -> Duration {
        if self.file.is_some() { FILE_PROGRESS_INTERVAL } else { PROGRESS_INTERVAL }
    }

    fn send(&self, event: &Event) {
        self.send_all(std::slice::from_ref(event));
    }

    /// Writes events. Write errors are ignored: if the planner is gone, [`StopFlag`](crate::stop::StopFlag) ends the process;
    /// and if the disk is full, the planner reads the result from the worker status instead of the events.
    fn send_all(&self, events: &[Event]) {
        let mut lines = Vec::new();
        for event in events.iter().filter(|event| !self.failures_only || matches!(event, Event::Failed { .. })) {
            serde_json::to_writer(&mut lines, event).expect("events are plain structs of strings and finite numbers");
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return;
        }
        let _ = match &self.file {
            Some(file) => (&**file).write_all(&lines).and_then(|()| file.sync_data()),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(&lines).and_then(|()| out.flush())
            }
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn events_are_appended_as_complete_lines_after_a_truncated_line() {
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
