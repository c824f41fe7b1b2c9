mod poll;
mod submit;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use tfnas_artifacts::{AttemptId, CacheError, KeyLock, OpenAttempt, Usage};
use tfnas_stages::{Event, Input, Level, Metrics, Submission, WorkerStatus, detached};

use crate::messages::WorkerMessage;
use crate::slurm::decision::JobOutcome;
use crate::slurm::peer_failure;
use crate::slurm::tail::Tail;
use crate::task::Task;
use crate::task_result::TaskFailure;
use crate::worker_monitor::{self, WorkerMonitor};
use crate::{RunEvent, TaskResult, outputs};

/// How often the worker's files are read, on a local and on a shared file system.
const LOOK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How long files written on another machine may stay invisible here, on a local and on a shared file system. NFS
/// caches directories for up to half a minute.
const VISIBILITY_TIMEOUT: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(30)];
/// Maximum number of consecutive submissions that end without a new resume point.
const MAX_WITHOUT_PROGRESS: u32 = 3;

/// Runs an attempt as a Slurm job, or follows the job of the attempt `there`.
///
/// # Errors
/// Returns [`CacheError`] if the store or the ledger cannot be used. A submitted job continues.
pub fn run(
    task: &Task<'_>,
    lock: KeyLock,
    there: Option<AttemptId>,
    inputs: BTreeMap<String, Input>,
    inbox: &Receiver<WorkerMessage>,
    report: &dyn Fn(RunEvent),
) -> Result<TaskResult, CacheError> {
    let reattached = there.is_some();
    if !reattached && let Err(message) = check_path(task.context.cache.store().root()) {
        // Before the attempt has a folder, with which it would count as in progress.
        return Ok(TaskResult::Failed(TaskFailure::new(message)));
    }
    let open = match there {
        Some(id) => task.context.cache.take_up(lock, &id)?,
        None => task.context.cache.begin_detached(task.context.run, lock, task.attempt())?,
    };
    if !reattached {
        task.report_start(&open, report);
    }
    let mut tracker = match JobTracker::new(task, &open, reattached, inbox, report) {
        Ok(tracker) => tracker,
        Err(message) if reattached => {
            let hint = open.detached_folder().map(|folder| {
                let folder = folder.display();
                format!("cancel its job, if the queue still has it, and remove {folder}; the next run starts anew")
            });
            return Ok(TaskResult::Failed(TaskFailure { hint, ..TaskFailure::new(message) }));
        }
        Err(message) => {
            let exit = worker_monitor::WorkerExit::Failed(TaskFailure::new(message));
            return task.conclude(open, exit, WorkerMonitor::default().metrics(), Usage::default());
        }
    };
    let ended = tracker.follow(inputs);
    let job = tracker.submission.job.clone();
    let monitor = tracker.monitor;
    let exit = match ended {
        Ok(()) => worker_monitor::WorkerExit::Done,
        Err(Stop::Failed(failed)) => worker_monitor::WorkerExit::Failed(failed),
        Err(Stop::Interrupted) => worker_monitor::WorkerExit::Interrupted,
        // The attempt stays open, and the next run follows it again.
        Err(Stop::Detached) => return Ok(TaskResult::Detached { job }),
        Err(Stop::Unable(message)) => {
            let hint = job.map(|job| {
                format!("job {job} is still running; run the command again on a machine with Slurm to track it")
            });
            return Ok(TaskResult::Failed(TaskFailure { hint, ..TaskFailure::new(message) }));
        }
    };
    let ending = task.conclude(open, exit, monitor.metrics(), Usage::default())?;
    if reattached && let TaskResult::Done(_) = &ending {
        // Record that this run has used the result, too, in addition to the run that has submitted the job.
        task.context.cache.find_and_use(task.context.run, &task.manifest.key())?;
    }
    Ok(ending)
}

/// Why the tracker stops before the attempt has succeeded.
enum Stop {
    /// The attempt has failed.
    Failed(TaskFailure),
    /// The user has stopped it.
    Interrupted,
    /// The job may continue without this planner.
    Detached,
    /// Slurm cannot be queried from here, and there may be a job.
    Unable(String),
}

/// What the user has requested, from weakest to strongest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum StopRequest {
    None,
    /// Write a resume point and exit.
    End,
    /// Stop immediately.
    Kill,
    /// This planner exits; the job continues.
    Detach,
}

struct JobTracker<'a> {
    task: &'a Task<'a>,
    inbox: &'a Receiver<WorkerMessage>,
    report: &'a dyn Fn(RunEvent),
    folder: PathBuf,
    output: PathBuf,
    resume: PathBuf,
    log: PathBuf,
    trace: PathBuf,
    submission: Submission,
    /// Whether the submission may be in the queue although `sbatch` has not replied.
    submission_unconfirmed: bool,
    status: Option<WorkerStatus>,
    /// The last start of a worker that was reported: number of the submission and of the restart.
    reported_start: Option<(u32, u32)>,
    tail: Tail,
    monitor: WorkerMonitor,
    /// Why the worker must not continue.
    refused: Option<TaskFailure>,
    stop_request: StopRequest,
    no_reply_reported: bool,
    /// The pending reason that was reported last.
    reported: String,
    look_every: Duration,
    visibility_timeout: Duration,
}

