use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use tfnas_artifacts::{Cache, Outcome, Run, RunFilter, RunSummary};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::config::nearest::suggestion;

use crate::commands::report::named_run;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::run_label::one_line;
use crate::session::store_to_read;

/// List the runs of this store, newest first
#[derive(Args, Debug)]
pub struct Log {
    /// The number of runs to list
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    limit: usize,

    /// Only list runs before this one
    #[arg(long, value_name = "RUN")]
    before: Option<String>,

    /// Only list runs whose name contains this text, or matches this pattern (`lr-*`, `[ab]?`)
    #[arg(long, value_name = "TEXT|PATTERN", value_parser = NonEmptyStringValueParser::new())]
    name: Option<String>,
}

/// Number of characters of a note in the list.
const NOTE: usize = 60;
/// Number of names that are suggested from.
const NAMES: usize = 1000;

#[derive(Serialize)]
struct Shown {
    runs: Vec<ShownRun>,
}

#[derive(Serialize)]
struct ShownRun {
    #[serde(flatten)]
    run: Run,
    ran: Vec<String>,
    cached: Vec<String>,
    /// The cached results that were pulled from a remote.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pulled: Vec<String>,
    failed: Vec<String>,
}

impl Log {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        let before = self.before.as_deref().map(|run| named_run(&cache, run)).transpose()?.map(|run| run.id);
        let runs = cache.ledger().filtered_runs(RunFilter { before, name: self.name.as_deref() }, self.limit)?;
        if let Some(pattern) = self.name.as_deref().filter(|_| runs.is_empty()) {
            warn_no_match(&cache, pattern)?;
        }
        let runs = runs.into_iter().map(|run| shown(&cache, run)).collect::<Result<Vec<_>, _>>()?;
        if options.json {
            print_json(&Shown { runs });
        } else {
            print(&text(&runs));
        }
        Ok(Exit::Done)
    }
}

/// Logs that no run matches, with the names that there are.
fn warn_no_match(cache: &Cache, pattern: &str) -> Result<(), CommandError> {
    let names = cache.ledger().run_names(NAMES)?;
    if names.is_empty() {
        tracing::warn!("no run has a name yet: `run --name NAME` gives one");
    } else {
        let hint = suggestion(pattern, names.iter().take(10).map(String::as_str));
        tracing::warn!("no name of a run matches `{pattern}`; {hint}");
    }
    Ok(())
}

fn shown(cache: &Cache, run: Run) -> Result<ShownRun, CommandError> {
    let RunSummary { made, used } = cache.ledger().summary(run.id)?;
    let (done, others): (Vec<_>, Vec<_>) = made.into_iter().partition(|(_, outcome)| *outcome == Some(Outcome::Done));
    Ok(ShownRun {
        run,
        ran: done.into_iter().map(|(instance, _)| instance).collect(),
        pulled: used.iter().filter(|(_, pulled)| *pulled).map(|(instance, _)| instance.clone()).collect(),
        cached: used.into_iter().map(|(instance, _)| instance).collect(),
        failed: others.into_iter().map(|(instance, _)| instance).collect(),
    })
}

fn text(runs: &[ShownRun]) -> String {
    // Names and notes have a column only if there are any.
    let has = |get: fn(&Run) -> &Option<String>| runs.iter().any(|shown| get(&shown.run).is_some());
    let (named, noted) = (has(|run| &run.name), has(|run| &run.note));
    let mut headings = vec![">run"];
    headings.extend(named.then_some("name"));
    headings.extend(["started (UTC)", ">took", "outcome", "ran", ">cached"]);
    headings.extend(noted.then_some("note"));
    headings.push("command");
    let mut columns = Columns::new(&headings);
    for ShownRun { run, ran, cached, pulled, failed } in runs {
        let took = run.ended_ms.map(|ended| humanize::duration(ended.saturating_sub(run.started_ms) as f64 / 1e3));
        let mut did = ran.join(" ");
        if !failed.is_empty() {
            did.push_str(&format!(" (not done: {})", failed.join(" ")));
        }
        let mut cells = vec![run.id.to_string()];
        cells.extend(named.then(|| run.name.clone().unwrap_or_default()));
        cells.extend([
            humanize::moment(run.started_ms),
            took.unwrap_or_default(),
            run.outcome.map_or("not ended", Outcome::name).to_owned(),
            did.trim().to_owned(),
            if pulled.is_empty() {
                cached.len().to_string()
            } else {
                format!("{}, {} pulled", cached.len(), pulled.len())
            },
        ]);
        cells.extend(noted.then(|| one_line(run.note.as_deref().unwrap_or_default(), NOTE)));
        cells.push(one_line(&run.arguments.join(" "), usize::MAX));
        columns.row(cells);
    }
    columns.to_string()
}
