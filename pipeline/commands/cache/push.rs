use clap::Args;
use indicatif::MultiProgress;
use serde::Serialize;
use tfnas_artifacts::{Attempt, AttemptId, Cache, Pushed, Pusher, RemoteError};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::config::Configuration;

use crate::commands::results::named_results;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::remote::{EXIT_CODES, Moved, RemoteOptions, each, sign_key};
use crate::report::{print, print_json};
use crate::session::store_to_read;

/// Upload results with their artifacts to a remote, signed if `cache.sign_key` names a key; results that are already there
/// are verified, and uploaded again if they are damaged
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Push {
    /// A run (its number or name, or `latest`), whose results are uploaded, or an attempt
    #[arg(default_value = "latest", value_name = "RUN")]
    what: String,

    /// Upload every result of the store
    #[arg(long, conflicts_with = "what")]
    all: bool,

    #[command(flatten)]
    remote: RemoteOptions,
}

#[derive(Serialize)]
struct Shown {
    remote: String,
    dry_run: bool,
    results: Vec<ShownResult>,
}

#[derive(Serialize)]
struct ShownResult {
    id: String,
    attempt: AttemptId,
    key: String,
    /// `push`, `there` (already on the remote) or `refused`.
    action: &'static str,
    objects: u64,
    bytes: u64,
    signatures: u64,
    why: Option<String>,
}

impl Push {
    pub fn execute(&self, options: &Options, bars: &MultiProgress) -> Result<Exit, CommandError> {
        let key = sign_key(&Configuration::load(options.config.as_deref(), &options.sets)?)?;
        let cache = store_to_read(options)?;
        let results = self.results(&cache)?;
        let connection = self.remote.open(options)?;
        let remote = &connection.remote;
        let pusher = Pusher::new(remote, &cache).signing(key.as_ref());
        let moved = Moved::new(bars);
        let shown = each(&results, connection.jobs, |id| {
            let result = result(&cache, id)?;
            let pushed = if self.remote.dry_run {
                pusher.compare(&result)
            } else {
                pusher.push(&result, &|bytes| moved.add(bytes))
            };
            shown(&result, pushed)
        })?;
        drop(moved);
        let shown = Shown { remote: remote.url().to_owned(), dry_run: self.remote.dry_run, results: shown };
        if options.json {
            print_json(&shown);
        } else {
            print(&text(&shown));
        }
        let refused: Vec<&str> = shown.results.iter().filter_map(|result| result.why.as_deref()).collect();
        match refused[..] {
            [] => Ok(Exit::Done),
            _ => {
                Err(CommandError::failed(refused.join("\n")).with_hint("`run` recreates damaged and missing artifacts"))
            }
        }
    }

    fn results(&self, cache: &Cache) -> Result<Vec<AttemptId>, CommandError> {
        if self.all {
            return Ok(cache.ledger().all_results()?);
        }
        Ok(named_results(cache, &self.what)?.into_iter().map(|result| result.id).collect())
    }
}

fn result(cache: &Cache, id: &AttemptId) -> Result<Attempt, CommandError> {
    let removed = || CommandError::failed(format!("attempt {id} was removed in the meantime"));
    cache.ledger().attempt(id)?.ok_or_else(removed)
}

fn shown(result: &Attempt, pushed: Result<Pushed, RemoteError>) -> Result<ShownResult, CommandError> {
    let (action, Pushed { objects, bytes, signatures, .. }, why) = match pushed {
        Ok(pushed) if pushed.is_nothing() => ("there", pushed, None),
        Ok(pushed) => ("push", pushed, None),
        Err(error) if error.is_of_one_result() => {
            ("refused", Pushed::default(), Some(format!("{}: {error}", result.instance)))
        }
        Err(error) => return Err(error.into()),
    };
    let (id, attempt) = (result.instance.clone(), result.id.clone());
    Ok(ShownResult { id, attempt, key: result.key.to_string(), action, objects, bytes, signatures, why })
}

fn text(shown: &Shown) -> String {
    let verb = if shown.dry_run { "would send" } else { "sent" };
    let mut columns = Columns::plain(3);
    let (mut results, mut objects, mut bytes) = (0, 0, 0);
    for result in &shown.results {
        let what = match result.action {
            "push" => {
                results += 1;
                objects += result.objects;
                bytes += result.bytes;
                let signed = if result.signatures > 0 { ", signed" } else { "" };
                format!("{verb} with {} artifacts ({}){signed}", result.objects, humanize::bytes(result.bytes))
            }
            "there" => "already on the remote".to_owned(),
            _ => "not sent".to_owned(),
        };
        columns.row([result.id.as_str(), result.attempt.as_str(), &what]);
    }
    format!(
        "{columns}{verb} {results} of {} results with {objects} artifacts ({}) to {}\n",
        shown.results.len(),
        humanize::bytes(bytes),
        shown.remote
    )
}
