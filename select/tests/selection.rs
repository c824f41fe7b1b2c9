//! A selection from the first draw to the outcome: its requests, its results, and the inputs that it rejects.

#![allow(clippy::unwrap_used)]

mod landscape;

use std::collections::{BTreeMap, BTreeSet};

use landscape::{World, table};
use tfnas::{Architecture, LatencyTable, Space};
use tfnas_select::{
    EpochScore, Origin, Outcome, Problem, SearchResult, SelectError, Selection, Settings, Step, Training,
};

fn settings() -> Settings {
    Settings {
        candidates: 16,
        proposals: vec![6, 4],
        rungs: vec![1, 2, 4],
        keep: vec![6, 3],
        rules: 3,
        pool: 100,
        ..Settings::default()
    }
}

fn problem() -> Problem {
    World::imagenet(2).problem
}

type Scores = BTreeMap<usize, Vec<EpochScore>>;

/// Returns a search result that strongly prefers operation 3 in all blocks and the first block of each group.
fn search(space: &Space, sure: f32) -> SearchResult {
    let logits = |n: usize, best: usize| (0..n).map(|k| if k == best { sure } else { 0.0 }).collect::<Vec<f32>>();
    let widths =
        |block: &tfnas::Block| tfnas::Choice { operation: 3, width: block.initial_width(&space.operations()[3]) };
    let groups = (0..space.groups().len()).map(|group| vec![widths(&space.blocks_of(group)[0])]);
    SearchResult {
        log_alphas: space.blocks().iter().map(|_| logits(space.operations().len(), 3)).collect(),
        betas: (0..space.groups().len()).map(|group| logits(space.blocks_of(group).len(), 0)).collect(),
        architecture: Architecture::new(space, groups.collect()).unwrap(),
    }
}

/// Returns losses that decrease with the epochs and increase with the id.
fn losses(id: usize, epochs: usize) -> Vec<EpochScore> {
    let score = |epoch: usize| {
        let loss = 2.0 / epoch as f64 + 0.01 * ((id * 7) % 23) as f64;
        EpochScore { epoch, train_loss: loss, val_loss: Some(loss + 0.1), val_top1: Some(0.5) }
    };
    (1..=epochs).map(score).collect()
}

fn trainings(selection: &Selection) -> Vec<Training> {
    match selection.step() {
        Step::Train(trainings) => trainings,
        Step::Finished => Vec::new(),
    }
}

fn scores(selection: &Selection, of: &dyn Fn(usize, usize) -> Vec<EpochScore>) -> Scores {
    trainings(selection).into_iter().rev().map(|training| (training.id, of(training.id, training.epochs))).collect()
}

fn run(mut selection: Selection, of: &dyn Fn(usize, usize) -> Vec<EpochScore>) -> Outcome {
    while selection.step() != Step::Finished {
        let scores = scores(&selection, of);
        selection.record(scores).unwrap();
    }
    selection.outcome().unwrap()
}

#[test]
fn steps_follow_the_plan_and_add_up_to_its_epochs() {
    let mut selection = Selection::new(problem(), settings()).unwrap();
    let (mut steps, mut total) = (Vec::new(), 0);
    let mut done: BTreeMap<usize, usize> = BTreeMap::new();
    while selection.step() != Step::Finished {
        assert!(selection.outcome().is_none());
        let trainings = trainings(&selection);
        steps.push((trainings.len(), trainings[0].epochs));
        for training in trainings {
            total += training.epochs - done.insert(training.id, training.epochs).unwrap_or(0);
        }
        let scores = scores(&selection, &losses);
        selection.record(scores).unwrap();
    }
    assert_eq!(steps, [(16, 1), (6, 1), (4, 1), (6, 2), (3, 4)]);
    assert_eq!(total, Selection::total_epochs(&settings()));
    assert_eq!(Selection::total_epochs(&Settings::default()), 208);
    assert_eq!(Selection::total_epochs(&Settings { candidates: 0, ..settings() }), 0);
}

