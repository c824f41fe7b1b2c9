//! A selection in progress, as a state machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::candidate::{Candidate, Origin, Problem};
use crate::error::SelectError;
use crate::features::row;
use crate::first::{First, FirstDraw};
use crate::fit::{Fitted, Fitter};
use crate::genes::Genes;
use crate::outcome::Outcome;
use crate::propose::Proposer;
use crate::report::report;
use crate::ridge::Ridge;
use crate::rung::{Rung, RungScore, order};
use crate::score::{EpochScore, diverged};
use crate::settings::{Settings, SettingsError};

/// Mutations start from the best sixth of all candidates so far, but from at least `MIN_LEADERS`.
const LEADER_EVERY: usize = 6;
const MIN_LEADERS: usize = 4;

/// The next step of a selection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Train these candidates, in any order or in parallel, then pass their scores to [`Selection::record`].
    Train(Vec<Training>),
    /// The selection is finished, and [`Selection::outcome`] returns the result.
    Finished,
}

/// The training of one candidate in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The id of the candidate.
    pub id: usize,
    /// Total number of epochs of the candidate's training at the end of the step.
    pub epochs: usize,
}

/// A selection in progress: its candidates, their scores, and the next step.
///
/// The state depends only on the calls of [`record`](Selection::record). To resume an interrupted selection, repeat the
/// calls with the same scores: the result is identical bit for bit.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(crate) problem: Problem,
    pub(crate) settings: Settings,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) state: Vec<State>,
    pub(crate) notes: Vec<String>,
    phase: Phase,
}

/// The scores of one candidate.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) genes: Genes,
    pub(crate) features: Vec<f64>,
    pub(crate) epochs: Vec<EpochScore>,
    pub(crate) rungs: Vec<RungScore>,
    pub(crate) eliminated_after: Option<usize>,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Train the candidates from `from` on for the first rung, then propose candidates in this round.
    Propose {
        from: usize,
        round: usize,
    },
    /// Train these candidates for a rung after the first.
    Rung {
        index: usize,
        ids: Vec<usize>,
    },
    Finished,
}

impl Selection {
    /// Draws the initial candidates.
    ///
    /// # Errors
    /// Returns [`SelectError`] for invalid settings, for a table or search of another space, and if no network
    /// meets the target.
    pub fn new(problem: Problem, settings: Settings) -> Result<Self, SelectError> {
        settings.validate()?;
        if settings.candidates == 0 {
            let problem = "0 turns the selection off: there is nothing to select from".to_owned();
            return Err(SettingsError { field: "candidates", problem }.into());
        }
        let first = {
            let fitter = Fitter::new(&problem.space, &problem.table, problem.target_ms)?;
            FirstDraw::new(&fitter, problem.seed).draw(&problem, &settings)?
        };
        if first.is_empty() {
            return Err(SelectError::NoCandidate { target_ms: problem.target_ms });
        }
        let mut selection = Self {
            problem,
            settings,
            candidates: Vec::new(),
            state: Vec::new(),
            notes: Vec::new(),
            phase: Phase::Propose { from: 0, round: 0 },
        };
        if first.len() < selection.settings.candidates {
            selection.notes.push(format!(
                "only {} of {} first candidates: draws found no more architectures of the target latency",
                first.len(),
                selection.settings.candidates
            ));
        }
        for First { origin, name, genes, fitted } in first {
            selection.add(origin, name, genes, fitted)?;
        }
        Ok(selection)
    }

    /// Returns all candidates so far, by id.
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// Returns the notes so far: fewer candidates than requested, diverged trainings.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the next step.
    pub fn step(&self) -> Step {
        match &self.phase {
            Phase::Finished => Step::Finished,
            phase => {
                let epochs = self.settings.rungs[phase.rung()];
                Step::Train(self.ids(phase).into_iter().map(|id| Training { id, epochs }).collect())
            }
        }
    }

    /// Records all epochs so far of each candidate of the step, and determines the next step.
    ///
    /// A training with a non-finite loss has diverged: it may end at that epoch, and is ranked last.
    ///
    /// # Errors
    /// Returns [`SelectError`] if the scores do not belong to the step, or all trainings diverged. The selection is
    /// unchanged then.
    pub fn record(&mut self, scores: BTreeMap<usize, Vec<EpochScore>>) -> Result<(), SelectError> {
        self.check(&scores)?;
        let mut next = self.clone();
        for (id, epochs) in scores {
            next.state[id].epochs = epochs;
        }
        next.advance()?;
        *self = next;
        Ok(())
    }

    /// Returns the total number of training epochs of all candidates, or 0 if the settings turn the selection off.
    pub fn total_epochs(settings: &Settings) -> usize {
        if settings.candidates == 0 {
            return 0;
        }
        let mut before = 0;
        let rungs = settings.rungs.iter().zip(settings.trained());
        rungs.fold(0, |sum, (&epochs, trained)| {
            let added = trained.saturating_mul(epochs.saturating_sub(before));
            before = epochs;
            sum + added
        })
    }

