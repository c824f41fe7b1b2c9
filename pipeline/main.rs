//! Plans, explains, lists and audits; starts `tfnas-stage` for what must run.

mod bounded;
mod cli;
mod commands;
mod config;
mod configured;
mod error;
mod execute;
mod exit;
mod generate;
mod lock;
mod machine;
mod network_file;
mod options;
mod page;
mod plan;
mod publication;
mod remote;
mod report;
mod session;
mod table;

fn main() -> std::process::ExitCode {
    cli::main().into()
}
