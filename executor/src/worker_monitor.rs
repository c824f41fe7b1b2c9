use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tfnas_artifacts::identify_file;
use tfnas_planner::machine::build;
use tfnas_stages::{Event, LIBTORCH_FILE, Level, Metrics, PROTOCOL_VERSION, split_probability_metric};

use crate::RunEvent;
use crate::messages::WorkerMessage;
use crate::process::Process;
use crate::task_result::TaskFailure;

/// How long a worker may take to stop in order: a slow step, and writing a large resume point.
pub const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How often to check whether the worker has exited without closing its output.
const TICK: Duration = Duration::from_millis(100);
/// Maximum number of values kept of one metric. Later values are dropped, and this is noted in the record.
const MAX_SERIES: usize = 20_000;
/// Name in the ledger's metrics of the number of values that are kept of a longer series.
pub const SERIES_CUT_AT: &str = "series_cut_at";

/// The result of a worker.
pub enum WorkerExit {
    /// It has succeeded.
    Done,
    /// It was stopped on request.
    Interrupted,
    /// It has failed.
    Failed(TaskFailure),
}

/// Collects what a worker reports.
#[derive(Default)]
pub struct WorkerMonitor {
    has_hello: bool,
    /// How often the worker has started. A Slurm job may start more than once.
    starts: usize,
    done: Option<Metrics>,
    failed: Option<TaskFailure>,
    stopped: bool,
    environment: BTreeMap<String, String>,
    series: BTreeMap<String, Vec<(u64, f64)>>,
    dropped: bool,
}

