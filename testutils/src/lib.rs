//! Helpers that the tests of several crates share. No program depends on this crate.
//!
//! [`golden`] reads the results of the authors' code, in `tests/golden`. [`damage`] damages input for fuzz tests, and limits the
//! memory of parsers; [`peak_memory`] measures it. [`legacy_checkpoint`] and [`weights`] make files, [`program`] starts
//! programs, [`waiting`] waits for other processes.
//!
//! All functions panic instead of returning errors, because a test that lacks its cases must fail.
#![allow(clippy::unwrap_used)]

pub mod damage;
pub mod golden;
pub mod legacy_checkpoint;
pub mod peak_memory;
pub mod program;
pub mod waiting;
pub mod weights;
