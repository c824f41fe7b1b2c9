use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use serde_json::Value;
use tfnas_artifacts::{
    AttemptId, Cache, CacheError, Digest, Failure, Holder, KeyManifest, NewAttempt, OpenAttempt, OpenRun, Outcome,
    Purpose, Usage, Waiting,
};
use tfnas_planner::machine::{Device, build, record};
use tfnas_planner::plan::Cause;
use tfnas_stages::{Executor, ImageCheck, Input, Job, PROTOCOL_VERSION, Stage};

use crate::exit_status::{self, OomMonitor};
use crate::messages::WorkerMessage;
use crate::process::{Process, Start};
use crate::ranks::{PeerRanks, RankEnvironment, add_usage};
use crate::slurm::{self, Queue};
use crate::task_result::TaskFailure;
use crate::worker_monitor::{WorkerExit, WorkerMonitor};
use crate::{RunEvent, TaskResult, outputs};

/// How long a worker may take to exit after its output was closed.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Everything needed to run one instance.
pub struct Task<'a> {
    pub context: RunContext<'a>,
    /// Name of the instance.
    pub id: String,
    pub stage: Stage,
    pub params: Value,
    /// Identifies the work; its digest is the cache key.
    pub manifest: KeyManifest,
    pub inputs: TaskInputs,
    pub execution: Execution,
    /// Why the instance runs.
    pub because: Vec<Cause>,
    /// Expected duration in seconds.
    pub expected_s: Option<f64>,
    /// Whether to run even if a result is cached.
    pub forced: bool,
    /// The purpose of the attempt.
    pub purpose: Purpose,
}

/// What all tasks of a run have in common.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    pub cache: &'a Cache,
    pub run: &'a OpenRun,
    /// The worker.
    pub program: &'a Path,
    /// The commit of this program's source, if known.
    pub source_revision: Option<&'a str>,
}

/// The inputs of an instance.
pub struct TaskInputs {
    /// Inputs that are outputs of other instances: port, index of the instance, digest.
    pub made: Vec<(&'static str, usize, Digest)>,
    /// All other inputs, by port.
    pub given: BTreeMap<&'static str, Input>,
    /// Images that the worker checks first.
    pub check: Option<ImageCheck>,
}

/// Where and how an instance is executed. Of this, its result depends on the device, the threads and the ranks.
pub struct Execution {
    pub device: Device,
    /// Number of computing threads.
    pub threads: usize,
    /// Number of threads that decode images ahead of time.
    pub data_workers: usize,
    /// Interval between resume points within an epoch, in seconds.
    pub resume_every_s: f64,
    /// Number of processes that work on the instance.
    pub ranks: usize,
    /// Number of processes that this planner starts.
    pub processes: usize,
    /// Whether all ranks run the stage, if there are several.
    pub on_ranks: bool,
    /// How long a rank waits for the others, in seconds.
    pub rank_timeout_s: f64,
    /// Whether the worker runs locally or as a Slurm job.
    pub executor: Executor,
    /// How the instance is queued if it runs as a Slurm job.
    pub queue: Queue,
    /// Whether to measure where the time goes.
    pub profile: bool,
}

/// The inputs of a task, after each output of another stage was verified.
enum VerifiedInputs {
    /// The inputs by port.
    Verified(BTreeMap<String, Input>),
    /// An input is damaged: instance `upstream` must make it again.
    Damaged { upstream: usize, message: String },
}

impl Task<'_> {
    /// Runs the instance, or waits for another process that runs it. Events are passed to `report`.
    pub fn run(
        &self,
        inbox: &Receiver<WorkerMessage>,
        sender: Sender<WorkerMessage>,
        report: &dyn Fn(RunEvent),
    ) -> TaskResult {
        match self.try_run(inbox, sender, report) {
            Ok(ending) => ending,
            Err(error) => TaskResult::Failed(TaskFailure::new(error.to_string())),
        }
    }

