//! Runs workers as Slurm jobs.
//!
//! Each instance is a job: the planner writes a batch script into the attempt's folder in the store and submits it.
//! From then on, the job does not need the planner. Its worker appends events to one file and writes its status to
//! another. The planner reads both, and polls the controller for the state of the job. The worker's status takes
//! precedence. Slurm's accounting is not used.
//!
//! The submission is recorded before and after `sbatch`. A later planner can therefore find the job by its name, even
//! if the reply to `sbatch` was lost. When a job that was replaced starts, it reads in the same record that it was
//! replaced, and exits.
//!
//! `script` and `request` build the submission, `controller` runs Slurm's commands, `state` parses their replies,
//! `decision` combines these with the worker's status, and `job_tracker` follows one attempt from its first submission
//! to its end.

mod controller;
mod decision;
mod job_tracker;
mod peer_failure;
mod request;
mod script;
mod state;
mod tail;

pub use job_tracker::run;
pub use request::Queue;
