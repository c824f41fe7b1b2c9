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
use tfnas_stages::{CONTRACT, Executor, ImageCheck, Input, Job, Stage};

use crate::execute::death::{self, MemoryKills};
use crate::execute::events::Mail;
use crate::execute::happening::Failed;
use crate::execute::heard::{Heard, Verdict};
use crate::execute::process::{Process, Start};
use crate::execute::ranks::{Meeting, OtherRanks, together};
use crate::execute::slurm::{self, Queue};
use crate::execute::{Ending, Happening, outputs};
use crate::machine::{Device, build, record};
use crate::plan::Because;

/// How long a worker may take to end after its last word.
const END_PATIENCE: Duration = Duration::from_secs(10);
/// Everything needed to do one instance.
pub struct Work<'a> {
    /// The store and the ledger.
    pub cache: &'a Cache,
    /// The invocation.
    pub run: &'a OpenRun,
    /// The worker's program.
    pub program: &'a Path,
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
    pub because: Vec<Because>,
    /// How long it will probably take, in seconds.
    pub expected_s: Option<f64>,
    /// Whether a result that appears meanwhile is not to be used.
    pub forced: bool,
    /// What the attempt is for.
    pub purpose: Purpose,
}

impl Work<'_> {
    /// Does the work, or waits for whoever does; `tell` hears what happens.
    pub fn perform(&self, inbox: &Receiver<Mail>, mail: Sender<Mail>, tell: &dyn Fn(Happening)) -> Ending {
        match self.try_perform(inbox, mail, tell) {
            Ok(ending) => ending,
            Err(error) => Ending::Failed(Failed::new(error.to_string())),
        }
    }

    fn try_perform(
        &self,
        inbox: &Receiver<Mail>,
        mail: Sender<Mail>,
        tell: &dyn Fn(Happening),
    ) -> Result<Ending, CacheError> {
        let inputs = match self.inputs()? {
            Ok(inputs) => inputs,
            Err(damaged) => return Ok(damaged),
        };
        let mut waited = false;
        let mut waiting = |holder: &Holder| {
            if !waited {
                waited = true;
                tell(Happening::Waiting { holder: named(holder) });
            }
            match inbox.try_recv() {
                Ok(Mail::Stop | Mail::Kill | Mail::Leave) => Waiting::GiveUp,
                _ => Waiting::GoOn,
            }
        };
        let Some(lock) = self.cache.lock(&self.manifest.key(), &mut waiting)? else {
            return Ok(Ending::Interrupted);
        };
        if self.purpose == Purpose::Run && (!self.forced || waited) {
            // Whoever held the lock before has probably left a result.
            if let Some(result) = self.cache.take(self.run, &self.manifest.key())?.result {
                return Ok(Ending::Used(Box::new(result)));
            }
        }
        let there = self.cache.detached_attempt(&self.manifest.key(), self.purpose)?;
        // One that is in the queue already is followed, whoever starts workers by now.
        if self.executor == Executor::Slurm || there.is_some() {
            return slurm::perform(self, lock, there, inputs, inbox, tell);
        }
        let open = self.cache.begin_attempt(self.run, lock, self.attempt())?;
        self.tell_start(&open, tell);
        self.supervise(open, inputs, inbox, mail, tell)
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
            ),
            purpose: self.purpose,
        }
    }

    /// Tells that an attempt begins.
    pub fn tell_start(&self, open: &OpenAttempt, tell: &dyn Fn(Happening)) {
        tell(Happening::Started {
            key: self.manifest.key().to_string(),
            attempt: open.id().to_string(),
            because: self.because.clone(),
            expected_s: self.expected_s,
            log: open.log().to_owned(),
        });
    }

    /// The inputs as a worker is told of them, each output of another stage verified; or what is damaged.
    fn inputs(&self) -> Result<Result<BTreeMap<String, Input>, Ending>, CacheError> {
        let mut inputs: BTreeMap<String, Input> =
            self.given.iter().map(|(port, input)| ((*port).to_owned(), input.clone())).collect();
        for (port, upstream, digest) in &self.made {
            let path = match self.cache.open_verified(digest) {
                Ok(path) => std::path::absolute(&path).unwrap_or(path),
                Err(CacheError::Object(error)) => {
                    return Ok(Err(Ending::Damaged { upstream: *upstream, message: error.to_string() }));
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
        inbox: &Receiver<Mail>,
        mail: Sender<Mail>,
        tell: &dyn Fn(Happening),
    ) -> Result<Ending, CacheError> {
        let memory = MemoryKills::watch();
        let mut heard = Heard::default();
        let started = self.start(&open, inputs, mail);
        let (verdict, usage) = match started {
            Err(message) => (Verdict::Failed(Failed::new(message)), Usage::default()),
            Ok((mut process, others)) => {
                heard.listen(&mut process, inbox, tell);
                let ended = process.finish(END_PATIENCE).and_then(|ended| Ok((ended, others.end()?)));
                match ended {
                    Ok(((status, usage), (of_others, fault))) => {
                        let usage = together(usage, of_others);
                        let killed = memory.happened();
                        let death = || death::describe(status, killed, usage.peak_memory_bytes);
                        let verdict = match heard.verdict(status.code(), death) {
                            // The one that is to blame knows more.
                            Verdict::Failed(failed) if failed.peer => Verdict::Failed(fault.unwrap_or(failed)),
                            verdict => verdict,
                        };
                        (verdict, usage)
                    }
                    Err(error) => {
                        let message = format!("cannot wait for the worker: {error}");
                        (Verdict::Failed(Failed::new(message)), Usage::default())
                    }
                }
            }
        };
        heard.identify_libtorch(&self.cache.store().program_memos());
        self.conclude(open, verdict, heard.metrics(), usage)
    }

    /// Records how an attempt ended, and keeps its outputs where it has any.
    ///
    /// # Errors
    /// [`CacheError`] when an end without outputs cannot be recorded.
    pub fn conclude(
        &self,
        mut open: OpenAttempt,
        verdict: Verdict,
        metrics: Value,
        usage: Usage,
    ) -> Result<Ending, CacheError> {
        let log = open.log().to_owned();
        let failure = |interrupted, cause: &str| Failure {
            interrupted,
            cause: cause.to_owned(),
            metrics: metrics.clone(),
            usage,
        };
        let failed = match verdict {
            Verdict::Done => match outputs::collect(self.stage, &self.params, open.output_folder()) {
                Ok(outputs) => match self.cache.commit(&mut open, &outputs, metrics.clone(), usage) {
                    Ok(attempt) => return Ok(Ending::Done(Box::new(attempt))),
                    Err(error) => Failed::new(format!("its outputs cannot be kept: {error}")),
                },
                Err(message) => Failed::new(message),
            },
            Verdict::Interrupted => {
                self.cache.fail(open, failure(true, "stopped"))?;
                return Ok(Ending::Interrupted);
            }
            Verdict::Failed(failed) => failed,
        };
        let tail = death::tail(&log);
        // The message that matters is the stage's: a ledger that cannot note it has told so in that message already.
        let recorded = self.cache.fail(open, failure(false, &failed.message)).map(|_| ());
        let message = match recorded {
            Ok(()) => failed.message,
            Err(error) => format!("{}; and this could not be recorded: {error}", failed.message),
        };
        Ok(Ending::Failed(Failed { message, log: Some(log), tail, ..failed }))
    }

    fn start(
        &self,
        open: &OpenAttempt,
        inputs: BTreeMap<String, Input>,
        mail: Sender<Mail>,
    ) -> Result<(Process, OtherRanks), String> {
        let job = self.job(open.output_folder(), open.resume_folder(), inputs);
        let path = open.log().with_extension("job.json");
        let text = serde_json::to_string_pretty(&job).map_err(|error| format!("cannot write the job: {error}"))?;
        fs::write(&path, text).map_err(|error| format!("cannot write the job {}: {error}", path.display()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(open.log())
            .map_err(|error| format!("cannot write the log {}: {error}", open.log().display()))?;
        self.start_ranks(&path, log, mail)
            .map_err(|error| format!("cannot start the worker {}: {error}", self.program.display()))
    }

    /// Starts rank 0 on a job, and the others beside it.
    fn start_ranks(&self, job: &Path, log: File, mail: Sender<Mail>) -> io::Result<(Process, OtherRanks)> {
        let (program, threads) = (self.program, self.threads);
        let (variables, others) = if self.processes > 1 {
            let meeting = Meeting::new(self.processes)?;
            (meeting.variables(0), OtherRanks::start(&meeting, program, &log, threads)?)
        } else {
            (Vec::new(), OtherRanks::none())
        };
        let arguments = [OsStr::new("run"), job.as_os_str()];
        let start = Start { program, arguments: &arguments, variables: &variables, log, threads };
        Ok((Process::start(start, mail)?, others))
    }
}

fn named(holder: &Holder) -> String {
    match (&holder.pid, &holder.host) {
        (Some(pid), Some(host)) => format!("process {pid} on {host}"),
        (Some(pid), None) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
