//! The section on the stages of a run.

use crate::chart::{Bar, Bars, Unit};
use crate::run::{RunFacts, StageRun};
use crate::section::{Figure, Part, Section};
use crate::table::{Cell, Table};

/// Colors of the states.
const STATES: [(&str, usize); 4] = [("ran", 0), (RUNNING, 3), ("cached", 2), ("pulled", 6)];
/// The state of a stage at work.
const RUNNING: &str = "running";

/// Returns the section on the stages of a run: which ran, which were cached, and how long they took.
pub fn pipeline(run: &RunFacts) -> Option<Section> {
    if run.stages.is_empty() {
        return None;
    }
    let mut section = Section::new("pipeline", "Pipeline");
    let ran = run.stages.iter().filter(|stage| stage.state == "ran").count();
    let cached = run.stages.iter().filter(|stage| ["cached", "pulled"].contains(&stage.state.as_str())).count();
    let running = run.stages.iter().filter(|stage| stage.state == RUNNING).count();
    let failed = run.stages.len() - ran - cached - running;
    let mut words = format!("{ran} of {} stages ran, {cached} came from the cache", run.stages.len());
    if running > 0 {
        words.push_str(&format!(", {running} running"));
    }
    if failed > 0 {
        words.push_str(&format!(", {failed} did not finish"));
    }
    section.parts.push(Part::Text(format!("{words}.")));
    section.parts.push(Part::Wide(figure(run)));
    Some(section)
}

/// Chooses the unit of time for the longest stage; returns its name and its length in seconds.
fn unit(run: &RunFacts) -> (&'static str, f64) {
    match run.stages.iter().filter_map(|stage| stage.seconds).fold(0.0, f64::max) {
        longest if longest >= 7200.0 => ("hours", 3600.0),
        longest if longest >= 300.0 => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    }
}

fn figure(run: &RunFacts) -> Figure {
    let (name, seconds) = unit(run);
    let bar = |stage: &StageRun| Bar {
        label: stage.instance.clone(),
        value: stage.seconds.map_or(f64::NAN, |took| took / seconds),
        text: format!("{} ({})", stage.took, stage.state),
        color: STATES.iter().find(|(state, _)| *state == stage.state).map_or(1, |(_, color)| *color),
    };
    let bars = Bars {
        width: 1000.0,
        label: format!("run time, {name}"),
        unit: Unit::Plain,
        include: Vec::new(),
        bars: run.stages.iter().map(bar).collect(),
    };
    let longest =
        run.stages.iter().max_by(|one, other| one.seconds.unwrap_or(0.0).total_cmp(&other.seconds.unwrap_or(0.0)));
    let longest = longest.map(|stage| format!(" The longest is {} with {}.", stage.instance, stage.took));
    Figure {
        id: "stages".to_owned(),
        title: "Run time of each stage".to_owned(),
        description: format!("Bar chart of {} stages.{}", run.stages.len(), longest.unwrap_or_default()),
        note: "The bar of a cached stage is the run time of the attempt that produced its result, in an earlier run."
            .to_owned(),
        drawing: bars.draw(),
        table: table(run),
    }
}

fn table(run: &RunFacts) -> Table {
    let mut table = Table::new("Stages", &["stage", "state", ">seconds", "peak memory", "key", "attempt", "cause"]);
    for stage in &run.stages {
        table.row([
            Cell::from(stage.instance.as_str()),
            Cell::from(stage.state.as_str()),
            Cell::number(stage.seconds, |seconds| format!("{seconds:.1}")),
            Cell::from(stage.memory.as_str()),
            Cell::from(stage.key.chars().take(12).collect::<String>()),
            Cell::from(stage.attempt.as_str()),
            Cell::from(stage.cause.as_str()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_stages_are_shown_in_minutes_or_hours() {
        let stage = |seconds| StageRun { seconds: Some(seconds), ..StageRun::default() };
        let unit = |seconds| unit(&RunFacts { stages: vec![stage(1.0), stage(seconds)], ..RunFacts::default() }).0;
        assert_eq!([unit(0.1), unit(299.0), unit(300.0), unit(90_000.0)], ["seconds", "seconds", "minutes", "hours"]);
    }

    #[test]
    fn stage_states_are_counted() {
        let stage =
            |state: &str| StageRun { instance: "<search>".to_owned(), state: state.to_owned(), ..StageRun::default() };
        let run = RunFacts { stages: vec![stage("ran"), stage("cached"), stage("failed")], ..RunFacts::default() };
        let html = pipeline(&run).map(|section| section.html().into_string()).unwrap_or_default();
        assert!(html.contains("1 of 3 stages ran, 1 came from the cache, 1 did not finish."), "{html}");
        assert!(!html.contains("<search>") && !html.contains("NaN"));
        assert!(pipeline(&RunFacts::default()).is_none());
    }
}
