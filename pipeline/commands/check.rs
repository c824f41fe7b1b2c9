use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use indicatif::MultiProgress;
use serde::Serialize;
use tfnas_artifacts::{Attempt, Outcome};
use tfnas_executor::{RunObserver, Runner, worker_program};
use tfnas_humanize::Columns;
use tfnas_planner::machine::differing_facts;
use tfnas_planner::plan::select;

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{EventLog, Reporter, print, print_json};
use crate::session::{Session, Setup};
use crate::source_revision::source_revision;

/// Rerun a stage and check that its outputs are identical
#[derive(Args, Debug)]
pub struct Check {
    /// A stage, or one instance of it (search@12)
    #[arg(value_name = "STAGE")]
    stage: String,

    /// How many times to rerun the stage
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeat: u16,

    /// The worker's program [default: tfnas-stage next to this program]
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
}

#[derive(Serialize)]
struct Compared {
    id: String,
    attempt: String,
    /// Facts about the environment that differ. If there are none, the bytes must be equal.
    environment: Vec<String>,
    outputs: Vec<ComparedOutput>,
}

#[derive(Serialize)]
struct ComparedOutput {
    name: String,
    same: bool,
    old: String,
    new: Option<String>,
}

impl Check {
    pub fn execute(&self, options: &Options, bars: MultiProgress) -> Result<Exit, CommandError> {
        let setup = Setup::new(options)?;
        let chosen = select(&setup.graph, std::slice::from_ref(&self.stage))?;
        let program = worker_program(self.worker.as_deref())?;
        let mut session = setup.write()?;
        session.identify(&chosen)?;
        let results = self.results(&session, &chosen)?;
        let mut reporter = Reporter::new(bars, false, true);
        let run = session.begin_run()?;
        let mut compared = Vec::new();
        let mut exit = Exit::Done;
        let planner = session.planner();
        let forced = BTreeSet::new();
        let plan = planner.plan(&chosen, &forced)?;
        let mut event_log = EventLog::create(&session.cache, run.id(), run.arguments(), planner.graph, &plan);
        let mut observers: Vec<&mut dyn RunObserver> = vec![&mut reporter, &mut event_log];
        let runner = Runner {
            planner: &planner,
            run: &run,
            program: &program,
            source_revision: source_revision(),
            jobs: 1,
            launcher: None,
            forced: &forced,
            keep_going: false,
            profile: false,
        };
        'all: for instance in &chosen {
            for _ in 0..self.repeat {
                let finished = runner.repeat(*instance, &results, &mut observers)?;
                if finished.stopped {
                    exit = Exit::Interrupted;
                    break 'all;
                }
                match (results.get(instance), finished.results.get(instance)) {
                    (Some(old), Some(new)) if finished.failed.is_empty() => compared.push(compare(old, new)),
                    _ => {
                        exit = Exit::Failed;
                        break 'all;
                    }
                }
            }
        }
        let same = all_same(&compared);
        if exit == Exit::Done && !same {
            exit = Exit::Failed;
        }
        let outcome = match exit {
            Exit::Done => Outcome::Done,
            Exit::Interrupted => Outcome::Interrupted,
            Exit::Failed | Exit::Usage => Outcome::Failed,
        };
        event_log.finish(outcome);
        session.cache.end_run(run, outcome)?;
        if options.json {
            print_json(&serde_json::json!({ "same": same, "repeats": compared }));
        } else {
            print(&text(&compared));
        }
        Ok(exit)
    }

    fn results(&self, session: &Session, chosen: &BTreeSet<usize>) -> Result<BTreeMap<usize, Attempt>, CommandError> {
        let plan = session.planner().plan(chosen, &BTreeSet::new())?;
        let results: BTreeMap<_, _> =
            plan.steps.into_iter().filter_map(|step| Some((step.instance, step.hit?))).collect();
        match chosen.iter().find(|instance| !results.contains_key(instance)) {
            None => Ok(results),
            Some(missing) => {
                let id = &session.graph.instances[*missing].id;
                Err(CommandError::usage(format!("{id} has no result to compare with"))
                    .with_hint(format!("`run {id}` first")))
            }
        }
    }
}

/// Returns whether the stage was rerun and every output is identical.
fn all_same(compared: &[Compared]) -> bool {
    !compared.is_empty() && compared.iter().flat_map(|compared| &compared.outputs).all(|output| output.same)
}

fn compare(old: &Attempt, new: &Attempt) -> Compared {
    let outputs = old.outputs.iter().map(|output| {
        let again = new.output(&output.name).map(|again| again.digest);
        ComparedOutput {
            name: output.name.clone(),
            same: again == Some(output.digest),
            old: output.digest.to_string(),
            new: again.map(|digest| digest.to_string()),
        }
    });
    Compared {
        id: new.instance.clone(),
        attempt: new.id.to_string(),
        environment: differing_facts(&old.environment, &new.environment),
        outputs: outputs.collect(),
    }
}

fn text(compared: &[Compared]) -> String {
    let mut columns = Columns::plain(4);
    for Compared { id, environment, outputs, .. } in compared {
        let tested = if environment.is_empty() {
            "in an equal environment".to_owned()
        } else {
            format!("in an environment with other {}", environment.join(", "))
        };
        for output in outputs {
            let verdict = if output.same { "same bytes" } else { "other bytes" };
            columns.row([id.as_str(), &output.name, verdict, &tested]);
        }
    }
    columns.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_the_same_only_if_a_stage_was_rerun() {
        let compared = |same: &[bool]| {
            let output =
                |same: &bool| ComparedOutput { name: String::new(), same: *same, old: String::new(), new: None };
            let outputs = same.iter().map(output).collect();
            Compared { id: String::new(), attempt: String::new(), environment: Vec::new(), outputs }
        };
        assert!(!all_same(&[]));
        assert!(all_same(&[compared(&[true, true])]));
        assert!(!all_same(&[compared(&[true]), compared(&[true, false])]));
    }
}
