//! Ranks as processes of their own, on loopback.

#![allow(clippy::unwrap_used, reason = "tests")]

mod collectives;
mod faults;
mod gradients;
mod rank;
#[path = "../support/world.rs"]
mod world;
