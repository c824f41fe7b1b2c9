use clap::Args;
use serde::Serialize;
use tfnas_artifacts::{Attempt, Cache, Outcome, Purpose};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::lock::{self, Difference, Lock};
use tfnas_planner::plan::{Step, select};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::{Session, Setup};

/// Show the last result of each stage of the current configuration, and where its outputs are
#[derive(Args, Debug)]
pub struct Status {
    /// `all`, a stage, or one instance of it (search@12)
    #[arg(default_value = "all", value_name = "STAGE")]
    stages: Vec<String>,

    /// Fail if pipeline.lock does not match the configuration and the data; needs no store
    #[arg(long)]
    locked: bool,
}

#[derive(Serialize)]
struct Shown {
    stages: Vec<ShownStage>,
}

#[derive(Serialize)]
struct ShownStage {
    id: String,
    stage: &'static str,
    outcome: &'static str,
    key: Option<String>,
    outputs: Vec<ShownOutput>,
    cause: Option<String>,
    ended_ms: Option<i64>,
    /// Duration of the attempt that made the result, in seconds.
    took_s: Option<f64>,
}

#[derive(Serialize)]
struct ShownOutput {
    name: String,
    digest: String,
    bytes: u64,
    path: String,
}

impl Status {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let setup = Setup::new(options)?;
        let chosen = select(&setup.graph, &self.stages)?;
        let mut session = setup.read()?;
        session.identify(&chosen)?;
        if self.locked {
            return locked(&session, options.json);
        }
        let planner = session.planner();
        let plan = planner.plan(&chosen, &Default::default())?;
        let mut stages = Vec::new();
        for step in plan.steps.iter().filter(|step| chosen.contains(&step.instance)) {
            let instance = &session.graph.instances[step.instance];
            let (last, result) = history(&session.cache, step, &instance.id)?;
            let outcome = last.as_ref().map_or("never", |last| match last.outcome {
                Some(outcome) => outcome.name(),
                None if session.cache.is_locked(&last.key) || session.cache.is_detached(last) => "running",
                // The planner of an attempt without an outcome was killed.
                None => Outcome::Interrupted.name(),
            });
            stages.push(ShownStage {
                id: instance.id.clone(),
                stage: instance.stage.name(),
                outcome,
                key: step.key().or(last.as_ref().map(|last| last.key)).map(|key| key.to_string()),
                took_s: result.as_ref().and_then(Attempt::duration_ms).map(|ms| ms as f64 / 1e3),
                outputs: result.map(|result| outputs(&session.cache, &result)).unwrap_or_default(),
                cause: last.as_ref().and_then(|last| last.cause.clone()),
                ended_ms: last.and_then(|last| last.ended_ms),
            });
        }
        if options.json {
            print_json(&Shown { stages });
        } else {
            print(&text(&stages));
        }
        Ok(Exit::Done)
    }
}

fn locked(session: &Session, json: bool) -> Result<Exit, CommandError> {
    let path = lock::path(&session.configuration).ok_or_else(|| {
        CommandError::usage("the embedded default has no pipeline.lock").with_hint("`init` writes a pipeline.yaml")
    })?;
    let differences = lock::differences(&session.planner(), &Lock::read(&path)?)?;
    if json {
        print_json(&serde_json::json!({ "locked": differences.is_empty(), "differences": differences }));
    } else {
        let path = path.display();
        let lines = differences.iter().map(|Difference { id, what }| format!("{path}: {id}: {what}\n"));
        print(&lines.collect::<String>());
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Returns the last attempt that is not a check, and the last result, for the current key. If the key is not known yet, returns those of the
/// instance for any key.
fn history(cache: &Cache, step: &Step, id: &str) -> Result<(Option<Attempt>, Option<Attempt>), CommandError> {
    let ledger = cache.ledger();
    Ok(match step.key() {
        Some(key) => {
            let last = ledger.attempts_of(&key)?.into_iter().find(|attempt| attempt.purpose == Purpose::Run);
            (last, step.hit.clone())
        }
        None => (ledger.last_attempt(id)?, ledger.last_result(id)?),
    })
}

fn outputs(cache: &Cache, result: &Attempt) -> Vec<ShownOutput> {
    let absolute = |path: std::path::PathBuf| std::path::absolute(&path).unwrap_or(path).display().to_string();
    result
        .outputs
        .iter()
        .map(|output| ShownOutput {
            name: output.name.clone(),
            digest: output.digest.to_string(),
            bytes: output.bytes,
            path: absolute(cache.store().path(&output.digest)),
        })
        .collect()
}

fn text(stages: &[ShownStage]) -> String {
    let mut columns = Columns::new(&["stage", "outcome", "ended (UTC)", "output", ">size", "path"]);
    for stage in stages {
        let ended = stage.ended_ms.map(humanize::moment).unwrap_or_default();
        let cause = stage.cause.clone().unwrap_or_default();
        let mut first = [stage.id.as_str(), stage.outcome, &ended];
        if stage.outputs.is_empty() {
            columns.row([first[0], first[1], first[2], &cause]);
        }
        for output in &stage.outputs {
            let size = humanize::bytes(output.bytes);
            columns.row([first[0], first[1], first[2], &output.name, &size, &output.path]);
            first = [""; 3];
        }
    }
    columns.to_string()
}
