use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use serde_json::Value;
use tfnas_artifacts::{
    Cache, CacheError, Digest, Failure, Holder, KeyManifest, NewAttempt, OpenAttempt, OpenRun, Purpose, Usage, Waiting,
};
use tfnas_planner::machine::{Device, build, record};
use tfnas_planner::plan::Cause;
use tfnas_stages::{CONTRACT, Executor, ImageCheck, Input, Job, Stage};

use crate::exit_status::{self, OomMonitor};
use crate::messages::WorkerMessage;
use crate::process::{Process, Start};
use crate::ranks::{PeerRanks, RankEnvironment, add_usage};
use crate::slurm::{self, Queue};
use crate::task_result::TaskFailure;
use crate::worker_monitor::{WorkerExit, WorkerMonitor};
use crate::{RunEvent, TaskResult, outputs};

/// How long a worker may take to end after its last word.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Everything needed to do one instance.
pub struct Task<'a> {
    /// The store and the ledger.
    pub cache: &'a Cache,
    /// The invocation.
    pub run: &'a OpenRun,
    /// The worker's program.
    pub program: &'a Path,
    /// The commit of this program's source, if it is known.
    pub source_revision: Option<&'a str>,
    /// The instance's name.
    pub id: String,
    /// Its stage.
    pub stage: Stage,
    /// Its parameters.
    pub params: Value,
    /// What identifies the work.
    pub manifest: KeyManifest,
    /// Outputs of other instances that it reads: port, position of the instance, digest.
    pub made: Vec<(&'static str, usize, Digest)>,
    /// Other data that it reads, by port.
    pub given: BTreeMap<&'static str, Input>,
    /// Images that the worker looks at first.
    pub check: Option<ImageCheck>,
    /// The device that computes.
    pub device: Device,
    /// Threads to compute with.
    pub threads: usize,
    /// Threads that decode images ahead.
    pub data_workers: usize,
    /// Seconds between resume points inside an epoch.
    pub resume_every_s: f64,
    /// Processes that do the work together.
    pub ranks: usize,
    /// Those of them that this planner starts.
    pub processes: usize,
    /// Seconds that a rank waits for the others.
    pub rank_timeout_s: f64,
    /// Who starts the worker.
    pub executor: Executor,
    /// How it is queued, where that is the cluster.
    pub queue: Queue,
    /// Why it runs.
    pub because: Vec<Cause>,
    /// How long it will probably take, in seconds.
    pub expected_s: Option<f64>,
    /// Whether a result that appears meanwhile is not to be used.
    pub forced: bool,
    /// What the attempt is for.
    pub purpose: Purpose,
}

