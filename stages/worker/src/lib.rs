//! What each stage of the pipeline does, run in a process of its own.
//!
//! One file a stage. The protocol with the planner is `tfnas-stages`'s: [`run`] reads the job, does it, and says what
//! happens in events.

mod check;
mod check_table;
mod console;
mod context;
mod detached;
mod environment;
mod error;
mod evaluate;
mod images;
mod latency;
mod lookup;
mod network;
mod out_of_memory;
mod parse;
mod precision;
mod predict;
mod predictions;
mod rank_group;
mod ranks;
mod reference;
mod reporter;
mod resume;
mod search;
mod select;
mod split;
mod state;
mod stop;
mod test;
mod torchscript;
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
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::stop::StopFlag;

pub use check_table::check_table;
pub use console::{complain, print_line};
pub use detached::run_detached;
pub use latency::latency;
pub use predict::predict;
pub use torchscript::torchscript;

/// Version of the worker, which must be the planner's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Does the job in this file, and says so in events on standard output.
pub fn run(job: &Path) -> ExitCode {
    let mut report = Reporter::new();
    let job = match Job::read(job, VERSION) {
        Ok(job) => job,
        Err(error) => {
            // The planner learns of another version from `hello` too.
            if matches!(error, JobError::Version { .. }) {
                report.hello(environment::record(0));
            }
            report.failed(error.to_string(), None, false);
            return ExitCode::from(2);
        }
    };
    let stop = StopFlag::watch();
    report.hello(environment::record(job.threads));
    let result = ranks::start_as_leader(&job).and_then(|ranks| perform(report.clone(), job, ranks, stop));
    end(&mut report, result)
}

/// How a worker is told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planner {
    /// By a line on standard input, which the planner holds open as long as it is there.
    HoldsStandardInput,
    /// By signals; the planner need not be there.
    SendsSignals,
}

/// Does a rank's part of the job that rank 0 has: waits for it, and says nothing but why it fails.
pub fn join(planner: Planner) -> ExitCode {
    let mut report = Reporter::of_failures();
    let stop = match planner {
        Planner::HoldsStandardInput => Ok(StopFlag::watch()),
        Planner::SendsSignals => StopFlag::on_signals().context("cannot listen to signals"),
    };
    let stop = match stop {
        Ok(stop) => stop,
        Err(error) => return end(&mut report, Err(error)),
    };
    let result = match ranks::join() {
        Ok(Some((job, peers))) => perform(report.clone(), job, Some(peers), stop),
        Ok(None) => return ExitCode::from(NO_MORE_JOBS),
        Err(error) => Err(error),
    };
    end(&mut report, result)
}

/// Tells the other ranks that no job will come.
pub fn release() -> ExitCode {
    match ranks::release() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(&mut Reporter::of_failures(), Err(error)),
    }
}

/// Reports the end of a job, and returns its exit code.
fn end(report: &mut Reporter, result: StageResult) -> ExitCode {
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

fn perform(report: Reporter, job: Job, peers: Option<Peers>, stop: StopFlag) -> StageResult {
    set_threads(job.threads);
    let device = find_device(&ranks::device_of(&job, peers.as_ref())?).context("device")?;
    if device.is_cuda() {
        set_numerics(false)?;
    }
    let stage = job.stage;
    let context = &mut StageContext::new(job, device, report, stop, peers);
    check::run(context)?;
    out_of_memory::caught(stage, || match stage {
        Stage::Split => split::run(context),
        Stage::Lookup => lookup::run(context),
        Stage::Search => search::run(context),
        Stage::Select => select::run(context),
        Stage::Parse => parse::run(context),
        Stage::Train => train::run(context),
        Stage::Test => test::run(context),
    })
}
