//! The section on the stages at work.

use crate::run::{CandidateSoFar, RunFacts, UnderWay};
use crate::section::{Part, Section};
use crate::table::{Cell, Table};
use crate::text::{ms, percent};

/// Returns the section on the stages at work; `None` if the run has ended.
pub fn under_way(run: &RunFacts) -> Option<Section> {
    if run.under_way.is_empty() {
        return None;
    }
    let mut section = Section::new("under-way", "Under way");
    section.parts.push(Part::List(run.under_way.iter().map(words).collect()));
    let warnings = run
        .under_way
        .iter()
        .flat_map(|stage| stage.warnings.iter().map(|warning| format!("Warning of {}: {warning}", stage.instance)));
    let warnings: Vec<String> = warnings.collect();
    if !warnings.is_empty() {
        section.parts.push(Part::List(warnings));
    }
    for stage in run.under_way.iter().filter(|stage| !stage.candidates.is_empty()) {
        let name = format!("candidates-so-far-{}", crate::text::slug(&stage.instance));
        section.parts.push(Part::Table(name, table(stage)));
    }
    Some(section)
}

fn words(stage: &UnderWay) -> String {
    let share = stage.share.map(|share| format!("{} done", percent(share))).unwrap_or_default();
    let elapsed = if stage.elapsed.is_empty() { String::new() } else { format!("for {} so far", stage.elapsed) };
    let left = if stage.left.is_empty() { String::new() } else { format!("about {} left", stage.left) };
    let parts = [stage.doing.clone(), share, elapsed, left];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { format!("{}.", stage.instance) } else { format!("{}: {}.", stage.instance, parts.join(", ")) }
}

fn table(stage: &UnderWay) -> Table {
    let caption = format!("Candidates of {} so far, best first", stage.instance);
    let headings = ["candidate", ">epochs", ">train loss", ">validation loss", ">validation top-1", ">predicted ms"];
    let mut table = Table::new(&caption, &headings);
    for candidate in &stage.candidates {
        let CandidateSoFar { name, epochs, train_loss, val_loss, val_top1, predicted_ms } = candidate;
        table.row([
            Cell::from(name.as_str()),
            Cell::count(*epochs),
            Cell::number(*train_loss, |loss| format!("{loss:.4}")),
            Cell::number(*val_loss, |loss| format!("{loss:.4}")),
            Cell::number(*val_top1, percent),
            Cell::number(*predicted_ms, ms),
        ]);
    }
    table.at_most_on_page(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_at_work_have_their_progress_and_candidates() {
        let stage = UnderWay {
            instance: "select@<12>".to_owned(),
            doing: "24 candidates to epoch 2".to_owned(),
            share: Some(0.5),
            elapsed: "2 min 0 s".to_owned(),
            left: "2 min 5 s".to_owned(),
            warnings: vec!["look at <this>".to_owned()],
            candidates: vec![CandidateSoFar {
                name: "3 rule".to_owned(),
                epochs: 1,
                train_loss: Some(1.5),
                ..CandidateSoFar::default()
            }],
        };
        let run = RunFacts {
            under_way: vec![stage, UnderWay { instance: "test".to_owned(), ..UnderWay::default() }],
            ..RunFacts::default()
        };
        let html = under_way(&run).map(|section| section.html().into_string()).unwrap_or_default();
        let words = "24 candidates to epoch 2, 50.0 % done, for 2 min 0 s so far, about 2 min 5 s left.";
        for text in [words, "test.", "3 rule", "1.5000", "Warning of select@&lt;12&gt;: look at &lt;this&gt;"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(under_way(&RunFacts::default()).is_none());
    }
}