impl Task<'_> {
    /// Does the work, or waits for whoever does; `report` is told what happens.
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
        let inputs = match self.inputs()? {
            Ok(inputs) => inputs,
            Err(damaged) => return Ok(damaged),
        };
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
        let Some(lock) = self.cache.lock(&self.manifest.key(), &mut waiting)? else {
            return Ok(TaskResult::Interrupted);
        };
        if self.purpose == Purpose::Run && (!self.forced || waited) {
            // Whoever held the lock before has probably left a result.
            if let Some(result) = self.cache.find_and_use(self.run, &self.manifest.key())?.result {
                return Ok(TaskResult::Used(Box::new(result)));
            }
        }
        let there = self.cache.detached_attempt(&self.manifest.key(), self.purpose)?;
        // One that is in the queue already is followed, whoever starts workers by now.
        if self.executor == Executor::Slurm || there.is_some() {
            return slurm::run(self, lock, there, inputs, inbox, report);
        }
        let open = self.cache.begin_attempt(self.run, lock, self.attempt())?;
        self.report_start(&open, report);
        self.supervise(open, inputs, inbox, sender, report)
    }

    /// What the ledger notes of an attempt when it begins.
    pub fn attempt(&self) -> NewAttempt {
        NewAttempt {
            instance: self.id.clone(),
            manifest: self.manifest.clone(),
            origins: self.origins(),
            environment: record(
                &self.device,
                self.threads,
                self.ranks,
                self.program,
                &self.cache.store().program_memos(),
                self.source_revision,
            ),
            purpose: self.purpose,
        }
    }

    /// Tells that an attempt begins.
    pub fn report_start(&self, open: &OpenAttempt, report: &dyn Fn(RunEvent)) {
        report(RunEvent::Started {
            key: self.manifest.key().to_string(),
            attempt: open.id().to_string(),
            because: self.because.clone(),
            expected_s: self.expected_s,
            log: open.log().to_owned(),
        });
    }

    /// The inputs as a worker is told of them, each output of another stage verified; or what is damaged.
    fn inputs(&self) -> Result<Result<BTreeMap<String, Input>, TaskResult>, CacheError> {
        let mut inputs: BTreeMap<String, Input> =
            self.given.iter().map(|(port, input)| ((*port).to_owned(), input.clone())).collect();
        for (port, upstream, digest) in &self.made {
            let path = match self.cache.open_verified(digest) {
                Ok(path) => std::path::absolute(&path).unwrap_or(path),
                Err(CacheError::Object(error)) => {
                    return Ok(Err(TaskResult::Damaged { upstream: *upstream, message: error.to_string() }));
                }
                Err(other) => return Err(other),
            };
            inputs.insert((*port).to_owned(), Input { path, list: None, digest: digest.to_string() });
        }
        Ok(Ok(inputs))
    }

    fn origins(&self) -> BTreeMap<String, String> {
        let shown = |input: &Input| input.list.as_ref().unwrap_or(&input.path).display().to_string();
        self.given.iter().map(|(port, input)| ((*port).to_owned(), shown(input))).collect()
    }

    /// Returns the job for a worker, with the folders for its outputs and its resume points.
    pub fn job(&self, output: &Path, resume: &Path, inputs: BTreeMap<String, Input>) -> Job {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Job {
            contract: CONTRACT,
            version: build::VERSION.to_owned(),
            id: self.id.clone(),
            stage: self.stage,
            params: self.params.clone(),
            inputs,
            output_dir: absolute(output),
            resume_dir: absolute(resume),
            resume_every_s: self.resume_every_s,
            device: self.device.to_string(),
            threads: self.threads,
            data_workers: self.data_workers,
            rank_timeout_s: self.rank_timeout_s,
            check: self.check.clone(),
        }
    }

    /// Starts the worker, listens to it until it ends, and records how it ended.
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
                            // The one that is to blame knows more.
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
        monitor.identify_libtorch(&self.cache.store().program_memos());
        self.conclude(open, exit, monitor.metrics(), usage)
    }

    /// Records how an attempt ended, and keeps its outputs where it has any.
    ///
    /// # Errors
    /// [`CacheError`] when an end without outputs cannot be recorded.
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
                Ok(outputs) => match self.cache.commit(&mut open, &outputs, metrics.clone(), usage) {
                    Ok(attempt) => return Ok(TaskResult::Done(Box::new(attempt))),
                    Err(error) => TaskFailure::new(format!("its outputs cannot be kept: {error}")),
                },
                Err(message) => TaskFailure::new(message),
            },
            WorkerExit::Interrupted => {
                self.cache.fail(open, failure(true, "stopped"))?;
                return Ok(TaskResult::Interrupted);
            }
            WorkerExit::Failed(failed) => failed,
        };
        let tail = exit_status::tail(&log);
        // The message that matters is the stage's: a ledger that cannot note it has told so in that message already.
        let recorded = self.cache.fail(open, failure(false, &failed.message)).map(|_| ());
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
        let job = self.job(open.output_folder(), open.resume_folder(), inputs);
        let path = open.log().with_extension("job.json");
        let text = serde_json::to_string_pretty(&job).map_err(|error| format!("cannot write the job: {error}"))?;
        fs::write(&path, text).map_err(|error| format!("cannot write the job {}: {error}", path.display()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(open.log())
            .map_err(|error| format!("cannot write the log {}: {error}", open.log().display()))?;
        self.start_ranks(&path, log, sender)
            .map_err(|error| format!("cannot start the worker {}: {error}", self.program.display()))
    }

    /// Starts rank 0 on a job, and the others beside it.
    fn start_ranks(&self, job: &Path, log: File, sender: Sender<WorkerMessage>) -> io::Result<(Process, PeerRanks)> {
        let (program, threads) = (self.program, self.threads);
        let (variables, others) = if self.processes > 1 {
            let meeting = RankEnvironment::new(self.processes)?;
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