#[test]
fn every_candidate_is_different_and_meets_the_target() {
    for problem in [problem(), Problem { search: Some(search(&Space::imagenet(), 1.0)), ..problem() }] {
        let mut selection = Selection::new(problem.clone(), settings()).unwrap();
        while selection.step() != Step::Finished {
            let scores = scores(&selection, &losses);
            selection.record(scores).unwrap();
        }
        let mut seen = BTreeSet::new();
        for (id, candidate) in selection.candidates().iter().enumerate() {
            assert_eq!(candidate.id, id);
            let ms = problem.table.architecture_ms(&problem.space, &candidate.architecture).unwrap();
            assert_eq!(ms, candidate.predicted_ms);
            assert!(ms <= problem.target_ms);
            assert!(candidate.origin.is_from_search() || ms >= 0.8 * problem.target_ms);
            assert!(seen.insert(serde_json::to_string(&candidate.architecture).unwrap()));
        }
        assert_eq!(selection.notes(), &[] as &[String]);
    }
}

#[test]
fn the_architecture_of_the_search_is_always_a_candidate() {
    let space = Space::imagenet();
    for from_search in [0.0, 0.25, 1.0] {
        let problem = Problem { search: Some(search(&space, 1.0)), ..problem() };
        let outcome = run(Selection::new(problem, Settings { from_search, ..settings() }).unwrap(), &losses);
        let count = |of: fn(Origin) -> bool| outcome.ranking.iter().filter(|ranked| of(ranked.origin)).count();
        assert_eq!(count(|origin| origin == Origin::SearchParse), 1);
        assert_eq!(count(Origin::is_from_search), ((16.0 * from_search) as usize).max(1));
        let rank = outcome.search_parse_rank.unwrap();
        assert_eq!(outcome.ranking[rank - 1].origin, Origin::SearchParse);
    }
}

#[test]
fn a_converged_search_is_supplemented_by_uniform_draws() {
    let problem = Problem { search: Some(search(&Space::imagenet(), 1e6)), ..problem() };
    let selection = Selection::new(problem, settings()).unwrap();
    let uniform = selection.candidates().iter().filter(|candidate| candidate.origin == Origin::Uniform).count();
    assert_eq!((selection.candidates().len(), uniform), (16, 12));
}

#[test]
fn the_outcome_depends_only_on_the_seed() {
    let text = |seed| {
        let selection = Selection::new(Problem { seed, ..problem() }, settings()).unwrap();
        serde_json::to_string(&run(selection, &losses)).unwrap()
    };
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
    let outcome: Outcome = serde_json::from_str(&text(1)).unwrap();
    assert_eq!(serde_json::to_string(&outcome).unwrap(), text(1));
}

#[test]
fn ranks_follow_the_rungs() {
    let outcome = run(Selection::new(problem(), settings()).unwrap(), &losses);
    assert_eq!(outcome.ranking.len(), 26);
    assert_eq!(outcome.winner, outcome.ranking[0].id);
    for (place, ranked) in outcome.ranking.iter().enumerate() {
        assert_eq!(ranked.rank, place + 1);
        let expected = [3, 6].iter().filter(|&&kept| place >= kept).count();
        assert_eq!(ranked.rungs.len(), 3 - expected);
        assert_eq!(ranked.eliminated_after, [None, Some(1), Some(0)][expected]);
        assert_eq!(ranked.epochs.len(), [4, 2, 1][expected]);
    }
    assert_eq!(outcome.rung_spearman.len(), 2);
    assert!(outcome.rung_spearman[0] > 0.9, "the losses keep their order");
    assert_eq!(outcome.margin, None, "too few candidates finished to estimate the noise");
    let weights: Vec<f64> = outcome.regression.coefficients.iter().map(|c| c.weight.abs()).collect();
    assert!(weights.is_sorted_by(|a, b| a >= b));
    assert_eq!(outcome.regression.candidates, 26);
    let Outcome { percentile, .. } = outcome;
    assert!(percentile.low <= percentile.high && percentile.better_than <= percentile.of);
}

