use std::collections::BTreeSet;
use std::path::Path;

use indicatif::MultiProgress;
use serde::Serialize;
use tfnas_executor::{Finished, RunEvent, RunObserver};
use tfnas_humanize as humanize;
use tfnas_planner::plan::{Cause, Graph, Plan, Remark, Remarks};
use tfnas_stages::Level;

use crate::report::bars::{Bars, Progress};
use crate::report::expected::Expected;
use crate::report::{print_json_line, profile};

/// Maximum number of causes in a log line. `explain` lists all.
const CAUSES: usize = 3;

/// Reports the events of a run: as JSON on standard output if requested, and as log lines on standard error.
pub struct Reporter {
    events: bool,
    bars: Bars,
    expected: Expected,
}

/// One line of `run --json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a RunEvent,
    id: &'a str,
}

/// The last line of `run --json`.
#[derive(Serialize)]
struct Last<'a> {
    event: &'static str,
    ran: Vec<&'a str>,
    cached: Vec<&'a str>,
    failed: Vec<&'a str>,
    interrupted: Vec<&'a str>,
    /// Remarks about the data; omitted if there are none.
    #[serde(skip_serializing_if = "<[Remark]>::is_empty")]
    notes: &'a [Remark],
    #[serde(skip_serializing_if = "<[Remark]>::is_empty")]
    warnings: &'a [Remark],
    /// The page of the run, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

/// A line of `run --json` with a remark about the data.
#[derive(Serialize)]
struct DataLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    remark: &'a Remark,
}

impl Reporter {
    /// Creates a reporter. `events` writes JSON lines to standard output, `bars` draws progress on a terminal.
    pub fn new(multi: MultiProgress, events: bool, bars: bool) -> Self {
        Self { events, bars: Bars::new(multi, bars), expected: Expected::default() }
    }

    /// Reports remarks about the data before anything runs.
    pub fn remarks(&mut self, remarks: &Remarks) {
        for (event, remarks) in [("note", &remarks.notes), ("warning", &remarks.warnings)] {
            for remark in remarks {
                if self.events {
                    print_json_line(&DataLine { event, remark });
                }
                if event == "note" {
                    tracing::info!("{}", remark.message);
                } else {
                    tracing::warn!("{}", remark.message);
                }
            }
        }
    }

    /// Reports how long the stages that must run will take, if that is long, and from now on how much of it is left.
    pub fn expect(&mut self, graph: &Graph, plan: &Plan) {
        self.expected = Expected::of(graph, plan);
        if let Some(text) = self.expected.text() {
            tracing::info!("{text}");
        }
    }

    /// Warns about chosen stages that could not be profiled because their results were cached.
    pub fn cached_stages_are_not_profiled(&mut self, graph: &Graph, finished: &Finished, chosen: &BTreeSet<usize>) {
        let cached = finished.cached.iter().filter(|instance| chosen.contains(instance));
        let cached = cached.map(|&instance| &graph.instances[instance]).filter(|instance| instance.stage.is_profiled());
        let ids: Vec<&str> = cached.map(|instance| instance.id.as_str()).collect();
        if !ids.is_empty() {
            let forced: Vec<String> = ids.iter().map(|id| format!("--force {id}")).collect();
            let hint = format!("add {} to run them again", forced.join(" "));
            tracing::warn!(hint, "cached, so there was nothing to profile: {}", ids.join(", "));
        }
    }

    /// Writes the last event.
    pub fn finished(&mut self, graph: &Graph, finished: &Finished, remarks: &Remarks, page: Option<&Path>) {
        if self.events {
            let ids =
                |instances: &[usize]| instances.iter().map(|instance| graph.instances[*instance].id.as_str()).collect();
            print_json_line(&Last {
                event: "finished",
                ran: ids(&finished.ran),
                cached: ids(&finished.cached),
                failed: ids(&finished.failed),
                interrupted: ids(&finished.interrupted),
                notes: &remarks.notes,
                warnings: &remarks.warnings,
                report: page.map(|page| page.display().to_string()),
            });
        }
    }
}

