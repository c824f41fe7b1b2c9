//! Tests of the store together with the ledger, as a planner uses them.
#![allow(clippy::unwrap_used)]

mod attempts;
mod collection;
mod crash;
mod detached;
mod disk;
mod elsewhere;
mod history;
mod recovery;
mod remote;
mod remote_server;
mod remote_trust;
mod work;
