//! End-to-end tests of the pipeline with the real worker.

#![allow(clippy::unwrap_used, missing_docs)]

mod bad_images;
mod book;
mod deaths;
mod determinism;
mod documented;
mod exporting;
mod full_disk;
mod initializing;
mod killing;
mod predicting;
mod processes;
mod profiling;
mod project;
mod published;
mod publishing;
mod ranks;
mod reporting;
mod selecting;
mod slurm;
mod tables;
mod tampering;
mod targets;
mod test_images;
