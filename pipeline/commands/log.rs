use clap::Args;
use serde::Serialize;
use tfnas_artifacts::{Cache, Outcome, Run, RunId, RunSummary};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::store_to_read;

/// List the runs of this store, newest first
#[derive(Args, Debug)]
pub struct Log {
    /// The number of runs to list
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N")]
    limit: usize,

    /// Only list runs before this one
    #[arg(long, value_name = "RUN")]
    before: Option<i64>,
}

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
        let runs = cache.ledger().runs(self.before.map(RunId), self.limit)?;
        let runs = runs.into_iter().map(|run| shown(&cache, run)).collect::<Result<Vec<_>, _>>()?;
        if options.json {
            print_json(&Shown { runs });
        } else {
            print(&text(&runs));
        }
        Ok(Exit::Done)
    }
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
    let mut columns = Columns::new(&[">run", "started (UTC)", ">took", "outcome", "ran", ">cached", "command"]);
    for ShownRun { run, ran, cached, pulled, failed } in runs {
        let took = run.ended_ms.map(|ended| humanize::duration((ended - run.started_ms) as f64 / 1e3));
        let mut did = ran.join(" ");
        if !failed.is_empty() {
            did.push_str(&format!(" (not done: {})", failed.join(" ")));
        }
        columns.row([
            run.id.to_string(),
            humanize::moment(run.started_ms),
            took.unwrap_or_default(),
            run.outcome.map_or("not ended", Outcome::name).to_owned(),
            did.trim().to_owned(),
            if pulled.is_empty() {
                cached.len().to_string()
            } else {
                format!("{}, {} pulled", cached.len(), pulled.len())
            },
            run.arguments.join(" "),
        ]);
    }
    columns.to_string()
}
