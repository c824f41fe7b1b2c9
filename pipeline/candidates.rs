//! The candidates of a selection that is under way.

use std::collections::BTreeMap;

use tfnas_events::StageProgress;
use tfnas_report::CandidateSoFar;
use tfnas_stages::{PREDICTED_LAT_MS, split_candidate_metric};

/// Returns the candidates whose scores are known, best first: those with more epochs, then those with a smaller training
/// loss. The stage itself decides by more than that.
pub fn ranked_candidates(stage: &StageProgress) -> Vec<CandidateSoFar> {
    let mut found: BTreeMap<&str, CandidateSoFar> = BTreeMap::new();
    for (name, points) in &stage.series {
        let Some((candidate, metric)) = split_candidate_metric(name) else { continue };
        let last = points.last().map(|(_, value)| *value);
        let entry = found.entry(candidate).or_default();
        candidate.clone_into(&mut entry.name);
        match metric {
            "train_loss" => (entry.train_loss, entry.epochs) = (last, points.len()),
            "val_loss" => entry.val_loss = last,
            "val_top1" => entry.val_top1 = last,
            PREDICTED_LAT_MS => entry.predicted_ms = last,
            _ => {}
        }
    }
    let mut ranked: Vec<CandidateSoFar> = found.into_values().collect();
    let loss = |candidate: &CandidateSoFar| candidate.train_loss.unwrap_or(f64::INFINITY);
    ranked.sort_by(|one, other| other.epochs.cmp(&one.epochs).then(loss(one).total_cmp(&loss(other))));
    ranked
}
