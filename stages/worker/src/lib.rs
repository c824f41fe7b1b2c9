//! What each stage of the pipeline does, run in a process of its own.
//!
//! One file a stage. The contract with the planner is `tfnas-stages`'s: [`run`] reads the job, does it, and says what
//! happens in events.

mod context;
mod environment;
mod error;
mod evaluate;
mod images;
mod lookup;
mod network;
mod parse;
mod reporter;
mod resume;
mod search;
mod split;
mod state;
mod stop;
mod test;
mod torchscript;
mod train;

use std::path::Path;
use std::process::ExitCode;

use tfnas_stages::{Job, JobError, Stage};
use tfnas_torch::device::{find_device, set_threads};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::reporter::Reporter;
use crate::stop::StopFlag;

pub use torchscript::torchscript;

/// Version of the worker, which must be the planner's.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Exit code after a stop.
const STOPPED: u8 = 130;

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
            report.failed(error.to_string(), None);
            return ExitCode::from(2);
        }
    };
    let stop = StopFlag::watch();
    set_threads(job.threads);
    report.hello(environment::record(job.threads));
    let device = match find_device(&job.device).context("device") {
        Ok(device) => device,
        Err(error) => return end(&mut report, Err(error)),
    };
    let stage = job.stage;
    let mut context = StageContext::new(job, device, report, stop);
    let result = perform(stage, &mut context);
    end(&mut context.report, result)
}

/// Says the last word on a job, and returns the exit code that goes with it.
fn end(report: &mut Reporter, result: StageResult) -> ExitCode {
    match result {
        Ok(metrics) => {
            report.done(metrics);
            ExitCode::SUCCESS
        }
        Err(StageError::Stopped) => ExitCode::from(STOPPED),
        Err(StageError::Failed { message, hint }) => {
            report.failed(message, hint);
            ExitCode::FAILURE
        }
    }
}

fn perform(stage: Stage, context: &mut StageContext) -> StageResult {
    match stage {
        Stage::Split => split::run(context),
        Stage::Lookup => lookup::run(context),
        Stage::Search => search::run(context),
        Stage::Parse => parse::run(context),
        Stage::Train => train::run(context),
        Stage::Test => test::run(context),
    }
}