    fn try_run(
        &self,
        inbox: &Receiver<WorkerMessage>,
        sender: Sender<WorkerMessage>,
        report: &dyn Fn(RunEvent),
    ) -> Result<TaskResult, CacheError> {
        let inputs = match self.verified_inputs()? {
            VerifiedInputs::Verified(inputs) => inputs,
            VerifiedInputs::Damaged { upstream, message } => return Ok(TaskResult::Damaged { upstream, message }),
        };
        let known = if self.forced { self.results()? } else { Vec::new() };
        let mut waited = false;
        let mut waiting = |holder: &Holder| {
            if !waited {
                waited = true;
                report(RunEvent::Waiting { holder: named(holder) });
            }
            match inbox.try_recv() {
                Ok(WorkerMessage::Stop | WorkerMessage::Kill | WorkerMessage::Detach) => Waiting::GiveUp,
                _ => Waiting::GoOn,
            }
        };
        let Some(lock) = self.context.cache.lock(&self.manifest.key(), &mut waiting)? else {
            return Ok(TaskResult::Interrupted);
        };
        // The previous holder of the lock has probably committed a result. If this task is forced, one from before does not
        // count.
        let is_wanted = !self.forced || (waited && self.results()?.iter().any(|result| !known.contains(result)));
        if self.purpose == Purpose::Run && is_wanted {
            let found = self.context.cache.find_and_use(self.context.run, &self.manifest.key())?.result;
            if let Some(result) = found.filter(|result| !known.contains(&result.id)) {
                return Ok(TaskResult::Used(Box::new(result)));
            }
        }
        let there = self.context.cache.detached_attempt(&self.manifest.key(), self.purpose)?;
        // A job that is already in the queue is followed, even if the executor was changed.
        if self.execution.executor == Executor::Slurm || there.is_some() {
            return slurm::run(self, lock, there, inputs, inbox, report);
        }
        let open = self.context.cache.begin_attempt(self.context.run, lock, self.attempt())?;
        self.report_start(&open, report);
        self.supervise(open, inputs, inbox, sender, report)
    }

    /// Returns the IDs of the results of this task's key, whether or not they are damaged.
    fn results(&self) -> Result<Vec<AttemptId>, CacheError> {
        let attempts = self.context.cache.ledger().attempts_of(&self.manifest.key())?.into_iter();
        let results =
            attempts.filter(|attempt| attempt.outcome == Some(Outcome::Done) && attempt.purpose == Purpose::Run);
        Ok(results.map(|result| result.id).collect())
    }

    /// Returns what the ledger records at the start of an attempt.
    pub fn attempt(&self) -> NewAttempt {
        NewAttempt {
            instance: self.id.clone(),
            manifest: self.manifest.clone(),
            origins: self.origins(),
            environment: record(
                &self.execution.device,
                self.execution.threads,
                self.execution.ranks,
                self.context.program,
                &self.context.cache.store().program_memos(),
                self.context.source_revision,
            ),
            purpose: self.purpose,
        }
    }

    pub fn report_start(&self, open: &OpenAttempt, report: &dyn Fn(RunEvent)) {
        report(RunEvent::Started {
            key: self.manifest.key().to_string(),
            attempt: open.id().to_string(),
            because: self.because.clone(),
            expected_s: self.expected_s,
            log: open.log().to_owned(),
        });
    }

    /// Returns the inputs for the worker, after verifying each output of another stage.
    fn verified_inputs(&self) -> Result<VerifiedInputs, CacheError> {
        let mut inputs: BTreeMap<String, Input> =
            self.inputs.given.iter().map(|(port, input)| ((*port).to_owned(), input.clone())).collect();
        for (port, upstream, digest) in &self.inputs.made {
            let path = match self.context.cache.open_verified(digest) {
                Ok(path) => std::path::absolute(&path).unwrap_or(path),
                Err(CacheError::Object(error)) => {
                    return Ok(VerifiedInputs::Damaged { upstream: *upstream, message: error.to_string() });
                }
                Err(other) => return Err(other),
            };
            inputs.insert((*port).to_owned(), Input { path, list: None, digest: digest.to_string() });
        }
        Ok(VerifiedInputs::Verified(inputs))
    }

    fn origins(&self) -> BTreeMap<String, String> {
        let shown = |input: &Input| input.list.as_ref().unwrap_or(&input.path).display().to_string();
        self.inputs.given.iter().map(|(port, input)| ((*port).to_owned(), shown(input))).collect()
    }

    /// Returns the job for a worker that writes to the given folders, and to the file `trace` if it is profiled.
    pub fn job(&self, output: &Path, resume: &Path, trace: &Path, inputs: BTreeMap<String, Input>) -> Job {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Job {
            protocol: PROTOCOL_VERSION,
            version: build::VERSION.to_owned(),
            id: self.id.clone(),
            stage: self.stage,
            params: self.params.clone(),
            inputs,
            output_dir: absolute(output),
            resume_dir: absolute(resume),
            resume_every_s: self.execution.resume_every_s,
            device: self.execution.device.to_string(),
            threads: self.execution.threads,
            data_workers: self.execution.data_workers,
            on_ranks: self.execution.on_ranks,
            rank_timeout_s: self.execution.rank_timeout_s,
            check: self.inputs.check.clone(),
            trace: self.execution.profile.then(|| absolute(trace)),
        }
    }

