use clap::Args;
use serde_json::{Value, json};
use tfnas_artifacts::{Attempt, Cache, Digest, Found, Outcome, Run, RunId};
use tfnas_humanize as humanize;
use tfnas_humanize::{Columns, indented};
use tfnas_planner::config::nearest::nearest;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{candidate_table, candidates, print, print_json};
use crate::run_label::one_line;
use crate::session::store_to_read;

/// Show a run, an attempt or an artifact: inputs, outputs, parameters, environment, time, memory
#[derive(Args, Debug)]
pub struct Show {
    /// A run's number or name, or the first digits of an attempt or of an artifact's digest; `latest` is the last run
    #[arg(value_name = "WHAT")]
    what: String,
}

impl Show {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let cache = store_to_read(options)?;
        let (value, text) = match named(&cache, &self.what)? {
            Found::Run(id) => show_run(&cache, id)?,
            Found::Attempt(id) => {
                let attempt = cache.ledger().attempt(&id)?;
                let attempt = attempt.ok_or_else(|| CommandError::usage(format!("there is no attempt {id}")))?;
                (json!({ "attempt": attempt }), attempt_text(&cache, &attempt))
            }
            Found::Artifact(digest) => show_artifact(&cache, &digest)?,
        };
        if options.json {
            print_json(&value);
        } else {
            print(&text);
        }
        Ok(Exit::Done)
    }
}

/// Number of names of runs that are suggested from.
const MAX_NAMES: usize = 1000;

/// Returns the run, attempt or artifact that `what` names.
pub fn named(cache: &Cache, what: &str) -> Result<Found, CommandError> {
    if what == "latest" {
        let last = cache.ledger().runs(None, 1)?.into_iter().next();
        return last
            .map(|run| Found::Run(run.id))
            .ok_or_else(|| CommandError::usage("there is no run yet").with_hint("`run all` creates one"));
    }
    let mut found = cache.ledger().find(what)?;
    // A run is named by its full number or name, everything else by its first digits. The run takes precedence.
    found.sort_by_key(|found| !matches!(found, Found::Run(_)));
    match found.len() {
        _ if matches!(found.first(), Some(Found::Run(_))) => Ok(found.remove(0)),
        1 => Ok(found.remove(0)),
        0 => {
            let names = cache.ledger().run_names(MAX_NAMES)?;
            let names = ["latest"].into_iter().chain(names.iter().map(String::as_str));
            let hint = nearest(what, names).map(|name| format!("did you mean `{name}`?"));
            Err(CommandError::usage(format!("nothing in this store has the name `{what}`"))
                .with_hint(hint.unwrap_or_else(|| "`log` lists the runs, `status` the artifacts".to_owned())))
        }
        _ => {
            let names: Vec<_> = found.iter().map(name_of).collect();
            Err(CommandError::usage(format!("`{what}` is ambiguous: {}", names.join(", "))))
        }
    }
}

fn name_of(found: &Found) -> String {
    match found {
        Found::Run(id) => format!("run {id}"),
        Found::Attempt(id) => format!("attempt {id}"),
        Found::Artifact(digest) => format!("artifact {digest}"),
    }
}

fn show_run(cache: &Cache, id: RunId) -> Result<(Value, String), CommandError> {
    let ledger = cache.ledger();
    let run = ledger.run(id)?.ok_or_else(|| CommandError::usage(format!("there is no run {id}")))?;
    let (made, used) = (ledger.made_by(id)?, ledger.used_by(id)?);
    let mut text = run_text(&run);
    for (heading, attempts) in [("made", &made), ("used", &used)] {
        let mut columns = Columns::plain(5);
        for attempt in attempts {
            let took = attempt.duration_ms().map(|ms| humanize::duration(ms as f64 / 1e3)).unwrap_or_default();
            columns.row([&attempt.instance, outcome(attempt), attempt.id.as_str(), &attempt.key.short(), &took]);
        }
        if !attempts.is_empty() {
            text.push_str(&format!("\n{heading}\n{}", indented(&columns.to_string())));
        }
    }
    Ok((json!({ "run": run, "made": made, "used": used }), text))
}

fn run_text(run: &Run) -> String {
    let mut columns = Columns::plain(2);
    columns.row(["run", &run.id.to_string()]);
    if let Some(name) = &run.name {
        columns.row(["name", name]);
    }
    for (index, line) in run.note.iter().flat_map(|note| note.lines()).enumerate() {
        columns.row([if index == 0 { "note" } else { "" }, line]);
    }
    columns.row(["command", &one_line(&run.arguments.join(" "), usize::MAX)]);
    columns.row(["started", &format!("{} UTC on {}", humanize::moment(run.started_ms), run.host)]);
    columns.row(["outcome", run.outcome.map_or("not ended", Outcome::name)]);
    columns.row(["tool", &run.tool]);
    columns.row(["source", run.source_revision.as_deref().unwrap_or("not known")]);
    columns.row(["configuration", &run.configuration]);
    columns.to_string()
}

