mod hear;
mod submit;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tfnas_artifacts::{AttemptId, CacheError, KeyLock, OpenAttempt, Usage};
use tfnas_stages::{Event, Input, LastWord, Level, Metrics, Submission, detached};

use crate::execute::attempt::Work;
use crate::execute::events::Mail;
use crate::execute::happening::Failed;
use crate::execute::heard::{self, Heard};
use crate::execute::slurm::fault;
use crate::execute::slurm::tail::Tail;
use crate::execute::slurm::verdict::Judgement;
use crate::execute::{Ending, Happening, outputs};

/// How often the worker's files are looked at, on a file system of this machine and on a shared one.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How long what another machine has written may stay unseen here, on the same two: NFS remembers for up to half a
/// minute what a folder held.
const UNSEEN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
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
        if folder.to_str().is_none() {
            // The batch script and Slurm's options are text.
            return Err(format!("executor: slurm needs a store whose path is UTF-8 text, not {folder:?}"));
        }
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
        tfnas_fs::write_synced(&path, bytes)
            .map_err(|error| self.unable(format!("cannot write {}: {error}", path.display())))
    }

    /// What this planner cannot do: the end of the attempt, unless a job may be under way.
    fn unable(&self, message: String) -> Stop {
        if self.unsure || self.submission.job.is_some() {
            Stop::Unable(message)
        } else {
            Stop::Failed(Failed::new(message))
        }
    }

    /// Waits until the outputs that the worker has left are seen here.
    fn take(&mut self, metrics: Metrics) -> Result<(), Stop> {
        let since = Instant::now();
        while outputs::collect(self.work.stage, &self.work.params, &self.output).is_err()
            && since.elapsed() < self.unseen
        {
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
