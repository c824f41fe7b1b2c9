//! The worker: runs one stage of the pipeline in its own process.
//!
//! Each stage has one file. [`run`] reads the job, runs its stage and reports events. `tfnas-stages` defines this protocol
//! between planner and worker.

mod check;
mod color_jitter;
mod console;
mod context;
mod detached;
mod environment;
mod error;
mod evaluate;
mod images;
mod lookup;
mod network;
mod out_of_memory;
mod parse;
mod precision;
mod predictions;
mod profiler;
mod rank_group;
mod ranks;
mod reference;
mod reporter;
mod request;
mod resume;
mod search;
mod select;
mod split;
mod state;
mod stop;
mod test;
mod train;
mod upload;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use tfnas_c10d::cuda::set_numerics;
use tfnas_stages::{INTERRUPTED, Job, JobError, NO_MORE_JOBS, Stage};
use tfnas_torch::device::{find_device, set_threads};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::profiler::Profiler;
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::stop::StopFlag;

pub use console::{print_error, print_line};
pub use detached::run_detached;
pub use request::answer;

/// Version of the worker. Planner and worker must have the same version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Runs the job in a file and reports events on standard output. Returns the exit code of the process.
pub fn run(job: &Path) -> ExitCode {
    let mut report = Reporter::new();
    let job = match Job::read(job, VERSION) {
        Ok(job) => job,
        Err(error) => {
            // `hello` tells the planner the version of the worker.
            if matches!(error, JobError::Version { .. }) {
                report.hello(environment::process_facts(0));
            }
            report.failed(error.to_string(), None, false);
            return ExitCode::from(2);
        }
    };
    let stop = StopFlag::watch();
    report.hello(environment::process_facts(job.threads));
    let result = ranks::start_as_leader(&job).and_then(|ranks| run_stage(report.clone(), job, ranks, stop));
    report_result(&mut report, result)
}

/// How a worker is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSource {
    /// A line on standard input, which the planner holds open. The worker exits when it is closed.
    StandardInput,
    /// Signals. The worker can outlive the planner.
    Signals,
}

/// Waits for a job from rank 0 and takes part in it as another rank. Reports no events except a failure.
pub fn join(stop_source: StopSource) -> ExitCode {
    let mut report = Reporter::failures_only();
    let stop = match stop_source {
        StopSource::StandardInput => Ok(StopFlag::watch()),
        StopSource::Signals => StopFlag::on_signals().context("cannot install signal handlers"),
    };
    let stop = match stop {
        Ok(stop) => stop,
        Err(error) => return report_result(&mut report, Err(error)),
    };
    // A rank that outlives the planner was started for a job, which rank 0 has: the ranks agree to stop there.
    let while_waiting = (stop_source == StopSource::StandardInput).then_some(&stop);
    let result = match ranks::join(while_waiting) {
        Ok(Some((job, peers))) => run_stage(report.clone(), job, Some(peers), stop),
        Ok(None) => return ExitCode::from(NO_MORE_JOBS),
        Err(error) => Err(error),
    };
    report_result(&mut report, result)
}

/// Tells the other ranks that there are no more jobs.
pub fn release() -> ExitCode {
    match ranks::release() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report_result(&mut Reporter::failures_only(), Err(error)),
    }
}

/// Reports how a job ended, and returns the exit code.
fn report_result(report: &mut Reporter, result: StageResult) -> ExitCode {
    match result {
        Ok(metrics) => {
            report.done(metrics);
            ExitCode::SUCCESS
        }
        Err(StageError::Stopped) => ExitCode::from(INTERRUPTED),
        Err(StageError::Failed { message, hint, peer }) => {
            report.failed(message, hint, peer);
            ExitCode::FAILURE
        }
    }
}

fn run_stage(report: Reporter, job: Job, peers: Option<Peers>, stop: StopFlag) -> StageResult {
    set_threads(job.threads);
    let device = find_device(&ranks::device_of(&job, peers.as_ref())?).context("device")?;
    if device.is_cuda() {
        set_numerics(false)?;
    }
    let stage = job.stage;
    let context = &mut StageContext::new(job, device, report, stop, peers);
    check::run(context)?;
    if context.peers.as_ref().is_none_or(Peers::is_leader) {
        let mut report = context.report.clone();
        context.profiler = Profiler::start(context.job(), device, &mut report);
    }
    let result = out_of_memory::catch(stage, || match stage {
        Stage::Split => split::run(context),
        Stage::Lookup => lookup::run(context),
        Stage::Search => search::run(context),
        Stage::Select => select::run(context),
        Stage::Parse => parse::run(context),
        Stage::Train => train::run(context),
        Stage::Test => test::run(context),
    });
    let profiler = std::mem::replace(&mut context.profiler, Profiler::off());
    if matches!(result, Ok(_) | Err(StageError::Stopped)) {
        profiler.finish(&mut context.report);
    }
    result
}