fn outcome(attempt: &Attempt) -> &'static str {
    attempt.outcome.map_or("not ended", Outcome::name)
}

fn attempt_text(cache: &Cache, attempt: &Attempt) -> String {
    let mut columns = Columns::plain(2);
    columns.row(["attempt", attempt.id.as_str()]);
    columns.row(["stage", &attempt.instance]);
    columns.row(["key", &attempt.key.to_string()]);
    let cause = attempt.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    columns.row(["outcome", &format!("{}{cause}", outcome(attempt))]);
    columns.row(["started", &format!("{} UTC on {}", humanize::moment(attempt.started_ms), attempt.host)]);
    if let Some(remote) = &attempt.remote {
        columns.row(["pulled from", remote]);
    }
    if let Some(ms) = attempt.duration_ms() {
        columns.row(["took", &humanize::duration(ms as f64 / 1e3)]);
    }
    if let Some(bytes) = attempt.usage.peak_memory_bytes {
        columns.row(["memory", &format!("{} at most", humanize::bytes(bytes))]);
    }
    if let Some(ms) = attempt.usage.cpu_ms {
        columns.row(["CPU time", &humanize::duration(ms as f64 / 1e3)]);
    }
    columns.row(["tool", &attempt.tool]);
    columns.row(["source", attempt.source_revision.as_deref().unwrap_or("not known")]);
    let mut text = columns.to_string();
    let mut section = |heading: &str, rows: Vec<[String; 3]>| {
        let mut columns = Columns::plain(3);
        rows.iter().for_each(|row| columns.row(row.iter()));
        if !rows.is_empty() {
            text.push_str(&format!("\n{heading}\n{}", indented(&columns.to_string())));
        }
    };
    let origin = |input: &tfnas_artifacts::Input| input.origin.clone().unwrap_or_default();
    section(
        "inputs",
        attempt.inputs.iter().map(|input| [input.port.clone(), input.digest.short(), origin(input)]).collect(),
    );
    let place = |digest: &Digest| cache.store().path(digest).display().to_string();
    section(
        "outputs",
        attempt
            .outputs
            .iter()
            .map(|output| {
                [
                    output.name.clone(),
                    format!("{} {}", output.digest.short(), humanize::bytes(output.bytes)),
                    place(&output.digest),
                ]
            })
            .collect(),
    );
    let fields = attempt.manifest.fields().into_iter();
    section("key fields", fields.map(|(field, value)| [field.to_string(), value, String::new()]).collect());
    section("metrics", flat(&attempt.metrics));
    section("environment", flat(&attempt.environment));
    if let Some(report) = candidates(cache, attempt) {
        let table = indented(&candidate_table(&report.selection));
        text.push_str(&format!("\ncandidates, best first\n{table}"));
    }
    text
}

/// Returns the entries of an object, except nested objects.
fn flat(value: &Value) -> Vec<[String; 3]> {
    let entries = value.as_object().into_iter().flatten();
    entries
        .filter(|(_, value)| !value.is_object())
        .map(|(name, value)| {
            [name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned), String::new()]
        })
        .collect()
}

fn show_artifact(cache: &Cache, digest: &Digest) -> Result<(Value, String), CommandError> {
    let (makers, users) = (cache.ledger().makers(digest)?, cache.ledger().users(digest)?);
    let path = cache.store().path(digest);
    let bytes = std::fs::metadata(&path).ok().map(|meta| meta.len());
    let mut columns = Columns::plain(2);
    columns.row(["artifact", &digest.to_string()]);
    columns.row(["path", &path.display().to_string()]);
    columns.row(["size", &bytes.map_or("not in the store".to_owned(), humanize::bytes)]);
    for maker in &makers {
        let names = maker.outputs.iter().filter(|output| output.digest == *digest).map(|output| output.name.as_str());
        let names: Vec<_> = names.collect();
        columns.row(["made by", &format!("{} ({}, attempt {})", maker.instance, names.join(", "), maker.id)]);
    }
    for user in &users {
        columns.row(["read by", &format!("{} (attempt {})", user.instance, user.id)]);
    }
    let value = json!({
        "artifact": { "digest": digest, "path": path.display().to_string(), "bytes": bytes },
        "made_by": makers,
        "used_by": users,
    });
    Ok((value, columns.to_string()))
}
