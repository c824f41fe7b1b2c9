//! Following a job: events of its worker, state in the queue, requests of the user.

use std::time::{Duration, Instant};

use tfnas_stages::{Level, WorkerState, WorkerStatus};

use super::{JobTracker, LOOK_EVERY, Stop, StopRequest};
use crate::RunEvent;
use crate::slurm::controller::{self, Reply, SlurmCommand};
use crate::slurm::decision::{JobOutcome, decide};
use crate::slurm::state::QueueState;

/// How soon the controller is asked again while something waits for its reply.
const ASK_SOON: Duration = Duration::from_secs(1);
/// How long a job may take to end in order: a slow step, and a checkpoint of the largest state.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How soon a request to end is repeated: one that reaches the node before the worker is lost.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// How long a cancelled job may take to its end: Slurm kills what ignores the signal after half a minute.
const KILL_PATIENCE: Duration = Duration::from_secs(60);
/// How long the controller may take to be told that a job is to end, when the user waits for it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(15);
/// How long a job may stay in the queue after its worker's final status.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

impl JobTracker<'_> {
    /// Follows the job until there is something to be done.
    pub(super) fn watch(&mut self) -> Result<JobOutcome, Stop> {
        let job = self.submission.job.clone().unwrap_or_default();
        let poll = self.task.queue.poll;
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
                    // After a kill no status is waited for: it would be discarded.
                    if doubt.get_or_insert_with(Instant::now).elapsed() >= self.visibility_timeout
                        || self.stop_request == StopRequest::Kill
                    {
                        return Ok(decision.outcome);
                    }
                }
                None => doubt = None,
            }
            // The queue has to say why the worker was interrupted, or the user waits.
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

    /// Does what the user asked for.
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
                    let message = format!("job {job} may go on: `scancel {job}` ends it, the next run follows it");
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
                    Ok(Reply::NoReply(text)) => self.no_reply(&text),
                    // Refused: it has ended meanwhile, or waits again.
                    Ok(Reply::Ok(_) | Reply::Error(_)) => {}
                    // The second Ctrl-C, which is obeyed next.
                    Err(_) => return Ok(()),
                }
                ending.asked = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Cancels a job; returns whether the controller replied.
    fn cancel(&mut self, job: &str) -> bool {
        let Ok(mut command) = SlurmCommand::start("scancel", &[job.to_owned()]) else { return false };
        let begun = Instant::now();
        while begun.elapsed() < CANCEL_PATIENCE {
            match command.reply() {
                Some(Reply::NoReply(text)) => {
                    self.no_reply(&text);
                    return false;
                }
                Some(Reply::Ok(_) | Reply::Error(_)) => return true,
                None => std::thread::sleep(LOOK_EVERY[0]),
            }
        }
        false
    }

    /// Waits until a job ends whose worker has written its final status, and cancels it if it does not end.
    pub(super) fn wait_for_exit(&mut self) -> Result<(), Stop> {
        let Some(job) = self.submission.job.clone() else { return Ok(()) };
        let begun = Instant::now();
        let mut pause = LOOK_EVERY[0];
        loop {
            let command = SlurmCommand::of_job(&job).map_err(|message| self.unable(message))?;
            let seen = match self.reply(command) {
                Ok(reply) => controller::queue_state(reply),
                // The user waits no longer.
                Err(_) => return Ok(()),
            };
            match seen {
                Ok(state) if state.is_over() => return Ok(()),
                // Started again although it was done.
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

/// How far the request to end a job is.
#[derive(Default)]
struct EndRequest {
    /// Since when it has been asked to end.
    since: Option<Instant>,
    /// When it was asked last.
    asked: Option<Instant>,
    /// When it was cancelled.
    killed: Option<Instant>,
}
