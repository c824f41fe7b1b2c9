use std::path::PathBuf;

use clap::Args;
use tfnas_pytorch_files::table_to_pickle;

use crate::commands::table::read;
use crate::error::CommandError;
use crate::exit::Exit;

/// Write a table as a pickle for the original's code: every width of every key, in milliseconds
#[derive(Args, Debug)]
pub struct Export {
    /// The table to read
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The pickle to write
    #[arg(value_name = "OUT")]
    out: PathBuf,
}

impl Export {
    pub fn execute(&self) -> Result<Exit, CommandError> {
        let table = read(&self.file)?;
        let out = self.out.display();
        tfnas_fs::write_atomic(&self.out, &table_to_pickle(&table))
            .map_err(|error| CommandError::usage(format!("cannot write {out}: {error}")))?;
        tracing::info!("wrote {out}: {} keys", table.curves().len());
        Ok(Exit::Done)
    }
}
