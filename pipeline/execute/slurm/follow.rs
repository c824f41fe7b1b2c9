use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tfnas_artifacts::{AttemptId, CacheError, KeyLock, OpenAttempt, Usage};
use tfnas_stages::{Event, Input, LastWord, Level, Metrics, Submission, TurnState, detached};

use crate::execute::attempt::Work;
use crate::execute::events::Mail;
use crate::execute::happening::Failed;
use crate::execute::heard::{self, Heard};
use crate::execute::slurm::controller::{self, Answer, Question};
use crate::execute::slurm::fault;
use crate::execute::slurm::request::name;
use crate::execute::slurm::script::script;
use crate::execute::slurm::state::{Sight, obstacle};
use crate::execute::slurm::tail::Tail;
use crate::execute::slurm::verdict::{Judgement, judge};
use crate::execute::{Ending, Happening, outputs};

/// How often the worker's files are looked at, on a file system of this machine and on a shared one.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How long what another machine has written may stay unseen here, on the same two: NFS remembers for up to half a
/// minute what a folder held.
const UNSEEN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
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
/// How many submissions in a row may come no further than their resume point.
const MOST_WITHOUT_PROGRESS: u32 = 3;

/// Does an attempt as a job of the queue, or takes up one that is there.
///
/// # Errors
/// [`CacheError`] when the store or the ledger cannot be used; a job that is there goes on.
pub fn perform(
    work: &Work<'_>,
    lock: KeyLock,
    there: Option<AttemptId>,
    inputs: BTreeMap<String, Input>,
    inbox: &Receiver<Mail>,
    tell: &dyn Fn(Happening),
) -> Result<Ending, CacheError> {
    let taken_up = there.is_some();
    let open = match there {
        Some(id) => work.cache.take_up(lock, &id)?,
        None => work.cache.begin_detached(work.run, lock, work.attempt())?,
    };
    if !taken_up {
        work.tell_start(&open, tell);
    }
    let mut follower = match Follower::new(work, &open, taken_up, inbox, tell) {
        Ok(follower) => follower,
        Err(message) => return Ok(Ending::Failed(Failed::new(message))),
    };
    let ended = follower.follow(inputs);
    let job = follower.submission.job.clone();
    let heard = follower.heard;
    let verdict = match ended {
        Ok(()) => heard::Verdict::Done,
        Err(Stop::Failed(failed)) => heard::Verdict::Failed(failed),
        Err(Stop::Interrupted) => heard::Verdict::Interrupted,
        // The attempt stays open, and the next run takes it up.
        Err(Stop::Left) => return Ok(Ending::Left { job }),
        Err(Stop::Unable(message)) => {
            let hint = job.map(|job| format!("job {job} goes on; `run` where Slurm's programs are follows it"));
            return Ok(Ending::Failed(Failed { hint, ..Failed::new(message) }));
        }
    };
    let ending = work.conclude(open, verdict, heard.metrics(), Usage::default())?;
    if taken_up && let Ending::Done(_) = &ending {
        // So that it counts as used by this run too, not by the one that began it alone.
        work.cache.take(work.run, &work.manifest.key())?;
    }
    Ok(ending)
}

/// Why an attempt is followed no further, other than that it is done.
enum Stop {
    /// It has no result.
    Failed(Failed),
    /// The user has ended it.
    Interrupted,
    /// Its job goes on without this planner, or may do so.
    Left,
    /// The queue cannot be asked from here, and there may be a job.
    Unable(String),
}

/// What the user wants of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Wish {
    GoOn,
    /// A resume point, and an end.
    End,
    /// An end at once.
    Kill,
    /// That it goes on, without this planner.
    Leave,
}

struct Follower<'a> {
    work: &'a Work<'a>,
    inbox: &'a Receiver<Mail>,
    tell: &'a dyn Fn(Happening),
    folder: PathBuf,
    output: PathBuf,
    resume: PathBuf,
    log: PathBuf,
    submission: Submission,
    /// Whether the queue may have the submission although its answer has not come.
    unsure: bool,
    word: Option<LastWord>,
    /// The start of a worker that was told last: which submission, and which start of it.
    told_start: Option<(u32, u32)>,
    tail: Tail,
    heard: Heard,
    /// Why the worker is not to go on.
    refused: Option<Failed>,
    wish: Wish,
    silent: bool,
    /// What was last told of the queue.
    told: String,
    look_every: Duration,
    unseen: Duration,
}