#[test]
fn a_diverged_training_ranks_last_and_is_eliminated() {
    let diverging = |id: usize, epochs: usize| match id {
        0 => losses(id, epochs).into_iter().map(|s| EpochScore { train_loss: f64::NAN, ..s }).collect(),
        1 => losses(id, epochs).into_iter().map(|s| EpochScore { val_loss: Some(f64::INFINITY), ..s }).collect(),
        _ => losses(id, epochs),
    };
    let outcome = run(Selection::new(problem(), settings()).unwrap(), &diverging);
    let last: Vec<usize> = outcome.ranking[24..].iter().map(|ranked| ranked.id).collect();
    assert_eq!(last, [0, 1]);
    assert!(outcome.ranking[24..].iter().all(|ranked| ranked.diverged && ranked.eliminated_after == Some(0)));
    assert!(outcome.notes[0].contains("diverged"), "{:?}", outcome.notes);
    let text = serde_json::to_string(&outcome).unwrap();
    assert!(serde_json::from_str::<Outcome>(&text).unwrap().ranking[24].epochs[0].train_loss.is_nan());
}

#[test]
fn a_diverged_training_may_end_early() {
    let mut stopped = 0;
    let mut selection = Selection::new(problem(), settings()).unwrap();
    while let Step::Train(trainings) = selection.step() {
        let mut scores = scores(&selection, &losses);
        if trainings[0].epochs == 4 {
            stopped = trainings[0].id;
            let epochs = scores.get_mut(&stopped).unwrap();
            epochs.truncate(3);
            epochs[2].train_loss = f64::INFINITY;
        }
        selection.record(scores).unwrap();
    }
    let outcome = selection.outcome().unwrap();
    assert_eq!(outcome.ranking.last().unwrap().id, stopped);
    assert!(outcome.ranking.last().unwrap().diverged);
}

#[test]
fn invalid_scores_are_rejected_and_change_nothing() {
    let mut selection = Selection::new(problem(), settings()).unwrap();
    let valid = scores(&selection, &losses);
    let mut error_after = |change: &dyn Fn(&mut Scores)| {
        let mut scores = valid.clone();
        change(&mut scores);
        selection.record(scores).unwrap_err()
    };
    assert!(matches!(error_after(&|s| drop(s.remove(&3))), SelectError::Candidates { .. }));
    assert!(matches!(error_after(&|s| drop(s.insert(99, losses(99, 1)))), SelectError::Candidates { .. }));
    assert!(matches!(error_after(&|s| drop(s.insert(2, Vec::new()))), SelectError::Epochs { id: 2, .. }));
    assert!(matches!(error_after(&|s| drop(s.insert(2, losses(2, 2)))), SelectError::Epochs { id: 2, .. }));
    assert!(matches!(error_after(&|s| s.get_mut(&2).unwrap()[0].epoch = 0), SelectError::Epochs { id: 2, .. }));
    let all = error_after(&|s| s.values_mut().for_each(|epochs| epochs[0].train_loss = f64::NAN));
    assert_eq!(all, SelectError::AllDiverged { count: 16 });
    assert_eq!(trainings(&selection).len(), 16);
    selection.record(valid).unwrap();
}

#[test]
fn if_all_finalists_diverge_the_best_of_the_rung_before_is_chosen() {
    let mut selection = Selection::new(problem(), Settings { keep: vec![6, 1], ..settings() }).unwrap();
    while trainings(&selection)[0].epochs < 4 {
        let scores = scores(&selection, &losses);
        selection.record(scores).unwrap();
    }
    let lost = trainings(&selection)[0].id;
    let diverging = |id: usize, epochs: usize| {
        let mut scores = losses(id, epochs);
        scores[epochs - 1].train_loss = f64::NAN;
        scores
    };
    let diverged = scores(&selection, &diverging);
    selection.record(diverged).unwrap();
    let outcome = selection.outcome().unwrap();
    assert!(outcome.winner != lost && !outcome.ranking[0].diverged && outcome.ranking[0].id == outcome.winner);
    assert_eq!(outcome.ranking[0].rungs.len(), 2);
    assert!(
        selection.notes().iter().any(|note| note.contains("the order is that of rung 2")),
        "{:?}",
        selection.notes()
    );
}

#[test]
fn a_minimum_distance_beyond_the_space_ends() {
    let settings = Settings {
        min_distance: 1_000_000_000,
        candidates: 8,
        proposals: vec![2],
        keep: vec![4, 2],
        rules: 0,
        ..settings()
    };
    let mut selection = Selection::new(problem(), settings).unwrap();
    let first = scores(&selection, &losses);
    selection.record(first).unwrap();
    assert_eq!(selection.candidates().len(), 10);
}

