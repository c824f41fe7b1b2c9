use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;
use tfnas_planner::plan::{Action, Cause, Graph, Plan as Steps, Remarks, Step, select};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::{Session, Setup};

/// Show which stages would run and why, and which are cached; run nothing
#[derive(Args, Debug)]
pub struct Plan {
    /// `all`, a stage, or one instance of it (search@12)
    #[arg(default_value = "all", value_name = "STAGE")]
    stages: Vec<String>,

    /// Plan as if this stage were forced to rerun; may be repeated
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    stages: Vec<ShownStep<'a>>,
    /// `notes` and `warnings`, each a list of `kind` and `message`.
    #[serde(flatten)]
    remarks: &'a Remarks,
}

#[derive(Serialize)]
struct ShownStep<'a> {
    id: &'a str,
    stage: &'static str,
    action: Action,
    key: Option<String>,
    because: &'a [Cause],
    expected_s: Option<f64>,
    /// The remote that the cached result was pulled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<&'a str>,
}

impl Plan {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let setup = Setup::new(options)?;
        let chosen = select(&setup.graph, &self.stages)?;
        let forced = select(&setup.graph, &self.force)?;
        show(setup.read()?, &chosen, &forced, options.json)
    }
}

/// Prints the plan for the selected instances.
pub fn show(
    mut session: Session,
    chosen: &BTreeSet<usize>,
    forced: &BTreeSet<usize>,
    json: bool,
) -> Result<Exit, CommandError> {
    let remarks = session.identify_and_check(chosen)?;
    session.log_ignored_files();
    let plan = session.plan(chosen, forced, None)?;
    if json {
        let stages = plan.steps.iter().map(|step| shown(&session.graph, step)).collect();
        print_json(&Shown { stages, remarks: &remarks });
    } else {
        print(&text(&session.graph, &plan));
        print(&remarks.text());
    }
    Ok(Exit::Done)
}

fn shown<'a>(graph: &'a Graph, step: &'a Step) -> ShownStep<'a> {
    let instance = &graph.instances[step.instance];
    ShownStep {
        id: &instance.id,
        stage: instance.stage.name(),
        action: step.action,
        key: step.key().map(|key| key.to_string()),
        because: &step.because,
        expected_s: step.expected_s,
        remote: step.remote(),
    }
}

fn text(graph: &Graph, plan: &Steps) -> String {
    let mut columns = Columns::new(&["stage", "action", ">expected", "because"]);
    for step in &plan.steps {
        let expected = match (step.action, step.expected_s) {
            (Action::Cached, _) => String::new(),
            (_, Some(seconds)) => humanize::duration(seconds),
            (_, None) => "?".to_owned(),
        };
        let id = graph.instances[step.instance].id.as_str();
        let pulled = step.remote().map(|remote| format!("pulled from {remote}"));
        let mut causes = step.because.iter().map(ToString::to_string).chain(pulled);
        columns.row([id, step.action.name(), &expected, &causes.next().unwrap_or_default()]);
        for cause in causes {
            columns.row(["", "", "", &cause]);
        }
    }
    let (seconds, known) = plan.expected_s();
    let total = match (plan.steps.iter().all(|step| step.action == Action::Cached), known) {
        (true, _) => "nothing to run".to_owned(),
        (false, true) => format!("expected: {} at most", humanize::duration(seconds)),
        (false, false) if seconds > 0.0 => format!("expected: more than {}", humanize::duration(seconds)),
        (false, false) => "expected: not known, because it never ran here".to_owned(),
    };
    format!("{columns}{total}\n")
}
