//! L3 of a run with `select`: checks that the published network follows from the recorded scores.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::{Architecture, Choice};
use tfnas_select::{EpochScore, Problem, Ranked, SearchResult, Selection, Settings, Step};
use tfnas_stages::{SelectReport, Selected, Stage};

use super::derivation::Derived;
use crate::audit::Folder;
use crate::{Contents, names};

/// Repeats the selection with the recorded scores instead of trainings. It must draw the recorded candidates and select
/// the recorded architecture. Returns this architecture. If another revision of the stage made the selection, only checks
/// that the recorded winner is the one that was handed on.
///
/// * `found`: the architecture that the search has found.
///
/// # Errors
/// Returns a message that describes the difference.
pub fn check(
    folder: &Folder,
    contents: &Contents,
    target_ms: f64,
    found: &Architecture,
    preferences: Preferences<'_>,
) -> Result<Derived, String> {
    let Contents { space, table, config, .. } = contents;
    let selected: Selected = read(folder, names::SELECTED)?;
    let SelectReport { selection: claimed, .. } = read(folder, names::CANDIDATES)?;
    let (its, own) = (contents.record(Stage::Select).manifest.revision(), Stage::Select.revision());
    if its != own {
        // Another revision can draw other candidates, and select another one by the same scores.
        let winner = claimed.ranking.iter().find(|ranked| ranked.id == claimed.winner);
        let winner = winner.filter(|winner| is(&winner.architecture, &selected.architecture));
        let winner = winner.ok_or_else(|| format!("it is not the architecture of candidate {}", claimed.winner))?;
        let how = format!("candidate {}, as recorded: revision {its} selected it, this is {own}", claimed.winner);
        return Ok(Derived { architecture: winner.architecture.clone(), changed: Vec::new(), how });
    }
    let fitted = fit_exactly(space, found, table, target_ms, Some(&preferences)).map_err(|error| error.to_string())?;
    let search = SearchResult {
        log_alphas: preferences.log_alphas.to_vec(),
        betas: preferences.betas.to_vec(),
        architecture: fitted.architecture,
    };
    let problem =
        Problem { space: space.clone(), table: table.clone(), target_ms, seed: config.seed, search: Some(search) };
    let recorded: BTreeMap<usize, &Ranked> = claimed.ranking.iter().map(|ranked| (ranked.id, ranked)).collect();
    let mut again = Selection::new(problem, Settings::from(&config.select)).map_err(|error| error.to_string())?;
    while let Step::Train(trainings) = again.step() {
        let mut scores: BTreeMap<usize, Vec<EpochScore>> = BTreeMap::new();
        for training in trainings {
            let drawn = &again.candidates()[training.id].architecture;
            let known = recorded.get(&training.id).filter(|ranked| ranked.architecture == *drawn);
            let known = known.ok_or_else(|| format!("candidate {} is not the one that the draw gives", training.id))?;
            // A training that diverged has fewer epochs. `record` rejects all others that are too short.
            scores.insert(training.id, known.epochs.iter().take(training.epochs).copied().collect());
        }
        again.record(scores).map_err(|error| error.to_string())?;
    }
    let outcome = again.outcome().ok_or("the selection has no outcome")?;
    let winner = &again.candidates()[outcome.winner].architecture;
    if outcome.winner != claimed.winner || !is(winner, &selected.architecture) {
        return Err(format!("its scores select candidate {}, but it names {}", outcome.winner, claimed.winner));
    }
    let how = format!("candidate {} of {}, selected again from the recorded scores", outcome.winner, recorded.len());
    // `parse` takes the architecture as it was selected.
    Ok(Derived { architecture: winner.clone(), changed: Vec::new(), how })
}

fn is(architecture: &Architecture, groups: &[Vec<Choice>]) -> bool {
    architecture.groups() == groups
}

fn read<T: DeserializeOwned>(folder: &Folder, name: &str) -> Result<T, String> {
    serde_json::from_slice(&folder.read(name)?).map_err(|error| format!("{name}: {error}"))
}
