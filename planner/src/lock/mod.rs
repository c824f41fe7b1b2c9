//! `pipeline.lock`: the results of the last run, as a text file for review and version control.

mod file;
mod verify;

pub use file::{Lock, LockError, Locked, path};
pub use verify::{Difference, differences};
