//! A detached worker, which a cluster's queue starts and which can outlive the planner. It writes events and status to files, and
//! stops on signals.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use tfnas_stages::{INTERRUPTED, Job, Submission, WorkerState, WorkerStatus, detached};

use crate::console::print_error;
use crate::error::{StageError, StageResult};
use crate::reporter::Reporter;
use crate::stop::StopFlag;
use crate::{VERSION, environment, ranks, run_stage};

/// Set by Slurm to the number of times that it has restarted the job.
const RESTART_COUNT: &str = "SLURM_RESTART_COUNT";

/// Runs the job in `folder` as submission `number`, unless a later submission has replaced it or the job is already done. Errors
/// before the stage starts are written to standard error.
pub fn run_detached(folder: &Path, number: u32) -> ExitCode {
    match start(folder, number) {
        Ok(Some(run)) => run.execute(),
        Ok(None) => ExitCode::SUCCESS,
        Err(message) => {
            print_error(&format!("tfnas-stage: {message}"));
            ExitCode::FAILURE
        }
    }
}

/// One run of a submission. The queue may start the same submission several times.
struct Run<'a> {
    folder: &'a Path,
    status: WorkerStatus,
    report: Reporter,
    stop: StopFlag,
}

fn start(folder: &Path, number: u32) -> Result<Option<Run<'_>>, String> {
    let stop = StopFlag::on_signals().map_err(|error| format!("cannot install signal handlers: {error}"))?;
    let shown = folder.display();
    let current =
        Submission::read(folder).map_err(|error| format!("cannot read the submission in {shown}: {error}"))?;
    match current {
        None => {
            print_error(&format!("tfnas-stage: the submission in {shown} was withdrawn"));
            return Ok(None);
        }
        Some(current) if current.number != number => {
            print_error(&format!("tfnas-stage: submission {number} was replaced by submission {}", current.number));
            return Ok(None);
        }
        Some(_) => {}
    }
    let before =
        WorkerStatus::read(folder).map_err(|error| format!("cannot read the worker status in {shown}: {error}"))?;
    if before.is_some_and(|status| status.submission == number && matches!(status.state, WorkerState::Done { .. })) {
        print_error("tfnas-stage: the job is already done");
        return Ok(None);
    }
    let restart = std::env::var(RESTART_COUNT).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let status = WorkerStatus { submission: number, restart, host, state: WorkerState::Running };
    status.write(folder).map_err(|error| format!("cannot write to {shown}: {error}"))?;
    let events = folder.join(detached::EVENTS);
    let report = Reporter::to_file(&events).map_err(|error| format!("cannot write {}: {error}", events.display()))?;
    Ok(Some(Run { folder, status, report, stop }))
}

impl Run<'_> {
    fn execute(mut self) -> ExitCode {
        let result = self.run_job();
        let (state, code) = match result {
            Ok(metrics) => {
                self.report.done(metrics.clone());
                (WorkerState::Done { metrics }, ExitCode::SUCCESS)
            }
            Err(StageError::Stopped) => (WorkerState::Interrupted { error: None }, ExitCode::from(INTERRUPTED)),
            // An error after a signal, or about a lost rank, may be a consequence of the job being ended. The queue knows
            // whether the job was canceled or a node was lost.
            Err(StageError::Failed { message, peer, .. }) if peer || self.stop.raised() => {
                (WorkerState::Interrupted { error: Some(message) }, ExitCode::from(INTERRUPTED))
            }
            Err(StageError::Failed { message, hint, peer }) => {
                self.report.failed(message.clone(), hint.clone(), peer);
                (WorkerState::Failed { message, hint }, ExitCode::FAILURE)
            }
        };
        self.status.state = state;
        if let Err(error) = self.status.write(self.folder) {
            print_error(&format!("tfnas-stage: cannot write the worker status to {}: {error}", self.folder.display()));
            return ExitCode::FAILURE;
        }
        code
    }

    fn run_job(&mut self) -> StageResult {
        let job = Job::read(&self.folder.join(detached::JOB), VERSION);
        let mut facts = environment::process_facts(job.as_ref().map_or(0, |job| job.threads));
        facts.extend(environment::machine_facts(job.as_ref().map_or("cpu", |job| job.device.as_str())));
        facts.insert("host".to_owned(), self.status.host.clone());
        self.report.hello(facts);
        let job = job.map_err(|error| StageError::new(error.to_string()))?;
        // An earlier run may have been interrupted while it wrote its outputs.
        empty(&job.output_dir).map_err(|error| StageError::file("empty", &job.output_dir, &error))?;
        let ranks = ranks::start_as_leader(&job)?;
        run_stage(self.report.clone(), job, ranks, self.stop.clone())
    }
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}
