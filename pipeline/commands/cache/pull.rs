use clap::Args;
use indicatif::MultiProgress;
use serde::Serialize;
use tfnas_artifacts::{ActionKey, AttemptId, Cache, Pulled, Wanted};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::config::Configuration;
use tfnas_planner::plan::select;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::remote::{Connection, EXIT_CODES, Needed, Pulling, RemoteOptions, State, each, needed, trusted};
use crate::report::{print, print_json};
use crate::session::{Setup, new_run, store_folder};

/// Download results from a remote that the current configuration needs and the store does not have
#[derive(Args, Debug)]
#[command(after_help = EXIT_CODES)]
pub struct Pull {
    /// `all`, a stage, or one instance of it (search@12), with its dependencies
    #[arg(default_value = "all", value_name = "STAGE")]
    stages: Vec<String>,

    /// Download the newest result of every key on the remote
    #[arg(long, conflicts_with = "stages")]
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
    id: Option<String>,
    key: Option<ActionKey>,
    attempt: Option<AttemptId>,
    action: Action,
    objects: u64,
    bytes: u64,
    /// Newer results that cannot be used, and why.
    refused: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    /// The result is downloaded.
    Pull,
    /// The result was already in the store.
    Here,
    /// The remote has no result.
    Absent,
    /// The remote has results, but none can be used.
    Refused,
    /// The key is unknown because a result that it depends on was not found.
    Unknown,
}

impl Pull {
    pub fn execute(&self, options: &Options, bars: &MultiProgress) -> Result<Exit, CommandError> {
        let connection = self.remote.open(options)?;
        let results = if self.all {
            self.everything(options, &connection, bars)?
        } else {
            self.needed(options, &connection, bars)?
        };
        let shown = Shown { remote: connection.remote.url().to_owned(), dry_run: self.remote.dry_run, results };
        if options.json {
            print_json(&shown);
        } else {
            print(&text(&shown));
        }
        let mut refused = Vec::new();
        for result in &shown.results {
            match result.action {
                Action::Refused => refused.extend(&result.refused),
                _ => result.refused.iter().for_each(|why| tracing::warn!("an older result is used: {why}")),
            }
        }
        if refused.is_empty() {
            return Ok(Exit::Done);
        }
        let lines: Vec<&str> = refused.into_iter().map(String::as_str).collect();
        Err(CommandError::failed(lines.join("\n")).with_hint("`run` creates what could not be pulled"))
    }

    /// Pulls the results that the configuration needs.
    fn needed(
        &self,
        options: &Options,
        connection: &Connection,
        bars: &MultiProgress,
    ) -> Result<Vec<ShownResult>, CommandError> {
        let setup = Setup::new(options)?;
        let chosen = select(&setup.graph, &self.stages)?;
        let mut session = if self.remote.dry_run {
            setup.read()?
        } else {
            setup.generate()?;
            setup.write()?
        };
        session.identify(&chosen)?;
        let begin = || session.begin_run();
        let pulling = Pulling::new(&connection.remote, &session.cache, self.remote.dry_run, &begin, bars);
        let found = needed(&session.planner(), &chosen, connection.jobs, &|wanted| pulling.ask(wanted));
        let found = pulling.end(found)?;
        let shown = |needed: Needed| {
            let id = Some(session.graph.instances[needed.instance].id.clone());
            match needed.state {
                State::Here(result) => ShownResult::new(id, needed.key, Action::Here, Some(result.id)),
                State::Unknown => ShownResult::new(id, needed.key, Action::Unknown, None),
                State::Asked(pulled) => ShownResult::asked(id, needed.key, *pulled),
            }
        };
        Ok(found.into_iter().map(shown).collect())
    }

    /// Pulls all results of the remote.
    fn everything(
        &self,
        options: &Options,
        connection: &Connection,
        bars: &MultiProgress,
    ) -> Result<Vec<ShownResult>, CommandError> {
        let folder = store_folder(options);
        let trust = trusted(&Configuration::load(options.config.as_deref(), &options.sets)?)?;
        let cache = if self.remote.dry_run { Cache::open_to_read(&folder)? } else { Cache::open(&folder)? };
        let cache = cache.trusting(trust);
        let keys = connection.remote.keys()?;
        let begin = || cache.begin_run(&new_run(String::new()));
        let pulling = Pulling::new(&connection.remote, &cache, self.remote.dry_run, &begin, bars);
        let results = each(&keys, connection.jobs, |key| {
            if let Some(here) = cache.find(key)?.result {
                return Ok(ShownResult::new(Some(here.instance), Some(*key), Action::Here, Some(here.id)));
            }
            let pulled = pulling.ask(Wanted { key, outputs: &[] })?;
            let id = pulled.result.as_ref().map(|result| result.instance.clone());
            Ok(ShownResult::asked(id, Some(*key), pulled))
        });
        pulling.end(results)
    }
}

impl ShownResult {
    fn new(id: Option<String>, key: Option<ActionKey>, action: Action, attempt: Option<AttemptId>) -> Self {
        Self { id, key, attempt, action, objects: 0, bytes: 0, refused: Vec::new() }
    }

    fn asked(id: Option<String>, key: Option<ActionKey>, pulled: Pulled) -> Self {
        let Pulled { result, objects, bytes, refused } = pulled;
        let action = match &result {
            Some(_) => Action::Pull,
            None if refused.is_empty() => Action::Absent,
            None => Action::Refused,
        };
        let name = |id: &Option<String>| id.as_ref().map(|id| format!("{id}: ")).unwrap_or_default();
        let refused = refused.iter().map(|error| format!("{}{error}", name(&id))).collect();
        Self { objects, bytes, refused, ..Self::new(id, key, action, result.map(|result| result.id)) }
    }
}

fn text(shown: &Shown) -> String {
    let verb = if shown.dry_run { "would pull" } else { "pulled" };
    let mut columns = Columns::plain(3);
    let (mut results, mut objects, mut bytes) = (0, 0, 0);
    for result in &shown.results {
        let what = match result.action {
            Action::Pull => {
                results += 1;
                objects += result.objects;
                bytes += result.bytes;
                format!("{verb} with {} artifacts ({})", result.objects, humanize::bytes(result.bytes))
            }
            Action::Here => "here already".to_owned(),
            Action::Absent => "not on the remote".to_owned(),
            Action::Refused => "on the remote, but unusable".to_owned(),
            Action::Unknown => "unknown until its inputs are pulled".to_owned(),
        };
        let id = result.id.clone().or(result.key.map(|key| key.short())).unwrap_or_default();
        let attempt = result.attempt.as_ref().map(AttemptId::as_str).unwrap_or_default();
        columns.row([id.as_str(), attempt, &what]);
    }
    format!(
        "{columns}{verb} {results} of {} results with {objects} artifacts ({}) from {}\n",
        shown.results.len(),
        humanize::bytes(bytes),
        shown.remote
    )
}