    /// Returns the result after the last step was recorded.
    pub fn outcome(&self) -> Option<Outcome> {
        matches!(self.phase, Phase::Finished).then(|| report(self))
    }

    pub(crate) fn rung(&self, index: usize) -> Rung {
        Rung { index, epochs: self.settings.rungs[index], is_last: index + 1 == self.settings.rungs.len() }
    }

    /// Fits a regression on the first rung over all candidates.
    pub(crate) fn ridge(&self) -> Ridge {
        let (finite, signals) = self.first_signals();
        // Diverged candidates have the highest loss.
        let mut targets = vec![f64::INFINITY; self.candidates.len()];
        for (id, signal) in finite.into_iter().zip(signals) {
            targets[id] = signal;
        }
        let rows: Vec<Vec<f64>> = self.state.iter().map(|state| state.features.clone()).collect();
        Ridge::fit(&rows, &targets)
    }

    /// Returns the candidates that finished the first rung, with their signals in it.
    pub(crate) fn first_signals(&self) -> (Vec<usize>, Vec<f64>) {
        let rung = self.rung(0);
        let first = |id: usize| {
            let epochs = &self.state[id].epochs;
            &epochs[..epochs.len().min(rung.epochs)]
        };
        let finite: Vec<usize> = (0..self.candidates.len()).filter(|&id| !diverged(first(id))).collect();
        let trainings: Vec<&[EpochScore]> = finite.iter().map(|&id| first(id)).collect();
        let signals = rung.signals(&trainings);
        (finite, signals)
    }

    pub(crate) fn trainings(&self, ids: &[usize]) -> Vec<&[EpochScore]> {
        ids.iter().map(|&id| self.state[id].epochs.as_slice()).collect()
    }

    /// Splits candidates into those whose training did not diverge, and the others.
    pub(crate) fn split_diverged(&self, ids: &[usize]) -> (Vec<usize>, Vec<usize>) {
        ids.iter().partition(|&&id| !diverged(&self.state[id].epochs))
    }

    /// Returns the candidates that a phase trains.
    fn ids(&self, phase: &Phase) -> Vec<usize> {
        match phase {
            Phase::Propose { from, .. } => (*from..self.candidates.len()).collect(),
            Phase::Rung { ids, .. } => ids.clone(),
            Phase::Finished => Vec::new(),
        }
    }

    /// Checks that scores belong to the step.
    fn check(&self, scores: &BTreeMap<usize, Vec<EpochScore>>) -> Result<(), SelectError> {
        if matches!(self.phase, Phase::Finished) {
            return Err(SelectError::Finished);
        }
        let (rung, ids) = (self.rung(self.phase.rung()), self.ids(&self.phase));
        if !scores.keys().eq(&ids) {
            return Err(SelectError::Candidates { found: scores.keys().copied().collect(), expected: ids });
        }
        for (&id, epochs) in scores {
            let expected = rung.epochs;
            let is_whole = epochs.len() == expected || (epochs.len() < expected && diverged(epochs));
            if !is_whole || epochs.iter().enumerate().any(|(index, score)| score.epoch != index + 1) {
                return Err(SelectError::Epochs {
                    id,
                    found: epochs.iter().map(|score| score.epoch).collect(),
                    expected,
                });
            }
            let changed = self.state[id]
                .epochs
                .iter()
                .zip(epochs)
                .find(|(before, after)| before.train_loss.to_bits() != after.train_loss.to_bits());
            if let Some((score, _)) = changed {
                return Err(SelectError::Changed { id, epoch: score.epoch });
            }
            if rung.is_last && !diverged(epochs) && epochs.last().is_none_or(|score| score.val_loss.is_none()) {
                return Err(SelectError::NoValidation { id, epoch: expected });
            }
        }
        Ok(())
    }

    /// Starts the phase after the one whose scores were recorded.
    fn advance(&mut self) -> Result<(), SelectError> {
        match self.phase.clone() {
            Phase::Propose { round, .. } => {
                for round in round..self.settings.proposals.len() {
                    let from = self.candidates.len();
                    self.propose(round)?;
                    if self.candidates.len() > from {
                        self.phase = Phase::Propose { from, round: round + 1 };
                        return Ok(());
                    }
                }
                self.end_rung(0, (0..self.candidates.len()).collect())
            }
            Phase::Rung { index, ids } => self.end_rung(index, ids),
            Phase::Finished => Err(SelectError::Finished),
        }
    }

