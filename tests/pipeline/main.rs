//! The whole pipeline with the real worker: run twice, killed, out of room.

#![allow(clippy::unwrap_used, missing_docs)]

mod deaths;
mod determinism;
mod exporting;
mod full_disk;
mod killing;
mod processes;
mod project;
mod ranks;
mod slurm;
#[path = "../support/waiting.rs"]
mod waiting;
