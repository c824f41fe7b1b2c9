//! A worker that outlives its planner: started by the queue of a cluster, it says what happens in files, and hears in
//! signals that it is to end.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tfnas_stages::{INTERRUPTED, Job, Submission, WorkerState, WorkerStatus, detached};

use crate::console::complain;
use crate::error::{StageError, StageResult};
use crate::reporter::Reporter;
use crate::stop::StopFlag;
use crate::{VERSION, environment, perform, ranks};

/// Set by Slurm when it starts a job again.
const RESTARTS: &str = "SLURM_RESTART_COUNT";

/// Does the job in this folder as submission `number`, unless another one has come after it, or this one has done it
/// already and was started again. What goes wrong before the stage begins is told on standard error.
pub fn run_detached(folder: &Path, number: u32) -> ExitCode {
    match begin(folder, number) {
        Ok(Some(turn)) => turn.execute(),
        Ok(None) => ExitCode::SUCCESS,
        Err(message) => {
            complain(&format!("tfnas-stage: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// One start of a worker on a job: the queue may start the same submission several times.
struct Run<'a> {
    folder: &'a Path,
    word: WorkerStatus,
    report: Reporter,
    stop: StopFlag,
}

fn begin(folder: &Path, number: u32) -> Result<Option<Run<'_>>, String> {
    let stop = StopFlag::on_signals().map_err(|error| format!("cannot listen to signals: {error}"))?;
    let shown = folder.display();
    let wanted = Submission::read(folder).map_err(|error| format!("cannot read what {shown} asks for: {error}"))?;
    match wanted {
        None => {
            complain(&format!("tfnas-stage: {shown} asks for nothing any more"));
            return Ok(None);
        }
        Some(wanted) if wanted.number != number => {
            complain(&format!("tfnas-stage: submission {number} was given up for submission {}", wanted.number));
            return Ok(None);
        }
        Some(_) => {}
    }
    let before =
        WorkerStatus::read(folder).map_err(|error| format!("cannot read the last word in {shown}: {error}"))?;
    if before.is_some_and(|word| word.submission == number && matches!(word.state, WorkerState::Done { .. })) {
        complain("tfnas-stage: it is done already");
        return Ok(None);
    }
    let restart = std::env::var(RESTARTS).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let word = WorkerStatus { submission: number, restart, host, state: WorkerState::Running };
    word.write(folder).map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let events = folder.join(detached::EVENTS);
    let report = Reporter::to_file(&events).map_err(|error| format!("cannot write {}: {error}", events.display()))?;
    Ok(Some(Run { folder, word, report, stop }))
}

impl Run<'_> {
    fn execute(mut self) -> ExitCode {
        let result = self.work();
        let (state, code) = match result {
            Ok(metrics) => {
                self.report.done(metrics.clone());
                (WorkerState::Done { metrics }, ExitCode::SUCCESS)
            }
            Err(StageError::Stopped) => (WorkerState::Interrupted { error: None }, ExitCode::from(INTERRUPTED)),
            // What goes wrong after the signal may have gone wrong because of it, as what another rank's end did: the queue
            // knows whether the job was ended, or a node lost.
            Err(StageError::Failed { message, peer, .. }) if peer || self.stop.raised() => {
                (WorkerState::Interrupted { error: Some(message) }, ExitCode::from(INTERRUPTED))
            }
            Err(StageError::Failed { message, hint, peer }) => {
                self.report.failed(message.clone(), hint.clone(), peer);
                (WorkerState::Failed { message, hint }, ExitCode::FAILURE)
            }
        };
        self.word.state = state;
        if let Err(error) = self.word.write(self.folder) {
            complain(&format!("tfnas-stage: cannot write the last word to {}: {error}", self.folder.display()));
            return ExitCode::FAILURE;
        }
        code
    }

    fn work(&mut self) -> StageResult {
        let job = Job::read(&self.folder.join(detached::JOB), VERSION);
        let mut facts = environment::record(job.as_ref().map_or(0, |job| job.threads));
        facts.extend(environment::of_machine(job.as_ref().map_or("cpu", |job| job.device.as_str())));
        facts.insert("host".to_owned(), self.word.host.clone());
        self.report.hello(facts);
        let job = job.map_err(|error| StageError::new(error.to_string()))?;
        // An earlier turn may have been broken off while it wrote its outputs.
        empty(&job.output_dir).map_err(|error| StageError::file("empty", &job.output_dir, &error))?;
        let ranks = ranks::start_as_leader(&job)?;
        perform(self.report.clone(), job, ranks, self.stop.clone())
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
