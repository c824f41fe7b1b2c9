use std::collections::BTreeMap;

use crate::{Event, Record};

/// Maximum number of messages that are kept.
const MAX_MESSAGES: usize = 200;

/// The state of a run, computed from its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunProgress {
    /// Number of the run, if known.
    pub run: Option<i64>,
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
    /// The instances: first the planned ones, in the order of the plan.
    pub stages: Vec<StageProgress>,
    /// Time of the first event, in milliseconds since 1970.
    pub started_ms: i64,
    /// Time of the last event.
    pub last_ms: i64,
    /// How the run ended: `done`, `failed` or `interrupted`; `None` if no end is recorded.
    pub outcome: Option<String>,
}

/// What an instance is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageState {
    /// It has not started.
    Pending,
    /// Another process works on it.
    Waiting,
    /// Its job is in the queue of the cluster.
    Queued,
    /// Its worker runs.
    Running,
    /// A result of an earlier run or of another process is used.
    Cached,
    /// It has a new result.
    Done,
    /// It has failed.
    Failed,
    /// It was stopped.
    Interrupted,
    /// Its job continues without the planner.
    Detached,
}

impl StageState {
    /// Returns the name for display.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Cached => "cached",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Detached => "detached",
        }
    }

    /// Returns whether the instance runs, or waits for another process or for the queue.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Running | Self::Waiting | Self::Queued)
    }

    /// Returns whether nothing more happens to the instance in this run.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Cached | Self::Done | Self::Failed | Self::Interrupted | Self::Detached)
    }
}

/// The progress of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct StageProgress {
    /// Name of the instance.
    pub id: String,
    /// What it is doing.
    pub state: StageState,
    /// ID of the attempt; empty if none was started.
    pub attempt: String,
    /// Expected duration in seconds, if known.
    pub expected_s: Option<f64>,
    /// When it started, in milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// The last progress within the stage.
    pub units: Option<Units>,
    /// The metrics: values by epoch or step.
    pub series: BTreeMap<String, Vec<(u64, f64)>>,
    /// The final metrics.
    pub metrics: BTreeMap<String, f64>,
    /// What the instance waits for, or why it failed; otherwise the last message of the worker.
    pub message: Option<String>,
    /// The last messages of the worker: whether it is a warning, and the text.
    pub messages: Vec<(bool, String)>,
}

/// Progress within a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Units {
    /// The current activity.
    pub phase: String,
    /// Completed units.
    pub done: u64,
    /// Total number of units.
    pub total: u64,
    /// Name of the unit.
    pub unit: String,
    /// Time of the first progress of this worker, in milliseconds since 1970, and the units that were complete then.
    pub began: (i64, u64),
    /// Time of this progress.
    pub time_ms: i64,
}

impl Units {
    /// Returns the units per second since the first progress, if there was any.
    pub fn per_second(&self) -> Option<f64> {
        let seconds = self.time_ms.saturating_sub(self.began.0) as f64 / 1e3;
        let moved = self.done.checked_sub(self.began.1)?;
        (moved > 0 && seconds > 0.0).then(|| moved as f64 / seconds)
    }

    /// Returns the completed share, between 0 and 1.
    pub fn share(&self) -> f64 {
        if self.total == 0 { 0.0 } else { (self.done as f64 / self.total as f64).clamp(0.0, 1.0) }
    }
}

impl RunProgress {
    /// Computes the state after these events.
    pub fn of(records: &[Record]) -> Self {
        let mut progress = Self::default();
        records.iter().for_each(|record| progress.apply(record));
        progress
    }

    /// Updates the state with the next event.
    pub fn apply(&mut self, record: &Record) {
        if self.started_ms == 0 {
            self.started_ms = record.time_ms;
        }
        self.last_ms = record.time_ms;
        match (&record.id, &record.event) {
            (_, Event::Planned { run, arguments, stages }) => {
                self.run = Some(*run);
                self.arguments.clone_from(arguments);
                for planned in stages {
                    self.stage(&planned.id).expected_s = planned.expected_s;
                }
            }
            (_, Event::Finished { outcome }) => self.outcome = Some(outcome.clone()),
            (Some(id), Event::Remade { upstream }) => {
                for id in [upstream, id] {
                    let stage = self.stage(id);
                    *stage = StageProgress { expected_s: stage.expected_s, ..StageProgress::new(id) };
                }
            }
            (Some(id), event) => self.stage(id).apply(event, record.time_ms),
            (None, _) => {}
        }
    }

