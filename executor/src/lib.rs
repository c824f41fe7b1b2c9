//! Runs the instances that the planner has planned.
//!
//! [`Runner`] starts a worker (`tfnas-stage`) for each instance that must run, several in parallel within the declared
//! resources, monitors it, and commits its outputs to the store. A worker runs as a local process, as several ranks, as
//! the ranks of a launcher such as torchrun ([`LauncherRank`]), or as a Slurm job. Events are reported to a
//! [`RunObserver`], which decides how to display them. This crate does not know what a stage computes.
//!
//! | module | contents |
//! |---|---|
//! | `runner`, `task`, `task_result` | which instance starts next; one instance from lock to commit; how it ended |
//! | `process`, `messages`, `worker_monitor`, `exit_status` | the worker process, its messages, why it exited |
//! | `ranks`, `torchrun` | several processes for one instance, started here or by a launcher |
//! | `slurm` | instances as Slurm jobs |
//! | `placement`, `resources` | threads, processes and memory of an instance; what may run in parallel |
//! | `image_check`, `outputs` | images to check first; files that a worker must have written |
//! | `observer`, `run_event`, `interrupt` | events for the caller; signals |
//! | `program`, `query` | the worker program, and requests to it outside a run |
//!
//! Both a worker and this process can be killed at any time. Therefore an attempt is recorded in the ledger before its
//! worker starts, and its outputs are committed in one transaction after the worker has exited.
//!
//! ```no_run
//! # use std::collections::BTreeSet;
//! # use tfnas_artifacts::OpenRun;
//! # use tfnas_executor::{Finished, ProgramError, RunObserver, Runner, worker_program};
//! # use tfnas_planner::plan::Planner;
//! # fn run(planner: &Planner<'_>, run: &OpenRun, observer: &mut dyn RunObserver) -> Result<Finished, ProgramError> {
//! let program = worker_program(None)?;
//! let runner = Runner {
//!     planner,
//!     run,
//!     program: &program,
//!     source_revision: None,
//!     jobs: 1,
//!     launcher: None,
//!     forced: &BTreeSet::new(),
//!     keep_going: false,
//!     profile: false,
//! };
//! let chosen = (0..planner.graph.instances.len()).collect();
//! Ok(runner.execute(&chosen, observer))
//! # }
//! ```

mod exit_status;
mod image_check;
mod interrupt;
mod messages;
mod observer;
mod outputs;
mod placement;
mod process;
mod program;
mod query;
mod ranks;
mod resources;
mod run_event;
mod runner;
mod slurm;
mod task;
mod task_result;
mod torchrun;
mod worker_monitor;

pub use interrupt::{Interrupts, ending_signals};
pub use observer::RunObserver;
pub use program::{ProgramError, worker_program};
pub use query::{QueryError, query_worker};
pub use run_event::RunEvent;
pub use runner::{Finished, Runner};
pub use task_result::TaskResult;
pub use torchrun::{LauncherError, LauncherRank, RankEnd};
