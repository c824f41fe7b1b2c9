use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use tfnas_stages::{CONTRACT, Event, Level, Metrics};

/// Shortest time between two progress events: a terminal shows no more.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// Tells the planner what happens: one event a line on standard output.
pub struct Reporter {
    last_progress: Option<Instant>,
}

impl Reporter {
    /// A reporter that has said nothing yet.
    pub fn new() -> Self {
        Self { last_progress: None }
    }

    /// The first event.
    pub fn hello(&mut self, environment: BTreeMap<String, String>) {
        send(&Event::Hello { contract: CONTRACT, version: crate::VERSION.to_owned(), environment });
    }

    /// How far the work is; said at most ten times a second.
    pub fn progress(&mut self, phase: &str, done: u64, total: u64, unit: &str) {
        let now = Instant::now();
        if done < total && self.last_progress.is_some_and(|last| now - last < PROGRESS_EVERY) {
            return;
        }
        self.last_progress = Some(now);
        send(&Event::Progress { phase: phase.to_owned(), done, total, unit: unit.to_owned() });
    }

    /// One number over time.
    pub fn metric(&mut self, name: &str, step: u64, value: f64) {
        // JSON has no other numbers, and a diverging loss must not end the report.
        if value.is_finite() {
            send(&Event::Metric { name: name.to_owned(), step, value });
        }
    }

    /// A line for people.
    pub fn info(&mut self, message: impl Into<String>) {
        send(&Event::Log { level: Level::Info, message: message.into() });
    }

    /// A line on something that may surprise.
    pub fn warn(&mut self, message: impl Into<String>) {
        send(&Event::Log { level: Level::Warn, message: message.into() });
    }

    /// The stage goes on from a resume point.
    pub fn resumed(&mut self, at: impl Into<String>) {
        send(&Event::Resumed { at: at.into() });
    }

    /// The outputs are complete.
    pub fn done(&mut self, metrics: Metrics) {
        send(&Event::Done { metrics });
    }

    /// The stage cannot be done.
    pub fn failed(&mut self, message: String, hint: Option<String>) {
        send(&Event::Failed { message, hint });
    }
}

/// Writes one event. A planner that no longer reads is gone, which [`Stop`](crate::stop::StopFlag) notices by itself.
fn send(event: &Event) {
    let mut line = serde_json::to_vec(event).expect("events are plain structs of strings and finite numbers");
    line.push(b'\n');
    let mut out = io::stdout().lock();
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
