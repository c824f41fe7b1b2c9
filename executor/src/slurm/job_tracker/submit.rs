//! Submits an attempt, and finds a job whose number was lost.

use tfnas_stages::{Submission, WorkerState, WorkerStatus};

use super::{JobTracker, LOOK_EVERY, Stop, StopRequest, points};
use crate::RunEvent;
use crate::slurm::controller::{Reply, SlurmCommand};
use crate::slurm::request::name;
use crate::slurm::script::script;
use crate::task_result::TaskFailure;

/// File name of the batch script in the attempt's folder.
const SCRIPT: &str = "batch.sh";

impl JobTracker<'_> {
    /// Records the next submission before it is made.
    pub(super) fn prepare(&mut self, without_progress: u32) -> Result<(), Stop> {
        let number = self.submission.number + 1;
        let attempt = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let next = Submission {
            number,
            name: name(&self.task.id, &attempt, number),
            job: None,
            without_progress,
            resume_points: points(&self.resume),
        };
        let (program, threads) = (&self.task.context.program, self.task.execution.threads);
        let program = std::path::absolute(program).unwrap_or_else(|_| program.to_path_buf());
        let tasks = self.task.execution.queue.request.tasks();
        let text = script(&self.task.id, &program, &self.folder, number, threads, tasks);
        self.write(SCRIPT, text.as_bytes())?;
        self.note(next)?;
        self.submission_unconfirmed = false;
        Ok(())
    }

    fn note(&mut self, submission: Submission) -> Result<(), Stop> {
        submission.write(&self.folder).map_err(|error| {
            self.unable(format!("cannot record the submission in {}: {error}", self.folder.display()))
        })?;
        self.submission = submission;
        Ok(())
    }

    /// Submits the prepared submission, unless the queue has it already.
    pub(super) fn submit(&mut self) -> Result<(), Stop> {
        loop {
            if self.submission_unconfirmed {
                self.read_worker();
                if matches!(
                    self.status,
                    Some(WorkerStatus { state: WorkerState::Done { .. } | WorkerState::Failed { .. }, .. })
                ) {
                    // The job has already ended; the controller may have forgotten it.
                    return Ok(());
                }
                match self.find()? {
                    Some(job) => return self.submitted(job),
                    // If the controller accepts the job later, the job will read that it was replaced, and exit.
                    None => self.prepare(self.submission.without_progress)?,
                }
            }
            match self.stop_request {
                StopRequest::None => {}
                StopRequest::End | StopRequest::Kill => return Err(Stop::Interrupted),
                StopRequest::Detach => return Err(Stop::Detached),
            }
            let cuda = self.task.execution.device.kind() == "cuda";
            let queue = &self.task.execution.queue;
            let mut arguments = queue.arguments(&self.submission, &self.log, self.task.execution.threads, cuda);
            arguments.push(self.folder.join(SCRIPT).display().to_string());
            let command = SlurmCommand::start("sbatch", &arguments).map_err(|message| self.unable(message))?;
            // From here on, the job may be in the queue, with or without a reply.
            self.submission_unconfirmed = true;
            match self.reply(command)? {
                Reply::Ok(text) => match job_number(&text) {
                    Some(job) => return self.submitted(job),
                    None => self.no_reply(&format!("sbatch printed `{text}`")),
                },
                Reply::Error(text) => {
                    let hint = "the `slurm` section sets the request; add options with `slurm.sbatch`";
                    let message = format!("the cluster refused the job: {text}");
                    return Err(Stop::Failed(TaskFailure { hint: Some(hint.to_owned()), ..TaskFailure::new(message) }));
                }
                Reply::Unreachable(text) => {
                    self.no_reply(&text);
                    self.wait(self.task.execution.queue.poll);
                }
            }
        }
    }

    fn submitted(&mut self, job: String) -> Result<(), Stop> {
        self.controller_replied();
        self.submission_unconfirmed = false;
        self.note(Submission { job: Some(job.clone()), ..self.submission.clone() })?;
        (self.report)(RunEvent::Submitted { job, submission: self.submission.number });
        Ok(())
    }

    /// Looks up the submission in the queue by its name. Retries until the controller replies.
    fn find(&mut self) -> Result<Option<String>, Stop> {
        loop {
            let command = SlurmCommand::by_name(&self.submission.name).map_err(|message| self.unable(message))?;
            match self.reply(command)? {
                Reply::Ok(text) => {
                    self.controller_replied();
                    return Ok(job_number(&text));
                }
                Reply::Error(text) | Reply::Unreachable(text) => self.no_reply(&text),
            }
            if self.stop_request != StopRequest::None {
                return Err(Stop::Detached);
            }
            self.wait(self.task.execution.queue.poll);
        }
    }

    /// Waits for the reply, unless the user requests an immediate stop.
    pub(super) fn reply(&mut self, mut command: SlurmCommand) -> Result<Reply, Stop> {
        loop {
            if let Some(reply) = command.reply() {
                return Ok(reply);
            }
            self.poll_user(LOOK_EVERY[0]);
            if self.stop_request >= StopRequest::Kill {
                return Err(Stop::Detached);
            }
        }
    }
}

/// Parses a job number from the last line that sbatch or squeue prints: `12` or `12;cluster`.
fn job_number(text: &str) -> Option<String> {
    let number = text.lines().next_back()?.trim().split([';', ' ']).next()?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_number_is_parsed_from_the_last_line() {
        assert_eq!(job_number("12").as_deref(), Some("12"));
        assert_eq!(job_number("Welcome to the cluster\n12;north\n").as_deref(), Some("12"));
        for noise in ["", "Submitted", "12a", "\n"] {
            assert_eq!(job_number(noise), None, "{noise}");
        }
    }
}
