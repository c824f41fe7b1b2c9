//! Computes the outcome of a finished selection.

use crate::features::features;
use crate::outcome::{Coefficient, Outcome, Percentile, Ranked, RegressionReport};
use crate::rung::RungScore;
use crate::score::diverged;
use crate::selection::{Selection, State};
use crate::stats::{spearman, wilson_80};

pub(crate) fn report(selection: &Selection) -> Outcome {
    let order = final_order(selection);
    let winner = order[0];
    let ranking: Vec<Ranked> = order.iter().enumerate().map(|(place, &id)| ranked(selection, id, place + 1)).collect();
    let parse = ranking.iter().find(|ranked| ranked.origin == crate::Origin::SearchParse);
    Outcome {
        winner,
        search_parse_rank: parse.map(|ranked| ranked.rank),
        regression: regression(selection),
        rung_spearman: (1..selection.settings.rungs.len()).map(|rung| rung_spearman(selection, rung)).collect(),
        percentile: percentile(selection, winner),
        margin: margin(selection, &order),
        notes: selection.notes.clone(),
        ranking,
    }
}

/// Returns all candidates, sorted by number of completed rungs, then last score, then id.
fn final_order(selection: &Selection) -> Vec<usize> {
    let key = |id: usize| {
        let rungs = &selection.state[id].rungs;
        let lost = diverged(&selection.state[id].epochs);
        (lost, std::cmp::Reverse(rungs.len()), rungs.last().map_or(f64::INFINITY, |score| score.blended))
    };
    let mut order: Vec<usize> = (0..selection.candidates.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (key(a), key(b));
        (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
    });
    order
}

fn ranked(selection: &Selection, id: usize, rank: usize) -> Ranked {
    let (candidate, state) = (&selection.candidates[id], &selection.state[id]);
    Ranked {
        id,
        origin: candidate.origin,
        name: candidate.name.clone(),
        architecture: candidate.architecture.clone(),
        predicted_ms: candidate.predicted_ms,
        rank,
        rungs: state.rungs.clone(),
        epochs: state.epochs.clone(),
        eliminated_after: state.eliminated_after,
        diverged: diverged(&state.epochs),
    }
}

fn regression(selection: &Selection) -> RegressionReport {
    let ridge = selection.ridge();
    let features = features(&selection.problem.space);
    let mut coefficients: Vec<Coefficient> = ridge
        .weights()
        .map(|(feature, weight)| Coefficient {
            feature: features[feature].name.clone(),
            weight,
            words: features[feature].words(weight),
        })
        .collect();
    coefficients.sort_by(|a, b| b.weight.abs().total_cmp(&a.weight.abs()));
    let (finite, signals) = selection.first_signals();
    let predictions: Vec<f64> = finite.iter().map(|&id| ridge.left_out()[id]).collect();
    RegressionReport {
        leave_one_out_spearman: spearman(&signals, &predictions),
        candidates: selection.state.len(),
        coefficients,
    }
}

/// Correlation between the signals of a rung and of the previous one.
fn rung_spearman(selection: &Selection, rung: usize) -> f64 {
    let both = |state: &State| Some((state.rungs.get(rung - 1)?.signal, state.rungs.get(rung)?.signal));
    let (before, after): (Vec<f64>, Vec<f64>) = selection.state.iter().filter_map(both).unzip();
    spearman(&before, &after)
}

/// Percentile of the winner among the uniform draws, by the scores of the first rung.
fn percentile(selection: &Selection, winner: usize) -> Percentile {
    let score = |id: usize| selection.state[id].rungs.first().map_or(f64::INFINITY, |score: &RungScore| score.blended);
    let uniform = selection.candidates.iter().filter(|candidate| candidate.origin.is_uniform());
    let others: Vec<usize> = uniform.map(|candidate| candidate.id).filter(|&id| id != winner).collect();
    let better_than = others.iter().filter(|&&id| score(id) > score(winner)).count();
    let of = others.len();
    let (low, high) = wilson_80(better_than, of);
    let epochs = selection.settings.rungs[0];
    let basis = format!(
        "better than {better_than} of {of} uniform draws of the same latency by training and regression after epoch {epochs} (80 % interval); the choice used the same scores, so the true share may be lower"
    );
    Percentile { low: 100.0 * low, high: 100.0 * high, better_than, of, basis }
}

/// Minimum number of candidates in the last rung to estimate the noise of a score. The losses of fewer often agree by
/// chance.
const ENOUGH_FOR_NOISE: usize = 5;
/// Minimum noise of a score, in standard deviations of the scores.
const SMALLEST_NOISE: f64 = 0.05;

/// Returns the score difference of the best two candidates in the last rung.
fn margin(selection: &Selection, order: &[usize]) -> Option<f64> {
    let last = selection.settings.rungs.len() - 1;
    let finished: Vec<usize> =
        order.iter().copied().filter(|&id| selection.state[id].rungs.len() == last + 1).collect();
    let score = |id: usize| selection.state[id].rungs[last].blended;
    if finished.len() < ENOUGH_FOR_NOISE {
        return None;
    }
    let noise = selection.rung(last).noise(&selection.trainings(&finished)).unwrap_or(1.0).max(SMALLEST_NOISE);
    Some((score(finished[1]) - score(finished[0])) / noise)
}