    /// Starts the worker, monitors it until it exits, and records the result.
    fn supervise(
        &self,
        open: OpenAttempt,
        inputs: BTreeMap<String, Input>,
        inbox: &Receiver<WorkerMessage>,
        sender: Sender<WorkerMessage>,
        report: &dyn Fn(RunEvent),
    ) -> Result<TaskResult, CacheError> {
        let memory = OomMonitor::watch();
        let mut monitor = WorkerMonitor::default();
        let started = self.start(&open, inputs, sender);
        let (exit, usage) = match started {
            Err(message) => (WorkerExit::Failed(TaskFailure::new(message)), Usage::default()),
            Ok((mut process, others)) => {
                monitor.run(&mut process, inbox, report);
                let ended = process.finish(END_PATIENCE).and_then(|ended| Ok((ended, others.end()?)));
                match ended {
                    Ok(((status, usage), (of_others, fault))) => {
                        let usage = add_usage(usage, of_others);
                        let killed = memory.happened();
                        let death = || exit_status::describe(status, killed, usage.peak_memory_bytes);
                        let exit = match monitor.exit(status.code(), death) {
                            // The rank that caused the failure knows more about it.
                            WorkerExit::Failed(failed) if failed.peer => WorkerExit::Failed(fault.unwrap_or(failed)),
                            exit => exit,
                        };
                        (exit, usage)
                    }
                    Err(error) => {
                        let message = format!("cannot wait for the worker: {error}");
                        (WorkerExit::Failed(TaskFailure::new(message)), Usage::default())
                    }
                }
            }
        };
        monitor.identify_libtorch(&self.context.cache.store().program_memos());
        self.conclude(open, exit, monitor.metrics(), usage)
    }

    /// Records the result of an attempt, and commits its outputs if it has succeeded.
    ///
    /// # Errors
    /// Returns [`CacheError`] if a failure or an interruption cannot be recorded.
    pub fn conclude(
        &self,
        mut open: OpenAttempt,
        exit: WorkerExit,
        metrics: Value,
        usage: Usage,
    ) -> Result<TaskResult, CacheError> {
        let log = open.log().to_owned();
        let failure = |interrupted, cause: &str| Failure {
            interrupted,
            cause: cause.to_owned(),
            metrics: metrics.clone(),
            usage,
        };
        let failed = match exit {
            WorkerExit::Done => match outputs::collect(self.stage, &self.params, open.output_folder()) {
                Ok(outputs) => match self.context.cache.commit(&mut open, &outputs, metrics.clone(), usage) {
                    Ok(attempt) => return Ok(TaskResult::Done(Box::new(attempt))),
                    Err(error) => TaskFailure::new(format!("its outputs cannot be stored: {error}")),
                },
                Err(message) => TaskFailure::new(message),
            },
            WorkerExit::Interrupted => {
                self.context.cache.fail(open, failure(true, "stopped"))?;
                return Ok(TaskResult::Interrupted);
            }
            WorkerExit::Failed(failed) => failed,
        };
        let tail = exit_status::tail(&log);
        // Report the stage's own failure in any case. An error of the ledger is appended to its message.
        let recorded = self.context.cache.fail(open, failure(false, &failed.message)).map(|_| ());
        let message = match recorded {
            Ok(()) => failed.message,
            Err(error) => format!("{}; and this could not be recorded: {error}", failed.message),
        };
        Ok(TaskResult::Failed(TaskFailure { message, log: Some(log), tail, ..failed }))
    }

    fn start(
        &self,
        open: &OpenAttempt,
        inputs: BTreeMap<String, Input>,
        sender: Sender<WorkerMessage>,
    ) -> Result<(Process, PeerRanks), String> {
        let job = self.job(open.output_folder(), open.resume_folder(), open.trace(), inputs);
        let path = open.log().with_extension("job.json");
        let text = serde_json::to_string_pretty(&job).map_err(|error| format!("cannot write the job: {error}"))?;
        fs::write(&path, text).map_err(|error| format!("cannot write the job {}: {error}", path.display()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(open.log())
            .map_err(|error| format!("cannot write the log {}: {error}", open.log().display()))?;
        self.start_ranks(&path, log, sender)
            .map_err(|error| format!("cannot start the worker {}: {error}", self.context.program.display()))
    }

    /// Starts all ranks of a job and returns rank 0 and the others.
    fn start_ranks(&self, job: &Path, log: File, sender: Sender<WorkerMessage>) -> io::Result<(Process, PeerRanks)> {
        let (program, threads) = (self.context.program, self.execution.threads);
        let (variables, others) = if self.execution.processes > 1 {
            let meeting = RankEnvironment::new(self.execution.processes)?;
            (meeting.variables(0), PeerRanks::start(&meeting, program, &log, threads)?)
        } else {
            (Vec::new(), PeerRanks::none())
        };
        let arguments = [OsStr::new("run"), job.as_os_str()];
        let start = Start { program, arguments: &arguments, variables: &variables, log, threads };
        Ok((Process::start(start, sender)?, others))
    }
}

fn named(holder: &Holder) -> String {
    match (&holder.pid, &holder.host) {
        (Some(pid), Some(host)) => format!("process {pid} on {host}"),
        (Some(pid), None) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
