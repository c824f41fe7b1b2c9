use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tfnas_artifacts::identify_file;
use tfnas_stages::{CONTRACT, Event, LIBTORCH_FILE, Level, Metrics};

use crate::execute::Happening;
use crate::execute::events::Mail;
use crate::execute::happening::Failed;
use crate::execute::process::Process;
use crate::machine::build;

/// How long a worker may take to an orderly end: a resume point of the largest state, and a slow step before it.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How often an end without a word is looked for.
const TICK: Duration = Duration::from_millis(100);
/// Values of one metric that are kept; later ones are dropped, and the record says so.
const MAX_SERIES: usize = 20_000;

/// How a worker's words and its end are to be taken.
pub enum Verdict {
    /// Its outputs are there.
    Done,
    /// It ended because it was told to.
    Interrupted,
    /// It has no result.
    Failed(Failed),
}

/// What a worker has said so far.
#[derive(Default)]
pub struct Heard {
    greeted: bool,
    /// How often the worker has begun: in the queue of a cluster more than once.
    turns: usize,
    done: Option<Metrics>,
    failed: Option<Failed>,
    stopped: bool,
    environment: BTreeMap<String, String>,
    series: BTreeMap<String, Vec<(u64, f64)>>,
    dropped: bool,
}

impl Heard {
    /// Listens until the worker has said its last word, or has ended.
    pub fn listen(&mut self, process: &mut Process, inbox: &Receiver<Mail>, tell: &dyn Fn(Happening)) {
        let mut deadline: Option<Instant> = None;
        let mut ended: Option<Instant> = None;
        loop {
            match inbox.recv_timeout(TICK) {
                Ok(Mail::Event(event)) => {
                    if !self.hear(event, tell) {
                        process.kill();
                        return;
                    }
                }
                Ok(Mail::Noise(line)) if !self.greeted => {
                    let message = format!("the worker is no tfnas-stage: it began with `{line}`");
                    self.failed = Some(Failed::new(message));
                    process.kill();
                    return;
                }
                Ok(Mail::Noise(line)) => {
                    tell(Happening::Log { level: Level::Debug, message: line });
                }
                // A worker of this machine does not outlive its planner.
                Ok(Mail::Stop | Mail::Leave) => {
                    self.stopped = true;
                    process.stop();
                    deadline = Some(Instant::now() + STOP_PATIENCE);
                }
                Ok(Mail::Kill) => {
                    self.stopped = true;
                    process.kill();
                }
                Ok(Mail::Closed) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                process.kill();
                deadline = None;
            }
            // A child of the worker may hold its output open after it has died.
            if process.has_ended() {
                let since = *ended.get_or_insert_with(Instant::now);
                if since.elapsed() > TICK {
                    process.kill();
                }
            }
        }
    }

    /// Takes one event; false when the worker is not to go on.
    pub fn hear(&mut self, event: Event, tell: &dyn Fn(Happening)) -> bool {
        match event {
            Event::Hello { contract, version, environment } => {
                self.greeted = true;
                self.turns += 1;
                (self.done, self.failed) = (None, None);
                self.environment = environment;
                if contract != CONTRACT || version != build::VERSION {
                    self.failed = Some(Failed {
                        hint: Some("build both from the same source".to_owned()),
                        ..Failed::new(format!(
                            "the worker is tfnas-stage {version} (contract {contract}), this is {} (contract {CONTRACT})",
                            build::TOOL
                        ))
                    });
                    return false;
                }
            }
            Event::Progress { phase, done, total, unit } => tell(Happening::Progress { phase, done, total, unit }),
            Event::Metric { name, step, value } => {
                let series = self.series.entry(name.clone()).or_default();
                // A later turn begins before the place at which the one before it ended.
                while self.turns > 1 && series.last().is_some_and(|(last, _)| *last >= step) {
                    series.pop();
                }
                if series.len() < MAX_SERIES {
                    series.push((step, value));
                } else {
                    self.dropped = true;
                }
                tell(Happening::Metric { name, step, value });
            }
            Event::Log { level, message } => tell(Happening::Log { level, message }),
            Event::Resumed { at } => tell(Happening::Resumed { at }),
            Event::Done { metrics } => self.done = Some(metrics),
            Event::Failed { message, hint, peer } => self.failed = Some(Failed { hint, peer, ..Failed::new(message) }),
        }
        true
    }

    /// Returns why the worker was refused, or what it said that it failed of.
    pub fn take_failure(&mut self) -> Option<Failed> {
        self.failed.take()
    }

    /// Returns what came of it, once the worker has ended: with this exit code, or by a death that `death` describes.
    pub fn verdict(&mut self, code: Option<i32>, death: impl FnOnce() -> String) -> Verdict {
        if let Some(failed) = self.failed.take() {
            return Verdict::Failed(failed);
        }
        if self.done.is_some() {
            // The outputs are complete and synced by then, whatever libtorch does while it is unloaded.
            return Verdict::Done;
        }
        if self.stopped {
            return Verdict::Interrupted;
        }
        if code == Some(0) {
            return Verdict::Failed(Failed::new("the worker ended and did not say that it was done"));
        }
        Verdict::Failed(Failed::new(death()))
    }

    /// Puts the digest of the libtorch that the worker has loaded in the place of where it lies.
    ///
    /// * `memos`: where digests of programs are remembered, so that each is read once.
    pub fn identify_libtorch(&mut self, memos: &Path) {
        if let Some(file) = self.environment.remove(LIBTORCH_FILE)
            && let Ok(found) = identify_file(Path::new(&file), Some(memos))
        {
            self.environment.insert("libtorch_cpu_blake3".to_owned(), found.digest.to_string());
        }
    }

    /// What the ledger keeps of it.
    pub fn metrics(&self) -> Value {
        let mut kept = serde_json::Map::new();
        for (name, value) in self.done.iter().flatten() {
            kept.insert(name.clone(), json!(value));
        }
        if !self.series.is_empty() {
            kept.insert("series".to_owned(), json!(self.series));
        }
        if self.dropped {
            kept.insert("series_cut_at".to_owned(), json!(MAX_SERIES));
        }
        if !self.environment.is_empty() {
            kept.insert("worker".to_owned(), json!(self.environment));
        }
        Value::Object(kept)
    }
}
