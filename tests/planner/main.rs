//! The planner from end to end, with a worker that needs no libtorch.

#![allow(clippy::unwrap_used, missing_docs)]

mod auditing;
mod caching;
mod deaths;
mod documented;
mod errors;
mod explaining;
mod history;
mod interrupts;
mod killing;
mod linking;
mod lists;
mod locking;
mod matrix;
mod project;
mod several;
mod shapes;
mod storing;
mod tables;