    /// Returns the scores of a rung for the candidates that did not diverge, best first.
    fn ranked(&self, rung: Rung, ids: &[usize]) -> Result<Vec<(usize, RungScore)>, SelectError> {
        let (finite, _) = self.split_diverged(ids);
        if finite.is_empty() {
            return Err(SelectError::AllDiverged { count: ids.len() });
        }
        let ridge = self.ridge();
        let predictions: Vec<f64> = finite.iter().map(|&id| ridge.left_out()[id]).collect();
        let scores = rung.scores(&self.trainings(&finite), &predictions);
        let blended: Vec<f64> = scores.iter().map(|score| score.blended).collect();
        Ok(order(&blended).into_iter().map(|at| (finite[at], scores[at])).collect())
    }

    /// Adds the proposals of a round.
    fn propose(&mut self, round: usize) -> Result<(), SelectError> {
        let count = self.settings.proposals[round];
        let ranked = self.ranked(self.rung(0), &(0..self.candidates.len()).collect::<Vec<_>>())?;
        let leaders = (self.candidates.len() / LEADER_EVERY).max(MIN_LEADERS);
        let leaders: Vec<usize> = ranked.iter().take(leaders).map(|(id, _)| *id).collect();
        let known: Vec<Genes> = self.state.iter().map(|state| state.genes.clone()).collect();
        let (proposed, is_nearer) = {
            let Problem { space, table, target_ms, seed, .. } = &self.problem;
            let fitter = Fitter::new(space, table, *target_ms)?;
            // No two architectures differ in more decisions: an operation for each block and a depth for each group.
            let most = space.blocks().len() + space.groups().len();
            let (pool, min_distance) = (self.settings.pool, self.settings.min_distance.min(most));
            let ridge = self.ridge();
            let proposer = Proposer {
                fitter: &fitter,
                seed: *seed,
                round,
                known: &known,
                leaders: &leaders,
                ridge: &ridge,
                pool,
                min_distance,
            };
            proposer.propose(count)?
        };
        if proposed.len() < count {
            let found = proposed.len();
            self.notes.push(format!("round {}: only {found} of {count} proposals: the space has no more", round + 1));
        }
        if is_nearer {
            let distance = self.settings.min_distance;
            self.notes.push(format!(
                "round {}: some proposals are nearer to others than {distance} genes: the space is small",
                round + 1
            ));
        }
        for (index, proposal) in proposed.into_iter().enumerate() {
            let origin =
                if proposal.is_uniform { Origin::ProposalUniform { round } } else { Origin::Proposal { round } };
            let name = format!("round {} proposal {}", round + 1, index + 1);
            self.add(origin, name, proposal.genes, proposal.fitted)?;
        }
        Ok(())
    }

    /// Scores a rung and eliminates candidates.
    fn end_rung(&mut self, index: usize, ids: Vec<usize>) -> Result<(), SelectError> {
        let rung = self.rung(index);
        let (finite, lost) = self.split_diverged(&ids);
        for &id in &lost {
            self.state[id].eliminated_after = Some(index);
        }
        if index > 0 && finite.is_empty() {
            self.notes.push(format!(
                "the training of all {} candidates of rung {} diverged: the order is that of rung {index}",
                ids.len(),
                index + 1
            ));
            self.phase = Phase::Finished;
            return Ok(());
        }
        let ranked = self.ranked(rung, &ids)?;
        if !lost.is_empty() {
            let names: Vec<&str> = lost.iter().map(|&id| self.candidates[id].name.as_str()).collect();
            self.notes.push(format!("the training of {} diverged (rung {})", names.join(", "), index + 1));
        }
        let keep = self.settings.keep.get(index).copied().unwrap_or(usize::MAX);
        let mut kept = Vec::new();
        for (place, (id, score)) in ranked.into_iter().enumerate() {
            self.state[id].rungs.push(score);
            if place < keep {
                kept.push(id);
            } else {
                self.state[id].eliminated_after = Some(index);
            }
        }
        kept.sort_unstable();
        self.phase = if rung.is_last { Phase::Finished } else { Phase::Rung { index: index + 1, ids: kept } };
        Ok(())
    }

    fn add(&mut self, origin: Origin, name: String, genes: Genes, fitted: Fitted) -> Result<(), SelectError> {
        let features = row(&self.problem.space, &self.problem.table, &fitted.architecture)?;
        let id = self.candidates.len();
        let Fitted { architecture, ms: predicted_ms } = fitted;
        self.candidates.push(Candidate { id, origin, name, architecture, predicted_ms });
        self.state.push(State { genes, features, epochs: Vec::new(), rungs: Vec::new(), eliminated_after: None });
        Ok(())
    }
}

impl Phase {
    /// Returns the rung of the phase.
    fn rung(&self) -> usize {
        match self {
            Self::Rung { index, .. } => *index,
            Self::Propose { .. } | Self::Finished => 0,
        }
    }
}
