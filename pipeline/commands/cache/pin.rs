use clap::Args;
use serde::Serialize;
use tfnas_artifacts::{AttemptId, Cache};
use tfnas_humanize::Columns;

use crate::commands::results::named_results;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::{store_folder, store_to_read};

/// Protect results, and everything they were made from, from `gc`; list what is protected
#[derive(Args, Debug)]
pub struct Pin {
    /// A run (its number or name, or `latest`), whose results are pinned, or an attempt; without it, only list the pins
    #[arg(value_name = "RUN")]
    what: Option<String>,

    /// The reason
    #[arg(long, default_value = "pinned manually", value_name = "TEXT")]
    reason: String,
}

/// Allow `gc` to remove results again
#[derive(Args, Debug)]
pub struct Unpin {
    /// A run (its number or name, or `latest`), or an attempt
    #[arg(value_name = "RUN")]
    what: String,
}

#[derive(Serialize)]
struct Shown {
    pins: Vec<ShownPin>,
}

#[derive(Serialize)]
struct ShownPin {
    id: String,
    attempt: AttemptId,
    reason: String,
}

impl Pin {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = match &self.what {
            None => store_to_read(options)?,
            Some(what) => {
                let cache = Cache::open(&store_folder(options))?;
                for result in named_results(&cache, what)? {
                    cache.pin(&result.id, &self.reason)?;
                }
                cache
            }
        };
        show(&cache, options.json)
    }
}

impl Unpin {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = Cache::open(&store_folder(options))?;
        for result in named_results(&cache, &self.what)? {
            cache.unpin(&result.id)?;
        }
        show(&cache, options.json)
    }
}

fn show(cache: &Cache, json: bool) -> Result<Exit, CommandError> {
    let mut pins = Vec::new();
    for (attempt, reason) in cache.ledger().pins()? {
        let id = cache.ledger().attempt(&attempt)?.map(|attempt| attempt.instance).unwrap_or_default();
        pins.push(ShownPin { id, attempt, reason });
    }
    if json {
        print_json(&Shown { pins });
    } else {
        let mut columns = Columns::plain(3);
        pins.iter().for_each(|pin| columns.row([pin.id.as_str(), pin.attempt.as_str(), &pin.reason]));
        print(&columns.to_string());
    }
    Ok(Exit::Done)
}
