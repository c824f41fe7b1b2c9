//! `pipeline.lock`: what the last run gave, as text that people review and commit.

mod file;
mod verify;

pub use file::{Lock, LockError, Locked, path};
pub use verify::{Difference, differences};
