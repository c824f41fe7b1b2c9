//! Follows a job: events of its worker, its state in the queue, requests of the user.

use std::time::{Duration, Instant};

use tfnas_stages::{Level, WorkerState, WorkerStatus};

use super::{JobTracker, LOOK_EVERY, Stop, StopRequest};
use crate::RunEvent;
use crate::slurm::controller::{self, Reply, SlurmCommand};
use crate::slurm::decision::{JobOutcome, decide};
use crate::slurm::state::QueueState;

/// How soon to poll the controller again if something depends on its reply.
const ASK_SOON: Duration = Duration::from_secs(1);
/// How long a job may take to stop in order: a slow step, and writing a large resume point.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How soon to repeat a request to stop: a signal that reaches the node before the worker has started is lost.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// How long a cancelled job may take to end. Slurm kills a job that ignores the signal after half a minute.
const KILL_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for the controller to accept a cancellation.
const CANCEL_PATIENCE: Duration = Duration::from_secs(15);
/// How long a job may stay in the queue after its worker has written its final status.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

impl JobTracker<'_> {
    /// Follows the job until it has ended or must be submitted again.
    pub(super) fn watch(&mut self) -> Result<JobOutcome, Stop> {
        let job = self.submission.job.clone().unwrap_or_default();
        let poll = self.task.execution.queue.poll;
        let mut command: Option<SlurmCommand> = None;
        let mut state: Option<QueueState> = None;
        let mut ask_at = Instant::now() + poll.min(ASK_SOON);
        let mut doubt: Option<Instant> = None;
        let mut ending = EndRequest::default();
        loop {
            self.read_worker();
            if let Some(failed) = self.refused.take() {
                self.cancel(&job);
                return Ok(JobOutcome::Failed(failed));
            }
            if let Some(reply) = command.as_mut().and_then(SlurmCommand::reply) {
                command = None;
                let mut pause = poll;
                match controller::queue_state(reply) {
                    Ok(seen) => {
                        self.controller_replied();
                        self.report_queue_state(&job, &seen);
                        state = Some(seen);
                    }
                    Err(text) => {
                        self.no_reply(&text);
                        pause = poll.max(ASK_SOON);
                    }
                }
                ask_at = Instant::now() + pause;
            }
            let word = self.status.as_ref().map(|word| &word.state);
            match decide(&job, word, state.as_ref(), self.stop_request != StopRequest::None) {
                Some(decision) if decision.confirmed => return Ok(decision.outcome),
                Some(decision) => {
                    // After a kill, do not wait for a status: it would be ignored.
                    if doubt.get_or_insert_with(Instant::now).elapsed() >= self.visibility_timeout
                        || self.stop_request == StopRequest::Kill
                    {
                        return Ok(decision.outcome);
                    }
                }
                None => doubt = None,
            }
            // Poll sooner if the queue must tell why the worker was interrupted, or if the user is waiting.
            let is_over = matches!(self.status, Some(WorkerStatus { state: WorkerState::Interrupted { .. }, .. }));
            let waiting = matches!(state, Some(QueueState::Waiting { .. }));
            if (is_over && !waiting) || self.stop_request != StopRequest::None {
                ask_at = ask_at.min(Instant::now() + ASK_SOON);
            }
            if command.is_none() && Instant::now() >= ask_at {
                command = Some(SlurmCommand::of_job(&job).map_err(|message| self.unable(message))?);
            }
            self.apply_request(&job, state.as_ref(), &mut ending)?;
            self.poll_user(self.look_every);
        }
    }

    /// Carries out the user's request.
    fn apply_request(&mut self, job: &str, state: Option<&QueueState>, ending: &mut EndRequest) -> Result<(), Stop> {
        match self.stop_request {
            StopRequest::None => Ok(()),
            StopRequest::Detach => Err(Stop::Detached),
            StopRequest::Kill => match ending.killed {
                None if self.cancel(job) => {
                    ending.killed = Some(Instant::now());
                    Ok(())
                }
                Some(since) if since.elapsed() < KILL_PATIENCE => Ok(()),
                _ => {
                    let message =
                        format!("job {job} may still be running: `scancel {job}` ends it, the next run attaches to it");
                    (self.report)(RunEvent::Log { level: Level::Warn, message });
                    Err(Stop::Detached)
                }
            },
            StopRequest::End => {
                let Some(state) = state else { return Ok(()) };
                if state.is_over() || ending.asked.is_some_and(|asked| asked.elapsed() < STOP_AGAIN) {
                    return Ok(());
                }
                let since = *ending.since.get_or_insert_with(Instant::now);
                let waits = matches!(state, QueueState::Waiting { .. });
                let arguments: &[&str] =
                    if waits || since.elapsed() > STOP_PATIENCE { &[job] } else { &["--batch", "--signal=USR1", job] };
                let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
                let command = SlurmCommand::start("scancel", &arguments).map_err(|message| self.unable(message))?;
                match self.reply(command) {
                    Ok(Reply::Unreachable(text)) => self.no_reply(&text),
                    // An error means that the job has ended meanwhile, or is pending again.
                    Ok(Reply::Ok(_) | Reply::Error(_)) => {}
                    // A second Ctrl-C, which the next call handles.
                    Err(_) => return Ok(()),
                }
                ending.asked = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Cancels a job. Returns whether the controller has replied.
    fn cancel(&mut self, job: &str) -> bool {
        let Ok(mut command) = SlurmCommand::start("scancel", &[job.to_owned()]) else { return false };
        let begun = Instant::now();
        while begun.elapsed() < CANCEL_PATIENCE {
            match command.reply() {
                Some(Reply::Unreachable(text)) => {
                    self.no_reply(&text);
                    return false;
                }
                Some(Reply::Ok(_) | Reply::Error(_)) => return true,
                None => std::thread::sleep(LOOK_EVERY[0]),
            }
        }
        false
    }

    /// Waits until a job ends whose worker has written its final status. Cancels the job if it does not end.
    pub(super) fn wait_for_exit(&mut self) -> Result<(), Stop> {
        let Some(job) = self.submission.job.clone() else { return Ok(()) };
        let begun = Instant::now();
        let mut pause = LOOK_EVERY[0];
        loop {
            let command = SlurmCommand::of_job(&job).map_err(|message| self.unable(message))?;
            let seen = match self.reply(command) {
                Ok(reply) => controller::queue_state(reply),
                // The user does not want to wait.
                Err(_) => return Ok(()),
            };
            match seen {
                Ok(state) if state.is_over() => return Ok(()),
                // Requeued although the worker is done.
                Ok(QueueState::Waiting { .. }) => break,
                Ok(_) if begun.elapsed() > LEAVE_PATIENCE => break,
                Ok(_) => {}
                Err(text) => {
                    self.no_reply(&text);
                    return Ok(());
                }
            }
            self.wait(pause);
            pause = (pause * 2).min(ASK_SOON);
        }
        self.cancel(&job);
        Ok(())
    }
}

/// The state of a request to stop a job.
#[derive(Default)]
struct EndRequest {
    /// When the stop was first requested.
    since: Option<Instant>,
    /// When the stop was last requested.
    asked: Option<Instant>,
    /// When the job was cancelled.
    killed: Option<Instant>,
}