impl<'a> JobTracker<'a> {
    fn new(
        task: &'a Task<'a>,
        open: &OpenAttempt,
        reattached: bool,
        inbox: &'a Receiver<WorkerMessage>,
        report: &'a dyn Fn(RunEvent),
    ) -> Result<Self, String> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute(open.detached_folder().ok_or("the attempt has no folder for messages of its worker")?);
        check_path(&folder)?;
        let submission = Submission::read(&folder)
            .map_err(|error| format!("cannot read what was submitted, {}: {error}", folder.display()))?
            .unwrap_or_default();
        let shared = usize::from(task.context.cache.store().is_shared());
        if reattached {
            let (job, attempt) = (submission.job.clone(), open.id().to_string());
            report(RunEvent::Reattached { key: open.key().to_string(), attempt, job, log: open.log().to_owned() });
        }
        Ok(Self {
            task,
            inbox,
            report,
            tail: Tail::new(&folder.join(detached::EVENTS), reattached),
            output: absolute(open.output_folder()),
            resume: absolute(open.resume_folder()),
            log: absolute(open.log()),
            trace: absolute(open.trace()),
            folder,
            submission_unconfirmed: submission.number > 0 && submission.job.is_none(),
            submission,
            status: None,
            reported_start: None,
            monitor: WorkerMonitor::default(),
            refused: None,
            stop_request: StopRequest::None,
            no_reply_reported: false,
            reported: String::new(),
            look_every: LOOK_EVERY[shared],
            visibility_timeout: VISIBILITY_TIMEOUT[shared],
        })
    }

    /// Follows the jobs of the attempt until it has a result.
    fn follow(&mut self, inputs: BTreeMap<String, Input>) -> Result<(), Stop> {
        if self.submission.number == 0 {
            let job = self.task.job(&self.output, &self.resume, &self.trace, inputs);
            let text = serde_json::to_vec_pretty(&job).unwrap_or_default();
            self.write(detached::JOB, &text)?;
            self.prepare(0)?;
        }
        loop {
            if self.submission.job.is_none() {
                self.submit()?;
            }
            match self.watch()? {
                JobOutcome::Done(metrics) => {
                    self.wait_for_exit()?;
                    return self.take(metrics);
                }
                JobOutcome::Failed(failed) => {
                    self.wait_for_exit()?;
                    let several = self.task.execution.queue.request.tasks() > 1;
                    let failed = if several { peer_failure::of_another_rank(&self.log, failed) } else { failed };
                    return Err(Stop::Failed(failed));
                }
                JobOutcome::Interrupted => {
                    self.wait_for_exit()?;
                    return Err(Stop::Interrupted);
                }
                JobOutcome::Resubmit(because) => self.resubmit(&because)?,
            }
        }
    }

    fn write(&self, file: &str, bytes: &[u8]) -> Result<(), Stop> {
        let path = self.folder.join(file);
        tfnas_fs::write_synced(&path, bytes)
            .map_err(|error| self.unable(format!("cannot write {}: {error}", path.display())))
    }

    /// Turns an error of this planner into the reason to stop: the attempt has failed, unless there may be a job.
    fn unable(&self, message: String) -> Stop {
        if self.submission_unconfirmed || self.submission.job.is_some() {
            Stop::Unable(message)
        } else {
            Stop::Failed(TaskFailure::new(message))
        }
    }

    /// Waits until the worker's outputs are visible here.
    fn take(&mut self, metrics: Metrics) -> Result<(), Stop> {
        let since = Instant::now();
        while outputs::collect(self.task.stage, &self.task.params, &self.output).is_err()
            && since.elapsed() < self.visibility_timeout
        {
            self.wait(self.look_every);
        }
        self.read_worker();
        self.monitor.handle(Event::Done { metrics }, self.report);
        Ok(())
    }

    /// Prepares another submission, unless the last ones have made no progress.
    fn resubmit(&mut self, because: &str) -> Result<(), Stop> {
        let progressed = points(&self.resume) != self.submission.resume_points;
        let without_progress = if progressed { 0 } else { self.submission.without_progress + 1 };
        if without_progress >= MAX_WITHOUT_PROGRESS {
            let hint = "raise slurm.time_min, or lower resume_every_s";
            let message = format!("{because}, and {without_progress} submissions in a row made no progress");
            return Err(Stop::Failed(TaskFailure { hint: Some(hint.to_owned()), ..TaskFailure::new(message) }));
        }
        let message = format!("{because}: it is submitted again");
        (self.report)(RunEvent::Log { level: Level::Warn, message });
        self.status = None;
        self.reported.clear();
        self.prepare(without_progress)
    }
}

/// Checks that the path of a folder is text: the batch script and the options of sbatch are.
fn check_path(folder: &Path) -> Result<(), String> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    match folder.to_str() {
        Some(_) => Ok(()),
        None => Err(format!("executor: slurm needs a store whose path is UTF-8 text, not {folder:?}")),
    }
}

/// Identifies the resume points in a folder by their names and timestamps.
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
