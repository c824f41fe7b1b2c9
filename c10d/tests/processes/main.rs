//! Ranks as separate processes on the loopback interface.

#![allow(clippy::unwrap_used, reason = "tests")]

mod collectives;
mod faults;
mod gradients;
mod rank;
#[path = "../support/world.rs"]
mod world;
