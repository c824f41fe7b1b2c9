//! Reads the worker's events and the user's requests.

use std::collections::BTreeMap;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use tfnas_stages::{Event, Level, WorkerStatus};

use super::{JobTracker, LOOK_EVERY, StopRequest};
use crate::RunEvent;
use crate::messages::WorkerMessage;
use crate::slurm::state::{QueueState, obstacle};
use crate::task_result::TaskFailure;

impl JobTracker<'_> {
    /// Reads what the worker has written since the last call.
    pub(super) fn read_worker(&mut self) {
        // If the file cannot be read now, for example because another machine is replacing it, it is read next time.
        if let Ok(word) = WorkerStatus::read(&self.folder) {
            let word = word.filter(|word| word.submission == self.submission.number);
            if let Some(WorkerStatus { host, restart, submission, .. }) = &word
                && self.reported_start != Some((*submission, *restart))
            {
                self.reported_start = Some((*submission, *restart));
                let again = if *restart > 0 { ", started again" } else { "" };
                let job = self.submission.job.as_ref().map_or("its job".to_owned(), |job| format!("job {job}"));
                let message = format!("{job} runs on {host}{again}");
                (self.report)(RunEvent::Log { level: Level::Info, message });
            }
            self.status = word;
        }
        while let Ok(lines) = self.tail.read()
            && !lines.is_empty()
        {
            for line in lines {
                let Some(event) = line.event else { continue };
                if let Event::Hello { environment, .. } = &event {
                    self.refused = self.wrong_device(environment).or(self.refused.take());
                }
                // This run has not recorded the metrics that an earlier planner has reported.
                let metrics_only = |event| {
                    if matches!(event, RunEvent::Metric { .. }) {
                        (self.report)(event);
                    }
                };
                let listener: &dyn Fn(RunEvent) = if line.reported { &metrics_only } else { self.report };
                if !self.monitor.handle(event, listener) {
                    self.refused = self.monitor.take_failure();
                }
            }
        }
    }

    /// Returns a failure if the device of the node is not the declared one: the latency would be stored under a wrong
    /// key.
    fn wrong_device(&self, environment: &BTreeMap<String, String>) -> Option<TaskFailure> {
        let queue = &self.task.execution.queue;
        let declared = queue.device_model.as_ref()?;
        let facts = [("device_model", declared), ("governor", &queue.governor)];
        facts.into_iter().find_map(|(fact, declared)| {
            let found = environment.get(fact).filter(|found| *found != declared)?;
            let host = environment.get("host").map_or("the node", String::as_str);
            let message = format!("the {fact} of {host} is `{found}`, but slurm.{fact} is `{declared}`");
            let hint = format!("set slurm.{fact} to what the nodes have, or choose other nodes with slurm.sbatch");
            Some(TaskFailure { hint: Some(hint), ..TaskFailure::new(message) })
        })
    }

    pub(super) fn report_queue_state(&mut self, job: &str, state: &QueueState) {
        let QueueState::Waiting { reason } = state else { return };
        if *reason != self.reported {
            self.reported.clone_from(reason);
            let obstacle = obstacle(reason).map(str::to_owned);
            (self.report)(RunEvent::Queued { job: job.to_owned(), reason: reason.clone(), obstacle });
        }
    }

    pub(super) fn no_reply(&mut self, why: &str) {
        if !std::mem::replace(&mut self.no_reply_reported, true) {
            let message = format!("the cluster's controller does not answer ({why}): waiting for it");
            (self.report)(RunEvent::Log { level: Level::Warn, message });
        }
    }

    pub(super) fn controller_replied(&mut self) {
        if std::mem::take(&mut self.no_reply_reported) {
            let message = "the cluster's controller answers again".to_owned();
            (self.report)(RunEvent::Log { level: Level::Info, message });
        }
    }

    /// Waits for `pause`, or until the user requests something.
    pub(super) fn wait(&mut self, pause: Duration) {
        let (until, request) = (Instant::now() + pause, self.stop_request);
        while self.stop_request == request && Instant::now() < until {
            self.poll_user((until - Instant::now()).min(LOOK_EVERY[1]));
        }
    }

    /// Waits for a request of the user for at most `pause`.
    pub(super) fn poll_user(&mut self, pause: Duration) {
        let request = match self.inbox.recv_timeout(pause) {
            Ok(WorkerMessage::Stop) => StopRequest::End,
            Ok(WorkerMessage::Kill) => StopRequest::Kill,
            Ok(WorkerMessage::Detach) => StopRequest::Detach,
            // Workers on the cluster write events to a file, not to this channel.
            Ok(WorkerMessage::Event(_) | WorkerMessage::UnparsedLine(_) | WorkerMessage::Closed)
            | Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => StopRequest::Detach,
        };
        self.stop_request = if request > self.stop_request { request } else { self.stop_request };
    }
}