    /// Returns the progress of an instance, if it is known.
    pub fn get(&self, id: &str) -> Option<&StageProgress> {
        self.stages.iter().find(|stage| stage.id == id)
    }

    fn stage(&mut self, id: &str) -> &mut StageProgress {
        let position = self.stages.iter().position(|stage| stage.id == id).unwrap_or_else(|| {
            self.stages.push(StageProgress::new(id));
            self.stages.len() - 1
        });
        &mut self.stages[position]
    }
}

impl StageProgress {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            state: StageState::Pending,
            attempt: String::new(),
            expected_s: None,
            started_ms: None,
            ended_ms: None,
            units: None,
            series: BTreeMap::new(),
            metrics: BTreeMap::new(),
            message: None,
            messages: Vec::new(),
        }
    }

    /// Returns the last value of a metric.
    pub fn last(&self, metric: &str) -> Option<f64> {
        Some(self.series.get(metric)?.last()?.1)
    }

    fn apply(&mut self, event: &Event, time_ms: i64) {
        match event {
            Event::Cached {} | Event::UsedResult {} => self.end(StageState::Cached, time_ms),
            Event::Waiting { holder } => {
                self.state = StageState::Waiting;
                self.message = Some(format!("waiting for {holder}"));
            }
            Event::Started { attempt, .. } | Event::Reattached { attempt } => {
                let expected_s = match event {
                    Event::Started { expected_s, .. } => expected_s.or(self.expected_s),
                    _ => self.expected_s,
                };
                let (id, attempt) = (self.id.clone(), attempt.clone());
                *self = Self { attempt, expected_s, started_ms: Some(time_ms), ..Self::new(&id) };
                self.state = StageState::Running;
            }
            Event::Submitted { job } => {
                self.state = StageState::Queued;
                self.message = Some(format!("job {job}"));
            }
            Event::Queued { job, reason } => {
                self.state = StageState::Queued;
                self.message = Some(format!("job {job} waits ({reason})"));
            }
            Event::Resumed { at } => {
                self.run_on();
                self.units = None;
                self.message = Some(format!("resumed from {at}"));
            }
            Event::Progress { phase, done, total, unit } => {
                self.run_on();
                let began = self.units.as_ref().map(|units| units.began).filter(|began| began.1 <= *done);
                self.units = Some(Units {
                    phase: phase.clone(),
                    done: *done,
                    total: *total,
                    unit: unit.clone(),
                    began: began.unwrap_or((time_ms, *done)),
                    time_ms,
                });
            }
            Event::Metric { name, step, value } => {
                let series = self.series.entry(name.clone()).or_default();
                // A restarted worker repeats the epochs after its resume point.
                series.truncate(series.partition_point(|(known, _)| known < step));
                series.push((*step, *value));
            }
            Event::Log { level, message } => {
                self.message = Some(message.clone());
                self.messages.push((level == "warn", message.clone()));
                if self.messages.len() > MAX_MESSAGES {
                    self.messages.remove(0);
                }
            }
            Event::Done { duration_s, metrics } => {
                self.end(StageState::Done, time_ms);
                // The duration counts from the start of the attempt, which an earlier planner may have made.
                self.started_ms = Some(time_ms.saturating_sub((duration_s * 1e3) as i64));
                self.metrics.clone_from(metrics);
            }
            Event::Failed { message } => {
                self.end(StageState::Failed, time_ms);
                self.message = Some(message.clone());
            }
            Event::Interrupted => self.end(StageState::Interrupted, time_ms),
            Event::Detached {} => self.end(StageState::Detached, time_ms),
            Event::Planned { .. } | Event::Finished { .. } | Event::Remade { .. } | Event::Other => {}
        }
    }

    /// The worker reports: its job is no longer in the queue.
    fn run_on(&mut self) {
        if !self.state.is_over() {
            self.state = StageState::Running;
        }
    }

    fn end(&mut self, state: StageState, time_ms: i64) {
        self.state = state;
        self.ended_ms = Some(time_ms);
        self.message = None;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn progress(lines: &[&str]) -> RunProgress {
        let record = |(time, line): (usize, &&str)| {
            serde_json::from_str(&format!("{{\"time_ms\":{},{line}}}", 1000 * (time + 1))).unwrap()
        };
        RunProgress::of(&lines.iter().enumerate().map(record).collect::<Vec<_>>())
    }

    #[test]
    fn stages_go_from_the_plan_to_their_end() {
        let progress = progress(&[
            r#""event":"planned","run":3,"stages":[{"id":"split","action":"cached"},{"id":"train","action":"run","expected_s":9.5}]"#,
            r#""event":"cached","key":"k","id":"split""#,
            r#""event":"started","attempt":"a","id":"train""#,
            r#""event":"progress","phase":"epoch 1 of 2","done":10,"total":40,"unit":"images","id":"train""#,
            r#""event":"progress","phase":"epoch 1 of 2","done":20,"total":40,"unit":"images","id":"train""#,
        ]);
        assert_eq!(progress.run, Some(3));
        let states: Vec<_> = progress.stages.iter().map(|stage| (stage.id.as_str(), stage.state)).collect();
        assert_eq!(states, [("split", StageState::Cached), ("train", StageState::Running)]);
        let train = progress.get("train").unwrap();
        assert_eq!((train.expected_s, train.started_ms), (Some(9.5), Some(3000)));
        let units = train.units.as_ref().unwrap();
        assert_eq!((units.share(), units.per_second()), (0.5, Some(10.0)));
        assert_eq!((progress.started_ms, progress.last_ms, progress.outcome), (1000, 5000, None));
    }

    #[test]
    fn extreme_times_are_accepted() {
        let record = |time_ms: i64, event: &str| -> Record {
            serde_json::from_str(&format!("{{\"time_ms\":{time_ms},{event},\"id\":\"a\"}}")).unwrap()
        };
        let progress = |done: u64| format!(r#""event":"progress","phase":"p","done":{done},"total":2,"unit":"u""#);
        let records = [
            record(i64::MIN, &progress(0)),
            record(i64::MAX, &progress(u64::MAX)),
            record(i64::MIN, r#""event":"done","duration_s":1e300"#),
        ];
        let units = RunProgress::of(&records[..2]).get("a").unwrap().units.clone().unwrap();
        assert!(units.per_second().is_some_and(f64::is_finite));
        assert_eq!(RunProgress::of(&records).get("a").unwrap().started_ms, Some(i64::MIN));
    }

    #[test]
    fn a_restarted_worker_repeats_steps() {
        let metric = |step, value| {
            format!("\"event\":\"metric\",\"name\":\"loss\",\"step\":{step},\"value\":{value},\"id\":\"a\"")
        };
        let lines = [metric(0, 1.0), metric(1, 2.0), metric(2, 3.0), metric(1, 4.0)];
        let progress = progress(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(progress.get("a").unwrap().series["loss"], [(0, 1.0), (1, 4.0)]);
        assert_eq!(progress.get("a").unwrap().last("loss"), Some(4.0));
    }

    #[test]
    fn queue_failure_and_remake_change_the_state() {
        let state = |lines: &[&str]| progress(lines).get("a").unwrap().state;
        let started = r#""event":"started","attempt":"x","id":"a""#;
        let queued = r#""event":"queued","job":"7","reason":"Priority","id":"a""#;
        assert_eq!(state(&[started, queued]), StageState::Queued);
        assert_eq!(state(&[started, queued, r#""event":"resumed","at":"epoch 2","id":"a""#]), StageState::Running);
        let failed = r#""event":"failed","message":"no","id":"a""#;
        assert_eq!(progress(&[started, failed]).get("a").unwrap().message.as_deref(), Some("no"));
        let remade = r#""event":"remade","upstream":"b","message":"damaged","id":"a""#;
        assert_eq!(state(&[started, failed, remade]), StageState::Pending);
    }
}
