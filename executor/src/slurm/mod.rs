//! Workers in the queue of a cluster.
//!
//! A stage is a job of Slurm: a script that the planner writes into the attempt's folder of the store and submits. From
//! then on the job needs no planner. Its worker appends events to a file and keeps its status in another; a planner reads
//! both and asks the controller now and then for the state of the job. The worker's status takes precedence. Accounting
//! is not used.
//!
//! The submission is recorded before and after `sbatch`, so that a later planner finds the job, also if the reply to
//! `sbatch` was lost: the queue knows the job by its name. A job that was replaced finds that in the same record when it
//! starts, and ends.
//!
//! `script` and `request` say what is submitted, `controller` asks, `state` reads the answers, `decision` weighs them
//! against the worker's status, and `job_tracker` runs one attempt from its first submission to its end.

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