impl<'a> Follower<'a> {
    fn new(
        work: &'a Work<'a>,
        open: &OpenAttempt,
        taken_up: bool,
        inbox: &'a Receiver<Mail>,
        tell: &'a dyn Fn(Happening),
    ) -> Result<Self, String> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute(open.detached_folder().ok_or("the attempt has no folder to meet its worker in")?);
        let submission = Submission::read(&folder)
            .map_err(|error| format!("cannot read what was submitted, {}: {error}", folder.display()))?
            .unwrap_or_default();
        let shared = usize::from(work.cache.store().is_shared());
        if taken_up {
            let (job, attempt) = (submission.job.clone(), open.id().to_string());
            tell(Happening::TakenUp { key: open.key().to_string(), attempt, job, log: open.log().to_owned() });
        }
        Ok(Self {
            work,
            inbox,
            tell,
            tail: Tail::new(folder.join(detached::EVENTS), taken_up),
            output: absolute(open.output_folder()),
            resume: absolute(open.resume_folder()),
            log: absolute(open.log()),
            folder,
            unsure: submission.number > 0 && submission.job.is_none(),
            submission,
            word: None,
            told_start: None,
            heard: Heard::default(),
            refused: None,
            wish: Wish::GoOn,
            silent: false,
            told: String::new(),
            look_every: LOOK_EVERY[shared],
            unseen: UNSEEN[shared],
        })
    }

    /// Follows the attempt's jobs until there is a result.
    fn follow(&mut self, inputs: BTreeMap<String, Input>) -> Result<(), Stop> {
        if self.submission.number == 0 {
            let job = self.work.job(&self.output, &self.resume, inputs);
            let text = serde_json::to_vec_pretty(&job).unwrap_or_default();
            self.write(detached::JOB, &text)?;
            self.prepare(0)?;
        }
        loop {
            if self.submission.job.is_none() {
                self.submit()?;
            }
            match self.watch()? {
                Judgement::Done(metrics) => {
                    self.see_out()?;
                    return self.take(metrics);
                }
                Judgement::Failed(failed) => {
                    self.see_out()?;
                    let several = self.work.queue.request.tasks() > 1;
                    let failed = if several { fault::of_another_rank(&self.log, failed) } else { failed };
                    return Err(Stop::Failed(failed));
                }
                Judgement::Interrupted => {
                    self.see_out()?;
                    return Err(Stop::Interrupted);
                }
                Judgement::Again(because) => self.again(&because)?,
            }
        }
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Stop> {
        let path = self.folder.join(file);
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| self.unable(format!("cannot write {}: {error}", path.display())))
    }

    /// What this planner cannot do: the end of the attempt, unless a job may be under way.
    fn unable(&self, message: String) -> Stop {
        if self.unsure || self.submission.job.is_some() {
            Stop::Unable(message)
        } else {
            Stop::Failed(Failed::new(message))
        }
    }

    /// Notes the next submission, before it is made.
    fn prepare(&mut self, without_progress: u32) -> Result<(), Stop> {
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
    fn submit(&mut self) -> Result<(), Stop> {
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
    fn answer(&mut self, mut question: Question) -> Result<Answer, Stop> {
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

    /// Follows the job until there is something to be done.
    fn watch(&mut self) -> Result<Judgement, Stop> {
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
    fn see_out(&mut self) -> Result<(), Stop> {
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

    /// Waits until the outputs that the worker has left are seen here.
    fn take(&mut self, metrics: Metrics) -> Result<(), Stop> {
        let since = Instant::now();
        while outputs::collect(self.work.stage, &self.output).is_err() && since.elapsed() < self.unseen {
            self.rest(self.look_every);
        }
        self.listen();
        self.heard.hear(Event::Done { metrics }, self.tell);
        Ok(())
    }

    /// Prepares another submission, unless the last ones came no further.
    fn again(&mut self, because: &str) -> Result<(), Stop> {
        let progressed = points(&self.resume) != self.submission.resume_points;
        let without_progress = if progressed { 0 } else { self.submission.without_progress + 1 };
        if without_progress >= MOST_WITHOUT_PROGRESS {
            let hint = "more time (slurm.time_min), or resume points closer together (resume_every_s)";
            let message = format!("{because}, and {without_progress} submissions in a row came no further");
            return Err(Stop::Failed(Failed { hint: Some(hint.to_owned()), ..Failed::new(message) }));
        }
        let message = format!("{because}: it is submitted again");
        (self.tell)(Happening::Log { level: Level::Warn, message });
        self.word = None;
        self.told.clear();
        self.prepare(without_progress)
    }

    /// Takes in what the worker has written since.
    fn listen(&mut self) {
        // What cannot be read now, as where another machine replaces it, is read next time.
        if let Ok(word) = LastWord::read(&self.folder) {
            let word = word.filter(|word| word.submission == self.submission.number);
            if let Some(LastWord { host, restart, submission, .. }) = &word
                && self.told_start != Some((*submission, *restart))
            {
                self.told_start = Some((*submission, *restart));
                let again = if *restart > 0 { ", started again" } else { "" };
                let job = self.submission.job.as_ref().map_or("its job".to_owned(), |job| format!("job {job}"));
                let message = format!("{job} runs on {host}{again}");
                (self.tell)(Happening::Log { level: Level::Info, message });
            }
            self.word = word;
        }
        while let Ok(lines) = self.tail.read()
            && !lines.is_empty()
        {
            for line in lines {
                let Some(event) = line.event else { continue };
                if let Event::Hello { environment, .. } = &event {
                    self.refused = self.wrong_device(environment).or(self.refused.take());
                }
                let nobody = |_| {};
                let listener: &dyn Fn(Happening) = if line.told { &nobody } else { self.tell };
                if !self.heard.hear(event, listener) {
                    self.refused = self.heard.take_failure();
                }
            }
        }
    }

    /// A latency is filed under the device that the configuration declares, which must be the one that measures it.
    fn wrong_device(&self, environment: &BTreeMap<String, String>) -> Option<Failed> {
        let queue = &self.work.queue;
        let declared = queue.device_model.as_ref()?;
        let facts = [("device_model", declared), ("governor", &queue.governor)];
        facts.into_iter().find_map(|(fact, declared)| {
            let found = environment.get(fact).filter(|found| *found != declared)?;
            let host = environment.get("host").map_or("the node", String::as_str);
            let message = format!("the {fact} of {host} is `{found}`, and slurm.{fact} says `{declared}`");
            let hint = format!("set slurm.{fact} to what the nodes have, or choose other nodes with slurm.sbatch");
            Some(Failed { hint: Some(hint), ..Failed::new(message) })
        })
    }

    fn tell_sight(&mut self, job: &str, sight: &Sight) {
        let Sight::Waiting { reason } = sight else { return };
        if *reason != self.told {
            self.told.clone_from(reason);
            let obstacle = obstacle(reason).map(str::to_owned);
            (self.tell)(Happening::Queued { job: job.to_owned(), reason: reason.clone(), obstacle });
        }
    }

    fn silence(&mut self, why: &str) {
        if !std::mem::replace(&mut self.silent, true) {
            let message = format!("the cluster's controller does not answer ({why}): waiting for it");
            (self.tell)(Happening::Log { level: Level::Warn, message });
        }
    }

    fn heard_controller(&mut self) {
        if std::mem::take(&mut self.silent) {
            let message = "the cluster's controller answers again".to_owned();
            (self.tell)(Happening::Log { level: Level::Info, message });
        }
    }

    /// Rests, unless the user's wishes change.
    fn rest(&mut self, pause: Duration) {
        let (until, wish) = (Instant::now() + pause, self.wish);
        while self.wish == wish && Instant::now() < until {
            self.hear((until - Instant::now()).min(LOOK_EVERY[1]));
        }
    }

    /// Waits for the user's wishes, for so long at most.
    fn hear(&mut self, pause: Duration) {
        let wish = match self.inbox.recv_timeout(pause) {
            Ok(Mail::Stop) => Wish::End,
            Ok(Mail::Kill) => Wish::Kill,
            Ok(Mail::Leave) => Wish::Leave,
            // Workers of the queue send no mail.
            Ok(Mail::Event(_) | Mail::Noise(_) | Mail::Closed) | Err(RecvTimeoutError::Timeout) => return,
            Err(RecvTimeoutError::Disconnected) => Wish::Leave,
        };
        self.wish = if wish > self.wish { wish } else { self.wish };
    }
}

/// The batch script's file in the attempt's folder.
const SCRIPT: &str = "batch.sh";

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

/// Reads a job's number as sbatch and squeue write it, in the last line: `12`, or `12;cluster`.
fn job_number(text: &str) -> Option<String> {
    let number = text.lines().next_back()?.trim().split([';', ' ']).next()?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.to_owned())
}

/// Returns what identifies the resume points in a folder: names and times.
fn points(folder: &Path) -> Vec<String> {
    let mut points: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let time = entry.metadata().and_then(|facts| facts.modified()).ok();
            let since = time.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).unwrap_or_default();
            format!("{} {}", entry.file_name().to_string_lossy(), since.as_nanos())
        })
        .collect();
    points.sort();
    points
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
