use clap::Args;
use serde_json::json;
use tfnas_artifacts::{Cache, RunNote};

use crate::commands::report::named_run;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::print_json;
use crate::session::{store_folder, store_to_read};

/// Set the note of a run, which `log`, `show` and the report contain; an empty text removes it
#[derive(Args, Debug)]
pub struct Note {
    /// A run: its number or name, or `latest`
    #[arg(value_name = "RUN")]
    run: String,

    /// The new note
    #[arg(value_name = "TEXT")]
    text: RunNote,
}

impl Note {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let id = named_run(&store_to_read(options)?, &self.run)?.id;
        let cache = Cache::open(&store_folder(options))?;
        let run = cache.set_note(id, &self.text)?;
        let run = run.ok_or_else(|| CommandError::usage(format!("there is no run {id}")))?;
        match &run.note {
            Some(_) => tracing::info!("run {id} has a new note"),
            None => tracing::info!("run {id} has no note now"),
        }
        if options.json {
            print_json(&json!({ "run": run.id, "name": run.name, "note": run.note }));
        }
        Ok(Exit::Done)
    }
}
