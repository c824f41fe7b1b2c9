use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use tfnas_artifacts::{Cache, Outcome, RunId};
use tfnas_events::{EventFile, PlannedStage};
use tfnas_executor::{RunEvent, RunObserver};
use tfnas_planner::plan::{Graph, Plan};
use tfnas_stages::Level;

/// Minimum time between two progress events of an instance, at its start.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Minimum time between two progress events of an instance that has run for hours.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// The interval is this share of the time since the start of the instance.
const INTERVAL_SHARE: u32 = 1000;

/// Appends the events of a run to its event file in the store. Errors do not fail the run: the first one is a warning.
pub struct EventLog {
    file: Option<EventFile>,
    warned: bool,
    progress: BTreeMap<String, Pace>,
}

/// When progress of an instance was written.
struct Pace {
    began: Instant,
    last: Instant,
    phase: String,
}

/// The events that are not events of an instance.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum OfRun {
    Planned { run: i64, arguments: Vec<String>, stages: Vec<PlannedStage> },
    Finished { outcome: Outcome },
}

impl EventLog {
    /// Creates the event file of a run and writes its plan.
    pub fn create(cache: &Cache, run: RunId, arguments: &[String], graph: &Graph, plan: &Plan) -> Self {
        let mut log = Self { file: None, warned: false, progress: BTreeMap::new() };
        let path = cache.store().event_file(run);
        match EventFile::create(&path) {
            Ok(file) => log.file = Some(file),
            Err(error) => log.warn_once(&path, &error),
        }
        let planned = plan.steps.iter().map(|step| PlannedStage {
            id: graph.instances[step.instance].id.clone(),
            action: step.action.name().to_owned(),
            expected_s: step.expected_s,
        });
        log.append(None, &OfRun::Planned { run: run.0, arguments: arguments.to_vec(), stages: planned.collect() });
        log
    }

    /// Writes the end of the run.
    pub fn finish(&mut self, outcome: Outcome) {
        self.append(None, &OfRun::Finished { outcome });
    }

    fn append(&mut self, id: Option<&str>, event: &impl Serialize) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.append(id, event) {
            let path = file.path().to_owned();
            self.warn_once(&path, &error);
        }
    }

    fn warn_once(&mut self, path: &Path, error: &io::Error) {
        if !self.warned {
            self.warned = true;
            tracing::warn!("cannot write {}: {error}; `watch` does not show all of this run", path.display());
        }
    }

    /// Returns whether an event is written. Progress is written at a modest rate, and whenever the phase changes.
    fn keeps(&mut self, id: &str, event: &RunEvent) -> bool {
        match event {
            RunEvent::Log { level, .. } => *level != Level::Debug,
            RunEvent::Progress { phase, done, total, .. } => {
                let now = Instant::now();
                let Some(pace) = self.progress.get_mut(id) else {
                    self.progress.insert(id.to_owned(), Pace { began: now, last: now, phase: phase.clone() });
                    return true;
                };
                let interval = (now.duration_since(pace.began) / INTERVAL_SHARE).clamp(MIN_INTERVAL, MAX_INTERVAL);
                if pace.phase == *phase && done < total && now.duration_since(pace.last) < interval {
                    return false;
                }
                pace.phase.clone_from(phase);
                pace.last = now;
                true
            }
            RunEvent::Started { .. } => {
                self.progress.remove(id);
                true
            }
            _ => true,
        }
    }
}

impl RunObserver for EventLog {
    fn event(&mut self, id: &str, event: &RunEvent) {
        if self.keeps(id, event) {
            self.append(Some(id), event);
        }
    }

    fn interrupting(&mut self, _again: bool) {}

    fn warn(&mut self, _message: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_at_a_modest_rate_and_debug_messages_are_not() {
        let mut log = EventLog { file: None, warned: false, progress: BTreeMap::new() };
        let progress = |phase: &str, done| RunEvent::Progress {
            phase: phase.to_owned(),
            done,
            total: 1000,
            unit: "images".to_owned(),
        };
        let kept = (0..1000).filter(|done| log.keeps("train", &progress("epoch 1", *done))).count();
        assert_eq!(kept, 1);
        assert!(log.keeps("train", &progress("epoch 2", 500)), "a new phase");
        assert!(log.keeps("train", &progress("epoch 2", 1000)), "the end");
        assert!(log.keeps("search", &progress("epoch 2", 500)), "another instance");
        let message = |level| RunEvent::Log { level, message: String::new() };
        assert!(log.keeps("train", &message(Level::Info)) && !log.keeps("train", &message(Level::Debug)));
    }
}