#[test]
fn later_rungs_must_repeat_losses_and_end_with_validation() {
    let mut selection = Selection::new(problem(), settings()).unwrap();
    while trainings(&selection)[0].epochs < 4 {
        let scores = scores(&selection, &losses);
        selection.record(scores).unwrap();
    }
    let id = trainings(&selection)[0].id;
    let mut changed = scores(&selection, &losses);
    changed.get_mut(&id).unwrap()[1].train_loss += 1e-9;
    assert_eq!(selection.record(changed).unwrap_err(), SelectError::Changed { id, epoch: 2 });
    let mut silent = scores(&selection, &losses);
    silent.get_mut(&id).unwrap()[3].val_loss = None;
    assert_eq!(selection.record(silent).unwrap_err(), SelectError::NoValidation { id, epoch: 4 });
    let valid = scores(&selection, &losses);
    selection.record(valid).unwrap();
    assert_eq!(selection.record(BTreeMap::new()).unwrap_err(), SelectError::Finished);
}

#[test]
fn a_small_space_gives_fewer_candidates_with_a_note() {
    let mut definition = Space::small().definition().clone();
    definition.operations.truncate(2);
    let space = Space::new(definition).unwrap();
    let table = table(&space);
    let target_ms = table.reachable_ms(&space).unwrap().max_ms;
    let small = Problem { space, table, target_ms, seed: 0, search: None };
    let outcome = run(Selection::new(small, Settings { candidates: 200, ..settings() }).unwrap(), &losses);
    assert!((2..200).contains(&outcome.ranking.len()));
    assert!(outcome.notes[0].starts_with("only "), "{:?}", outcome.notes);
}

#[test]
fn the_fastest_and_slowest_latency_are_valid_targets() {
    let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
    let range = table.reachable_ms(&space).unwrap();
    let at = |target_ms| {
        let problem = Problem { space: space.clone(), table: table.clone(), target_ms, seed: 0, search: None };
        Selection::new(problem, settings())
    };
    for target_ms in [range.min_ms * 1.02, range.max_ms, range.max_ms * 3.0] {
        let selection = at(target_ms).unwrap();
        assert!(selection.candidates().len() >= 2, "{target_ms}");
        assert!(selection.candidates().iter().all(|candidate| candidate.predicted_ms <= target_ms));
    }
    for target_ms in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(matches!(at(target_ms), Err(SelectError::Target { .. })), "{target_ms}");
    }
    for target_ms in [range.min_ms * 0.99, 1e-9] {
        assert!(matches!(at(target_ms), Err(SelectError::Unreachable { .. })), "{target_ms}");
    }
}

/// `0%` as a target.
#[test]
fn a_target_that_only_one_architecture_meets_selects_it() {
    let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
    let target_ms = table.reachable_ms(&space).unwrap().min_ms;
    let selection = Selection::new(Problem { space, table, target_ms, seed: 0, search: None }, settings()).unwrap();
    assert_eq!(selection.candidates().len(), 1);
    assert!(selection.candidates()[0].predicted_ms <= target_ms);
    let outcome = run(selection, &losses);
    assert_eq!((outcome.winner, outcome.ranking.len()), (0, 1));
    assert!(outcome.notes[0].starts_with("only 1 of "), "{:?}", outcome.notes);
}

#[test]
fn a_search_of_another_space_is_rejected() {
    let space = Space::imagenet();
    let error = |change: &dyn Fn(&mut SearchResult)| {
        let mut search = search(&space, 1.0);
        change(&mut search);
        Selection::new(Problem { search: Some(search), ..problem() }, settings()).unwrap_err().to_string()
    };
    assert_eq!(error(&|s| s.betas.truncate(2)), "the search's betas: 2 entries, but the space has 6");
    let found = error(&|s| s.log_alphas[3][1] = f32::NAN);
    assert_eq!(found, "the search's stage2.block2.log_alphas: NaN is not finite: the search diverged");
    let off = Selection::new(problem(), Settings { candidates: 0, ..settings() }).unwrap_err();
    assert!(matches!(off, SelectError::Settings(_)));
}
