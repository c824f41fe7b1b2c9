//! Watching a job: what its worker says, what the queue says, what the user wants.

use std::time::{Duration, Instant};

use tfnas_stages::{LastWord, Level, TurnState};

use super::{Follower, LOOK_EVERY, Stop, Wish};
use crate::execute::Happening;
use crate::execute::slurm::controller::{self, Answer, Question};
use crate::execute::slurm::state::Sight;
use crate::execute::slurm::verdict::{Judgement, judge};

/// How soon the controller is asked again where its answer is waited for.
const ASK_SOON: Duration = Duration::from_secs(1);
/// How long a job may take to an orderly end: a resume point of the largest state, and a slow step before it.
const STOP_PATIENCE: Duration = Duration::from_secs(60);
/// How soon a request to end is repeated: one that reaches the node before the worker is lost.
const STOP_AGAIN: Duration = Duration::from_secs(5);
/// How long a cancelled job may take to its end: Slurm kills what does not obey after half a minute.
const KILL_PATIENCE: Duration = Duration::from_secs(60);
/// How long the controller may take to be told that a job is to end, when the user waits for it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(15);
/// How long a job may stay after its worker's last word.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

impl Follower<'_> {
    /// Follows the job until there is something to be done.
    pub(super) fn watch(&mut self) -> Result<Judgement, Stop> {
        let job = self.submission.job.clone().unwrap_or_default();
        let poll = self.work.queue.poll;
        let mut question: Option<Question> = None;
        let mut sight: Option<Sight> = None;
        let mut ask_at = Instant::now() + poll.min(ASK_SOON);
        let mut doubt: Option<Instant> = None;
        let mut ending = EndRequest::default();
        loop {
            self.listen();
            if let Some(failed) = self.refused.take() {
                self.cancel(&job);
                return Ok(Judgement::Failed(failed));
            }
            if let Some(answer) = question.as_mut().and_then(Question::answer) {
                question = None;
                let mut pause = poll;
                match controller::sight(answer) {
                    Ok(seen) => {
                        self.heard_controller();
                        self.tell_sight(&job, &seen);
                        sight = Some(seen);
                    }
                    Err(text) => {
                        self.silence(&text);
                        pause = poll.max(ASK_SOON);
                    }
                }
                ask_at = Instant::now() + pause;
            }
            let word = self.word.as_ref().map(|word| &word.state);
            match judge(&job, word, sight.as_ref(), self.wish != Wish::GoOn) {
                Some(verdict) if verdict.certain => return Ok(verdict.judgement),
                Some(verdict) => {
                    // Who ends it at once does not wait for a word that would be thrown away.
                    if doubt.get_or_insert_with(Instant::now).elapsed() >= self.unseen || self.wish == Wish::Kill {
                        return Ok(verdict.judgement);
                    }
                }
                None => doubt = None,
            }
            // The worker has said its last word and the queue has to say what it means; or the user waits.
            let is_over = matches!(self.word, Some(LastWord { state: TurnState::Interrupted { .. }, .. }));
            let waiting = matches!(sight, Some(Sight::Waiting { .. }));
            if (is_over && !waiting) || self.wish != Wish::GoOn {
                ask_at = ask_at.min(Instant::now() + ASK_SOON);
            }
            if question.is_none() && Instant::now() >= ask_at {
                question = Some(Question::of_job(&job).map_err(|message| self.unable(message))?);
            }
            self.obey(&job, sight.as_ref(), &mut ending)?;
            self.hear(self.look_every);
        }
    }

    /// Does what the user wants of the job.
    fn obey(&mut self, job: &str, sight: Option<&Sight>, ending: &mut EndRequest) -> Result<(), Stop> {
        match self.wish {
            Wish::GoOn => Ok(()),
            Wish::Leave => Err(Stop::Left),
            Wish::Kill => match ending.killed {
                None if self.cancel(job) => {
                    ending.killed = Some(Instant::now());
                    Ok(())
                }
                Some(since) if since.elapsed() < KILL_PATIENCE => Ok(()),
                _ => {
                    let message = format!("job {job} may go on: `scancel {job}` ends it, the next run follows it");
                    (self.tell)(Happening::Log { level: Level::Warn, message });
                    Err(Stop::Left)
                }
            },
            Wish::End => {
                let Some(sight) = sight else { return Ok(()) };
                if sight.is_over() || ending.asked.is_some_and(|asked| asked.elapsed() < STOP_AGAIN) {
                    return Ok(());
                }
                let since = *ending.since.get_or_insert_with(Instant::now);
                let waits = matches!(sight, Sight::Waiting { .. });
                let arguments: &[&str] =
                    if waits || since.elapsed() > STOP_PATIENCE { &[job] } else { &["--batch", "--signal=USR1", job] };
                let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
                let question = Question::ask("scancel", &arguments).map_err(|message| self.unable(message))?;
                match self.answer(question) {
                    Ok(Answer::Silence(text)) => self.silence(&text),
                    // Refused: it has ended meanwhile, or waits again.
                    Ok(Answer::Said(_) | Answer::Refused(_)) => {}
                    // The second Ctrl-C, which is obeyed next.
                    Err(_) => return Ok(()),
                }
                ending.asked = Some(Instant::now());
                Ok(())
            }
        }
    }

    /// Cancels a job; returns whether the controller has heard it.
    fn cancel(&mut self, job: &str) -> bool {
        let Ok(mut question) = Question::ask("scancel", &[job.to_owned()]) else { return false };
        let begun = Instant::now();
        while begun.elapsed() < CANCEL_PATIENCE {
            match question.answer() {
                Some(Answer::Silence(text)) => {
                    self.silence(&text);
                    return false;
                }
                Some(Answer::Said(_) | Answer::Refused(_)) => return true,
                None => std::thread::sleep(LOOK_EVERY[0]),
            }
        }
        false
    }

    /// Lets a job end whose worker has said its last word, and cancels it where it does not: none is left behind.
    pub(super) fn see_out(&mut self) -> Result<(), Stop> {
        let Some(job) = self.submission.job.clone() else { return Ok(()) };
        let begun = Instant::now();
        let mut pause = LOOK_EVERY[0];
        loop {
            let question = Question::of_job(&job).map_err(|message| self.unable(message))?;
            let seen = match self.answer(question) {
                Ok(answer) => controller::sight(answer),
                // The user waits no longer.
                Err(_) => return Ok(()),
            };
            match seen {
                Ok(sight) if sight.is_over() => return Ok(()),
                // Started again although it was done.
                Ok(Sight::Waiting { .. }) => break,
                Ok(_) if begun.elapsed() > LEAVE_PATIENCE => break,
                Ok(_) => {}
                Err(text) => {
                    self.silence(&text);
                    return Ok(());
                }
            }
            self.rest(pause);
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
