//! End-to-end tests of the planner with a worker that does not need libtorch.

#![allow(clippy::unwrap_used, missing_docs)]

mod auditing;
mod caching;
mod deaths;
mod documented;
mod errors;
mod explaining;
mod exporting;
mod folders;
mod gallery;
mod helping;
mod history;
mod interrupts;
mod keys;
mod linking;
mod lists;
mod locking;
mod machine;
mod matrix;
mod naming;
mod project;
mod publishing;
mod remotes;
mod reporting;
mod several;
mod shapes;
mod slurm;
mod snapshot;
mod storing;
mod tables;
mod test_images;
mod trusting;
mod watching;
mod weights;
