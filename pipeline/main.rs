//! The command-line program: plans, explains, lists and audits, and starts `tfnas-stage` for the stages that must run.

mod candidates;
mod cli;
mod commands;
mod configured;
mod epoch_metrics;
mod error;
mod exit;
mod network_latency;
mod options;
mod page;
#[cfg(test)]
mod reference_pages;
mod remote;
mod report;
mod run_label;
mod serve;
mod session;
mod source_revision;
mod speed;
mod target_folder;
mod tensorboard;
mod time;
mod watch;

fn main() -> std::process::ExitCode {
    cli::main().into()
}