impl RunObserver for Reporter {
    fn event(&mut self, id: &str, event: &RunEvent) {
        if self.events {
            print_json_line(&Line { event, id });
        }
        if matches!(event, RunEvent::Cached { .. } | RunEvent::Done { .. } | RunEvent::UsedResult { .. }) {
            self.expected.ended(id);
        }
        match event {
            RunEvent::Cached { remote: None, .. } => tracing::info!(id, "cached"),
            RunEvent::Cached { remote: Some(remote), .. } => tracing::info!(id, "cached (pulled from {remote})"),
            RunEvent::Waiting { holder } => tracing::info!(id, "waiting for {holder}, which computes the same result"),
            RunEvent::Started { because, expected_s, .. } => {
                let expected = expected_s.map(|seconds| format!(" (expected: {})", humanize::duration(seconds)));
                tracing::info!(id, "runs: {}{}", causes(id, because), expected.unwrap_or_default());
            }
            RunEvent::Reattached { job: Some(job), .. } => {
                tracing::info!(id, "job {job} was already submitted; attaching to it");
            }
            RunEvent::Reattached { job: None, .. } => {
                tracing::info!(id, "was submitted by an earlier run: looking for it");
            }
            RunEvent::Submitted { job, submission: 1 } => tracing::info!(id, "submitted as job {job}"),
            RunEvent::Submitted { job, submission } => {
                tracing::info!(id, "submitted as job {job} (submission {submission})");
            }
            RunEvent::Queued { job, reason, obstacle: None } => tracing::info!(id, "job {job} waits ({reason})"),
            RunEvent::Queued { job, reason, obstacle: Some(obstacle) } => {
                tracing::warn!(id, "job {job} waits ({reason}): {obstacle}");
            }
            RunEvent::Resumed { at } => tracing::info!(id, "resuming from {at}"),
            RunEvent::Progress { phase, done, total, unit } => {
                let progress = Progress { phase, done: *done, total: *total, unit };
                if let Some(line) = self.bars.show(id, &progress) {
                    tracing::info!(id, done, total, unit, "{line}");
                }
            }
            RunEvent::Metric { name, step, value } => {
                tracing::debug!(id, name, step, value, "{name} {value} at {step}");
            }
            RunEvent::Log { level, message } => match level {
                Level::Debug => tracing::debug!(id, "{message}"),
                Level::Info => tracing::info!(id, "{message}"),
                Level::Warn => tracing::warn!(id, "{message}"),
            },
            RunEvent::Profile(measured) => tracing::info!(id, "where its time went\n{}", profile::text(measured)),
            RunEvent::Done { duration_s, peak_memory_bytes, .. } => {
                self.bars.end(id);
                let memory = peak_memory_bytes.map(|bytes| format!(", {} of memory at most", humanize::bytes(bytes)));
                tracing::info!(
                    id,
                    "done in {}{}{}",
                    humanize::duration(*duration_s),
                    memory.unwrap_or_default(),
                    self.expected.left().map(|left| format!("; about {left} left")).unwrap_or_default()
                );
            }
            RunEvent::UsedResult { .. } => tracing::info!(id, "cached: another process computed it in the meantime"),
            RunEvent::Failed { message, hint, log, tail } => {
                self.bars.end(id);
                let mut text = message.clone();
                if !tail.is_empty() {
                    text.push_str("\n  the end of its log:");
                    tail.iter().for_each(|line| text.push_str(&format!("\n  | {line}")));
                }
                if let Some(log) = log {
                    text.push_str(&format!("\n  log: {}", log.display()));
                }
                match hint {
                    Some(hint) => tracing::error!(id, hint, "{text}"),
                    None => tracing::error!(id, "{text}"),
                }
            }
            RunEvent::Interrupted => {
                self.bars.end(id);
                tracing::info!(id, "interrupted; the next run resumes from its resume point");
            }
            RunEvent::Detached { job } => {
                self.bars.end(id);
                match job {
                    Some(job) => tracing::info!(id, "job {job} is still running; the next run attaches to it"),
                    None => tracing::info!(id, "may have been submitted; the next run looks for it"),
                }
            }
            RunEvent::Remade { upstream, message } => {
                tracing::warn!(id, "{message}; {upstream} recreates it");
            }
        }
    }

    fn interrupting(&mut self, again: bool) {
        if again {
            tracing::warn!("ending at once");
        } else {
            tracing::warn!("ending after a resume point; Ctrl-C again ends at once");
        }
    }

    fn warn(&mut self, message: &str) {
        tracing::warn!("{message}");
    }
}

/// Formats why an instance runs as one line.
pub fn causes(id: &str, because: &[Cause]) -> String {
    let mut text: Vec<String> = because.iter().take(CAUSES).map(ToString::to_string).collect();
    if because.len() > CAUSES {
        text.push(format!("and {} more (explain {id})", because.len() - CAUSES));
    }
    text.join("; ")
}
