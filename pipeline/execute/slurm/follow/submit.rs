//! Bringing an attempt into the queue, and finding a job whose number was never told.

use tfnas_stages::{LastWord, Submission, TurnState};

use super::{Follower, LOOK_EVERY, Stop, Wish, points};
use crate::execute::Happening;
use crate::execute::happening::Failed;
use crate::execute::slurm::controller::{Answer, Question};
use crate::execute::slurm::request::name;
use crate::execute::slurm::script::script;

/// The batch script's file in the attempt's folder.
const SCRIPT: &str = "batch.sh";

impl Follower<'_> {
    /// Notes the next submission, before it is made.
    pub(super) fn prepare(&mut self, without_progress: u32) -> Result<(), Stop> {
        let number = self.submission.number + 1;
        let attempt = self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let next = Submission {
            number,
            name: name(&self.work.id, &attempt, number),
            job: None,
            without_progress,
            resume_points: points(&self.resume),
        };
        let (program, threads) = (&self.work.program, self.work.threads);
        let program = std::path::absolute(program).unwrap_or_else(|_| program.to_path_buf());
        let tasks = self.work.queue.request.tasks();
        let text = script(&self.work.id, &program, &self.folder, number, threads, tasks);
        self.write(SCRIPT, text.as_bytes())?;
        self.note(next)?;
        self.unsure = false;
        Ok(())
    }

    fn note(&mut self, submission: Submission) -> Result<(), Stop> {
        submission.write(&self.folder).map_err(|error| {
            self.unable(format!("cannot note the submission in {}: {error}", self.folder.display()))
        })?;
        self.submission = submission;
        Ok(())
    }

    /// Submits what was prepared, unless the queue has it already.
    pub(super) fn submit(&mut self) -> Result<(), Stop> {
        loop {
            if self.unsure {
                self.listen();
                if matches!(self.word, Some(LastWord { state: TurnState::Done { .. } | TurnState::Failed { .. }, .. }))
                {
                    // It has come and gone; by now the queue may have forgotten it.
                    return Ok(());
                }
                match self.find()? {
                    Some(job) => return self.submitted(job),
                    // One that the controller takes in later will find that it has been given up.
                    None => self.prepare(self.submission.without_progress)?,
                }
            }
            match self.wish {
                Wish::GoOn => {}
                Wish::End | Wish::Kill => return Err(Stop::Interrupted),
                Wish::Leave => return Err(Stop::Left),
            }
            let cuda = self.work.device.kind() == "cuda";
            let queue = &self.work.queue;
            let mut arguments = queue.arguments(&self.submission, &self.log, self.work.threads, cuda);
            arguments.push(self.folder.join(SCRIPT).display().to_string());
            let question = Question::ask("sbatch", &arguments).map_err(|message| self.unable(message))?;
            // From here on the queue may have it, whatever becomes of the answer.
            self.unsure = true;
            match self.answer(question)? {
                Answer::Said(text) => match job_number(&text) {
                    Some(job) => return self.submitted(job),
                    None => self.silence(&format!("sbatch said `{text}`")),
                },
                Answer::Refused(text) => {
                    let hint = "`slurm:` in the configuration says what is asked for; `slurm.sbatch` takes more flags";
                    let message = format!("the cluster refused the job: {text}");
                    return Err(Stop::Failed(Failed { hint: Some(hint.to_owned()), ..Failed::new(message) }));
                }
                Answer::Silence(text) => {
                    self.silence(&text);
                    self.rest(self.work.queue.poll);
                }
            }
        }
    }

    fn submitted(&mut self, job: String) -> Result<(), Stop> {
        self.heard_controller();
        self.unsure = false;
        self.note(Submission { job: Some(job.clone()), ..self.submission.clone() })?;
        (self.tell)(Happening::Submitted { job, submission: self.submission.number });
        Ok(())
    }

    /// Looks for the submission in the queue, by its name, for as long as the controller is silent.
    fn find(&mut self) -> Result<Option<String>, Stop> {
        loop {
            let question = Question::by_name(&self.submission.name).map_err(|message| self.unable(message))?;
            match self.answer(question)? {
                Answer::Said(text) => {
                    self.heard_controller();
                    return Ok(job_number(&text));
                }
                Answer::Refused(text) | Answer::Silence(text) => self.silence(&text),
            }
            if self.wish != Wish::GoOn {
                return Err(Stop::Left);
            }
            self.rest(self.work.queue.poll);
        }
    }

    /// Waits for an answer, and for no other when the user wants an end at once.
    pub(super) fn answer(&mut self, mut question: Question) -> Result<Answer, Stop> {
        loop {
            if let Some(answer) = question.answer() {
                return Ok(answer);
            }
            self.hear(LOOK_EVERY[0]);
            if self.wish >= Wish::Kill {
                return Err(Stop::Left);
            }
        }
    }
}

/// Reads a job's number as sbatch and squeue write it, in the last line: `12`, or `12;cluster`.
fn job_number(text: &str) -> Option<String> {
    let number = text.lines().next_back()?.trim().split([';', ' ']).next()?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_number_is_the_last_line_and_nothing_else_is_one() {
        assert_eq!(job_number("12").as_deref(), Some("12"));
        assert_eq!(job_number("Welcome to the cluster\n12;north\n").as_deref(), Some("12"));
        for noise in ["", "Submitted", "12a", "\n"] {
            assert_eq!(job_number(noise), None, "{noise}");
        }
    }
}
