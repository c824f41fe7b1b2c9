use clap::Args;
use serde_json::json;
use tfnas_artifacts::Cache;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::store_folder;

/// Rebuild a damaged ledger from the artifacts of the store and the records next to them
#[derive(Args, Debug)]
pub struct Rebuild {}

impl Rebuild {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let rebuilt = Cache::rebuild(&store_folder(options))?;
        let unreadable: Vec<String> = rebuilt.unreadable.iter().map(ToString::to_string).collect();
        let lost: Vec<String> = rebuilt.lost.iter().map(ToString::to_string).collect();
        if options.json {
            print_json(&json!({
                "attempts": rebuilt.attempts,
                "results": rebuilt.results,
                "unreadable": unreadable,
                "lost": lost,
                "old": rebuilt.old.as_ref().map(|old| old.display().to_string()),
            }));
        } else {
            let mut text = String::new();
            unreadable.iter().chain(&lost).for_each(|line| text.push_str(&format!("{line}\n")));
            text.push_str(&format!("{} attempts, {} of them results\n", rebuilt.attempts, rebuilt.results));
            if let Some(old) = rebuilt.old {
                text.push_str(&format!("the old ledger is now {}\n", old.display()));
            }
            print(&text);
        }
        Ok(Exit::Done)
    }
}
