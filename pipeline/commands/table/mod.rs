//! `table`: commands for latency tables.

mod diff;
mod export;
mod import;
mod measure;
mod random;
mod range;
mod show;
mod verify;

use std::path::Path;

use clap::{Args, Subcommand};
use tfnas::LatencyTable;
use tfnas_planner::table_file;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;

/// Import, export, show, check and compare latency tables
#[derive(Args, Debug)]
pub struct Table {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    Import(import::Import),
    Export(export::Export),
    Show(show::Show),
    Verify(verify::Verify),
    Range(range::Range),
    Diff(diff::Diff),
    Random(random::Random),
}

impl Table {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        match &self.verb {
            Verb::Import(import) => import.execute(),
            Verb::Export(export) => export.execute(),
            Verb::Show(show) => show.execute(options),
            Verb::Verify(verify) => verify.execute(options),
            Verb::Range(range) => range.execute(options),
            Verb::Diff(diff) => diff.execute(options),
            Verb::Random(random) => random.execute(options),
        }
    }
}

fn read(path: &Path) -> Result<LatencyTable, CommandError> {
    Ok(table_file::read(path, || table_file::named_after(path))?)
}