impl WorkerMonitor {
    /// Handles messages until the worker has closed its output or exited.
    pub fn run(&mut self, process: &mut Process, inbox: &Receiver<WorkerMessage>, report: &dyn Fn(RunEvent)) {
        let mut deadline: Option<Instant> = None;
        let mut ended: Option<Instant> = None;
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(WorkerMessage::Event(event)) => {
                    if !self.handle(event, report) {
                        process.kill();
                        return;
                    }
                }
                Ok(WorkerMessage::UnparsedLine(line)) if !self.has_hello => {
                    let message = format!("the worker is not tfnas-stage: its first line is `{line}`");
                    self.failed = Some(TaskFailure::new(message));
                    process.kill();
                    return;
                }
                Ok(WorkerMessage::UnparsedLine(line)) => {
                    report(RunEvent::Log { level: Level::Debug, message: line });
                }
                // A local worker does not outlive its planner.
                Ok(WorkerMessage::Stop | WorkerMessage::Detach) => {
                    self.stopped = true;
                    process.stop();
                    deadline = Some(Instant::now() + STOP_PATIENCE);
                }
                Ok(WorkerMessage::Kill) => {
                    self.stopped = true;
                    process.kill();
                }
                Ok(WorkerMessage::Closed) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                process.kill();
                deadline = None;
            }
            // If the worker has died, a child of it may keep its output open.
            if process.has_ended() {
                let since = *ended.get_or_insert_with(Instant::now);
                if since.elapsed() > TICK {
                    process.kill();
                }
            }
        }
    }

    /// Handles an event. Returns whether the worker may continue.
    pub fn handle(&mut self, event: Event, report: &dyn Fn(RunEvent)) -> bool {
        match event {
            Event::Hello { protocol, version, environment } => {
                self.has_hello = true;
                self.starts += 1;
                (self.done, self.failed) = (None, None);
                self.environment = environment;
                if protocol != PROTOCOL_VERSION || version != build::VERSION {
                    self.failed = Some(TaskFailure {
                        hint: Some("build planner and worker from the same source: `make build`".to_owned()),
                        ..TaskFailure::new(format!(
                            "the worker is tfnas-stage {version} (protocol {protocol}), this is {} (protocol {PROTOCOL_VERSION})",
                            build::TOOL
                        ))
                    });
                    return false;
                }
            }
            Event::Progress { phase, done, total, unit } => report(RunEvent::Progress { phase, done, total, unit }),
            Event::Metric { name, step, value } => {
                // `history.json` of the search has its probabilities.
                if split_probability_metric(&name).is_none() {
                    self.keep(&name, step, value);
                }
                report(RunEvent::Metric { name, step, value });
            }
            Event::Log { level, message } => report(RunEvent::Log { level, message }),
            Event::Resumed { at } => report(RunEvent::Resumed { at }),
            Event::Profile(profile) => report(RunEvent::Profile(profile)),
            Event::Done { metrics } => self.done = Some(metrics),
            Event::Failed { message, hint, peer } => {
                self.failed = Some(TaskFailure { hint, peer, ..TaskFailure::new(message) });
            }
        }
        true
    }

    /// Returns the reason for which the worker was refused, or the failure that it has reported.
    pub fn take_failure(&mut self) -> Option<TaskFailure> {
        self.failed.take()
    }

    /// Returns the result after the worker has exited with this code, or by a signal that `death` describes.
    pub fn exit(&mut self, code: Option<i32>, death: impl FnOnce() -> String) -> WorkerExit {
        if let Some(failed) = self.failed.take() {
            // The signal that stops this planner may stop another rank earlier.
            let is_stop = self.stopped && failed.peer;
            return if is_stop { WorkerExit::Interrupted } else { WorkerExit::Failed(failed) };
        }
        if self.done.is_some() {
            // The outputs are complete and synced, even if libtorch crashes while it is unloaded.
            return WorkerExit::Done;
        }
        if self.stopped {
            return WorkerExit::Interrupted;
        }
        if code == Some(0) {
            return WorkerExit::Failed(TaskFailure::new("the worker ended without reporting success"));
        }
        WorkerExit::Failed(TaskFailure::new(death()))
    }

    /// Replaces the path of the loaded libtorch in the worker's environment by its digest.
    ///
    /// * `memos`: folder in which digests of programs are cached, so that each file is read once.
    pub fn identify_libtorch(&mut self, memos: &Path) {
        if let Some(file) = self.environment.remove(LIBTORCH_FILE)
            && let Ok(found) = identify_file(Path::new(&file), Some(memos))
        {
            self.environment.insert("libtorch_cpu_blake3".to_owned(), found.digest.to_string());
        }
    }

    /// Keeps a value of a series for the ledger.
    fn keep(&mut self, name: &str, step: u64, value: f64) {
        let series = self.series.entry(name.to_owned()).or_default();
        // A restarted worker resumes before the step at which the previous one stopped, and repeats steps.
        while self.starts > 1 && series.last().is_some_and(|(last, _)| *last >= step) {
            series.pop();
        }
        if series.len() < MAX_SERIES {
            series.push((step, value));
        } else {
            self.dropped = true;
        }
    }

    /// Returns the metrics for the ledger.
    pub fn metrics(&self) -> Value {
        let mut kept = serde_json::Map::new();
        for (name, value) in self.done.iter().flatten() {
            kept.insert(name.clone(), json!(value));
        }
        if !self.series.is_empty() {
            kept.insert("series".to_owned(), json!(self.series));
        }
        if self.dropped {
            kept.insert(SERIES_CUT_AT.to_owned(), json!(MAX_SERIES));
        }
        if !self.environment.is_empty() {
            kept.insert("worker".to_owned(), json!(self.environment));
        }
        Value::Object(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_rank_is_a_failure_unless_the_worker_was_stopped() {
        let exit = |stopped, peer| {
            let mut monitor = WorkerMonitor { stopped, ..WorkerMonitor::default() };
            monitor.handle(Event::Failed { message: "no".to_owned(), hint: None, peer }, &|_| {});
            monitor.exit(Some(1), String::new)
        };
        assert!(matches!(exit(true, true), WorkerExit::Interrupted));
        assert!(matches!(exit(true, false), WorkerExit::Failed(_)));
        assert!(matches!(exit(false, true), WorkerExit::Failed(_)));
    }
}
