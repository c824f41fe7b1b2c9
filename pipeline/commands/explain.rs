use clap::Args;
use serde::Serialize;
use tfnas_artifacts::Field;
use tfnas_humanize::escaped;
use tfnas_planner::plan::{Action, Cause, CauseField, chain, select};

use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};
use crate::session::Setup;

/// Explain why a stage would rerun: the fields that changed, their old and new values, and where the change came from
#[derive(Args, Debug)]
pub struct Explain {
    /// A stage, or one instance of it (search@12)
    #[arg(value_name = "STAGE")]
    stage: String,
}

#[derive(Serialize)]
struct Shown {
    id: String,
    action: Action,
    because: Vec<Cause>,
    /// The remote that the cached result was pulled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

impl Explain {
    pub fn execute(&self, options: &Options) -> Result<Exit, CommandError> {
        let setup = Setup::new(options)?;
        let chosen = select(&setup.graph, std::slice::from_ref(&self.stage))?;
        let mut session = setup.read()?;
        session.identify(&chosen)?;
        let planner = session.planner();
        let plan = planner.plan(&chosen, &Default::default())?;
        let mut shown = Vec::new();
        for step in plan.steps.iter().filter(|step| chosen.contains(&step.instance)) {
            let id = session.graph.instances[step.instance].id.clone();
            let because = chain(&planner, &plan, step.instance)?;
            let remote = step.remote().map(str::to_owned);
            shown.push(Shown { id, action: step.action, because, remote });
        }
        match (&shown[..], options.json) {
            ([one], true) => print_json(one),
            (several, true) => print_json(&serde_json::json!({ "stages": several })),
            (several, false) => several.iter().for_each(|one| print(&text(one))),
        }
        Ok(Exit::Done)
    }
}

fn text(shown: &Shown) -> String {
    let Shown { id, action, because, remote } = shown;
    let mut text = match action {
        Action::Run => format!("{id} would run\n"),
        Action::Cached => format!("{id} is cached: no field of its key changed\n"),
        Action::Unknown => format!("{id} is not known yet: its inputs will be recreated\n"),
    };
    if let Some(remote) = remote {
        text.push_str(&format!("  its result was pulled from {remote}\n"));
    }
    for cause in because {
        let place = match (&cause.via, &cause.field) {
            (None, _) | (_, CauseField::Key(Field::Input(_))) => String::new(),
            (Some(via), _) => format!("{via}: "),
        };
        text.push_str(&format!("  {}\n", escaped(&format!("{place}{cause}"))));
    }
    text
}
