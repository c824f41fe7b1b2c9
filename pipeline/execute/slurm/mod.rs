//! Workers in the queue of a cluster.
//!
//! A stage is a job of Slurm: a script that the planner writes into the attempt's folder of the store and submits. From
//! then on the job needs no planner. Its worker appends events to a file and keeps its last word in another; a planner
//! reads both, asks the controller now and then what has become of the job, and takes the worker's word before the
//! controller's. Accounting is never asked.
//!
//! What is submitted is noted before and after the submission, so that a planner that comes later finds the job, also
//! where the answer to its submission was lost: the queue knows it by its name. A job that nobody waits for any more is
//! told so by the same note when it starts.
//!
//! `script` and `request` say what is submitted, `controller` asks, `state` reads the answers, `verdict` weighs them
//! against the worker's word, and `follow` does one attempt from its first submission to its end.

mod controller;
mod fault;
mod follow;
mod request;
mod script;
mod state;
mod tail;
mod verdict;

pub use follow::perform;
pub use request::Queue;
