use std::path::PathBuf;

use clap::Args;
use tfnas::TableHeader;
use tfnas_planner::table_file;

use crate::error::CommandError;
use crate::exit::Exit;

/// Convert a published table (a pickle, read and never executed) to the text format
#[derive(Args, Debug)]
pub struct Import {
    /// The table to read
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The table to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// The short name of the table [default: the name of the file]
    #[arg(long)]
    name: Option<String>,

    /// The device that was measured
    #[arg(long)]
    device: Option<String>,

    /// The batch size of the measurement
    #[arg(long, value_name = "N")]
    batch: Option<usize>,

    /// The number of threads of the measurement
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Who measured it, or where it comes from
    #[arg(long)]
    source: Option<String>,

    /// Terms under which the numbers may be used
    #[arg(long = "license", alias = "licence", value_name = "LICENSE")]
    licence: Option<String>,
}

impl Import {
    pub fn execute(&self) -> Result<Exit, CommandError> {
        let read = table_file::read(&self.file, || self.header())?;
        let out = self.out.display();
        tfnas_fs::write_atomic(&self.out, read.to_text().as_bytes())
            .map_err(|error| CommandError::usage(format!("cannot write {out}: {error}")))?;
        let suspicious: usize = read.suspicious().iter().map(|range| range.widths.clone().count()).sum();
        tracing::info!(
            "wrote {out}: {} keys, {suspicious} suspicious entries (see `table verify`)",
            read.curves().len()
        );
        Ok(Exit::Done)
    }

    fn header(&self) -> TableHeader {
        let named = table_file::named_after(&self.file);
        TableHeader {
            name: self.name.clone().unwrap_or(named.name),
            device: self.device.clone(),
            batch: self.batch,
            threads: self.threads,
            framework: None,
            source: self.source.clone().or(named.source),
            licence: self.licence.clone(),
            check: None,
            reference: None,
        }
    }
}
