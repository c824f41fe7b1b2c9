//! The command-line program: plans, explains, lists and audits, and starts `tfnas-stage` for the stages that must run.

mod cli;
mod commands;
mod configured;
mod error;
mod exit;
mod network_latency;
mod options;
mod page;
mod remote;
mod report;
mod run_label;
mod session;
mod source_revision;
mod speed;

fn main() -> std::process::ExitCode {
    cli::main().into()
}
