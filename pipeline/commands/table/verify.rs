use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tfnas::table::Problem;
use tfnas_humanize::Columns;
use tfnas_planner::config::space_named;

use crate::commands::table::measure::{Measure, check_text};
use crate::commands::table::read;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Maximum number of entries that are listed.
const LISTED: usize = 20;

/// Check a table for entries that cannot be latencies, and for keys or widths of a space that are missing
///
/// With --measure it also measures random networks of the space on this machine, as a whole, and compares them with the sums
/// of the table.
#[derive(Args, Debug)]
pub struct Verify {
    /// The table
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The space that it is meant for: a name, or a file that ends in .yaml
    #[arg(long)]
    space: Option<String>,

    #[command(flatten)]
    measure: Measure,
}

impl Verify {
    /// Prints what is wrong with the table. Suspicious entries are listed but are not a failure, because published
    /// tables contain some.
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let table = read(&self.file)?;
        let suspicious = table.suspicious();
        let space = self.space.as_deref().map(space_named).transpose()?;
        let lacking = space.as_ref().and_then(|space| table.check_covers(space).err()).map(|error| error.to_string());
        let check = match &lacking {
            None => self.measure.run(&self.file, &table, space.as_ref(), options)?,
            Some(_) => None,
        };
        let entries: usize = suspicious.iter().map(|range| range.widths.clone().count()).sum();
        let exit = if lacking.is_some() { Exit::Failed } else { Exit::Done };
        if options.json {
            let listed = suspicious.iter().map(|entry| {
                let widths = [entry.widths.start(), entry.widths.end()];
                json!({ "key": entry.key.to_string(), "widths": widths, "problem": word(entry.problem) })
            });
            let mut value = json!({ "suspicious": listed.collect::<Vec<_>>(), "entries": entries, "lacking": lacking });
            if let Some(check) = &check {
                value["check"] = json!(check);
            }
            print_json(&value);
            return Ok(exit);
        }
        let mut columns = Columns::plain(3);
        for entry in suspicious.iter().take(LISTED) {
            columns.row([
                entry.key.to_string(),
                format!("widths {} to {}", entry.widths.start(), entry.widths.end()),
                word(entry.problem).to_owned(),
            ]);
        }
        let mut text = columns.to_string();
        if suspicious.len() > LISTED {
            text.push_str(&format!("and {} more rows\n", suspicious.len() - LISTED));
        }
        text.push_str(&format!("{} keys, {entries} suspicious entries\n", table.curves().len()));
        if let Some(lacking) = lacking {
            text.push_str(&format!("{lacking}\n"));
        }
        if let Some(check) = &check {
            text.push_str(&check_text(check));
        }
        print(&text);
        Ok(exit)
    }
}

fn word(problem: Problem) -> &'static str {
    match problem {
        Problem::NotPositive => "not positive",
        Problem::Decreasing => "less than at the width before",
    }
}
