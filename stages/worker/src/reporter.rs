use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use tfnas_stages::{CONTRACT, Event, Level, Metrics};

/// Shortest time between two progress events: a terminal shows no more.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Tells the planner what happens: one event a line on standard output.
#[derive(Clone)]
pub struct Reporter {
    last_progress: Option<Instant>,
    says_failures_alone: bool,
}

impl Reporter {
    /// A reporter that has said nothing yet.
    pub fn new() -> Self {
        Self { last_progress: None, says_failures_alone: false }
    }

    /// A reporter of a rank above 0: the planner hears the stage from rank 0, and from the others why they fail.
    pub fn of_failures() -> Self {
        Self { says_failures_alone: true, ..Self::new() }
    }

    /// The first event.
    pub fn hello(&mut self, environment: BTreeMap<String, String>) {
        self.send(&Event::Hello { contract: CONTRACT, version: crate::VERSION.to_owned(), environment });
    }

    /// How far the work is; said at most ten times a second.
    pub fn progress(&mut self, phase: &str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        if done < total && self.last_progress.is_some_and(|last| now - last < PROGRESS_EVERY) {
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

    /// Several images were left out of each epoch.
    pub fn skipped(&mut self, images: usize) {
        if images > 0 {
            self.warn(format!("{images} images could not be read and were left out of every epoch"));
        }
    }

    /// The stage cannot be done; `peer` as in [`Event::Failed`].
    pub fn failed(&mut self, message: String, hint: Option<String>, peer: bool) {
        write(&Event::Failed { message, hint, peer });
    }

    fn send(&self, event: &Event) {
        if !self.says_failures_alone {
            write(event);
        }
    }
}

/// Writes one event. A planner that no longer reads is gone, which [`Stop`](crate::stop::StopFlag) notices by itself.
fn write(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("events are plain structs of strings and finite numbers");
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
