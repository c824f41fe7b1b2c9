//! The stage `select`: trains several architectures of the target latency for a few epochs each and chooses the best.
//!
//! `tfnas-select` creates the candidates and decides which of them are trained further. This stage trains them, each in one
//! thread, on all ranks that the planner starts.

mod candidate;
mod team;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::{Architecture, LatencyTable, Space};
use tfnas_select::{Candidate, EpochScore, Origin, Outcome, Problem, Selection, Settings, Step};
use tfnas_stages::{
    Metrics, PREDICTED_LAT_MS, SearchResult, SelectParams, SelectReport, Selected, StageOutput as _, candidate_metric,
    candidate_metrics,
};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::images::{DataLoader, classes, list_images, reading};
use crate::profiler::Profiler;
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::search::resolve_target;
use crate::select::candidate::Candidates;
use crate::select::team::{Scores, Task, Team};

/// Folder of the candidates' checkpoints, in the stage's resume folder.
const CHECKPOINTS: &str = "candidates";

/// Runs the stage on any rank.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: SelectParams = context.params()?;
    let space = Space::new(params.space.clone()).context("space")?;
    let names = classes(context, "classes.txt")?;
    let job = context.job();
    let reading = reading(params.on_bad_image, params.exif_orientation);
    let candidates = Candidates {
        params: &params,
        space: &space,
        classes: space.definition().classes.unwrap_or(names.len()),
        loader: DataLoader::new(space.definition().resolution, names.len(), context.device),
        train: list_images(context, "train.list", reading)?,
        val: list_images(context, "val.list", reading)?,
        checkpoints: job.resume_dir.join(CHECKPOINTS),
        checkpoint_every_s: job.resume_every_s,
        data_workers: job.data_workers,
    };
    let peers = match context.peers.take() {
        Some(Peers::Tasks(tasks)) => Some(tasks),
        Some(Peers::Group(_)) | None => None,
    };
    let mut team = Team::new(peers);
    if team.is_leader() {
        let settings = Settings::from(&params.select);
        let (target_ms, selection) = selection(context, &params, &space, settings.clone())?;
        Leader { context, candidates, team, settings, target_ms, selection, trained: BTreeMap::new() }.run()
    } else {
        let stop = context.stop.clone();
        let train = &mut |task: &Task, on_batch: candidate::OnBatch<'_>| {
            train(&candidates, task, &stop, &mut Profiler::off(), on_batch)
        };
        team.follow(train, &mut |_| stop.raised())?;
        Ok(Metrics::new())
    }
}

/// Returns the target in milliseconds and a new selection.
fn selection(
    context: &mut StageContext,
    params: &SelectParams,
    space: &Space,
    settings: Settings,
) -> Result<(f64, Selection), StageError> {
    let table = LatencyTable::parse(&context.read_text("latency.table")?).context("latency.table")?;
    let target_ms = resolve_target(context, space, &table, params.target_lat_ms)?;
    let search = search_result(context, space, &table, target_ms)?;
    let problem = Problem { space: space.clone(), table, target_ms, seed: params.seed, search: Some(search) };
    Ok((target_ms, Selection::new(problem, settings).context("select")?))
}

/// Returns the result of the search with its architecture fitted to the target.
fn search_result(
    context: &StageContext,
    space: &Space,
    table: &LatencyTable,
    target_ms: f64,
) -> Result<tfnas_select::SearchResult, StageError> {
    let result: SearchResult = context.read_output()?;
    let found = result.architecture(space).context(SearchResult::FILE)?;
    let SearchResult { log_alphas, betas, .. } = result;
    let preferences = Preferences { log_alphas: &log_alphas, betas: &betas };
    let fitted = fit_exactly(space, &found, table, target_ms, Some(&preferences)).context("search.json")?;
    Ok(tfnas_select::SearchResult { architecture: fitted.architecture, log_alphas, betas })
}

fn train(
    candidates: &Candidates<'_>,
    task: &Task,
    stop: &crate::stop::StopFlag,
    profiler: &mut Profiler,
    on_batch: candidate::OnBatch<'_>,
) -> Result<Vec<EpochScore>, StageError> {
    let architecture = Architecture::new(candidates.space, task.architecture.clone()).context("candidate")?;
    candidates.train(task.id, &architecture, task.epochs, stop, profiler, on_batch)
}

/// Rank 0, which decides which candidates are trained.
struct Leader<'a> {
    context: &'a mut StageContext,
    candidates: Candidates<'a>,
    team: Team,
    settings: Settings,
    /// Target latency in milliseconds.
    target_ms: f64,
    selection: Selection,
    /// Number of epochs that each candidate has been trained for.
    trained: BTreeMap<usize, usize>,
}

impl Leader<'_> {
    fn run(mut self) -> StageResult {
        let settings = &self.settings;
        let total = Selection::total_epochs(settings);
        self.context.report.info(format!(
            "{} initial candidates, {} proposed later: {total} candidate-epochs of {} images, {} trained concurrently",
            self.selection.candidates().len(),
            settings.proposals.iter().sum::<usize>(),
            self.candidates.train.len(),
            self.team.size()
        ));
        let mut before = BTreeSet::new();
        while let Step::Train(trainings) = self.selection.step() {
            let tasks = trainings.iter().map(|training| Task {
                id: training.id,
                epochs: training.epochs,
                architecture: self.selection.candidates()[training.id].architecture.groups().to_vec(),
            });
            let tasks: Vec<Task> = tasks.collect();
            self.retire_eliminated(&mut before, &tasks)?;
            let scores = self.round(&tasks, total)?;
            self.describe(&tasks, &scores);
            self.selection.record(scores).context("select")?;
        }
        self.team.finish()?;
        let outcome =
            self.selection.outcome().ok_or_else(|| StageError::new("the selection ended without an outcome"))?;
        self.finish(outcome)
    }

    /// Trains the candidates of one round.
    fn round(&mut self, tasks: &[Task], total_epochs: usize) -> Result<Scores, StageError> {
        let Self { context, candidates, team, trained, selection, .. } = self;
        let images = candidates.train.len() as u64;
        let last = tasks.iter().map(|task| task.epochs).max().unwrap_or_default();
        let phase = format!("{} candidates to epoch {last}", tasks.len());
        let (done, total) = (trained.values().sum::<usize>() as u64 * images, total_epochs as u64 * images);
        let stop = context.stop.clone();
        let profiler = &mut context.profiler;
        let report = RefCell::new(&mut context.report);
        let known = trained.clone();
        let mut start = None;
        let scores = team.lead(
            tasks.to_vec(),
            &mut |task, on_batch| train(candidates, task, &stop, profiler, on_batch),
            &mut |count| {
                // The count continues over the rounds.
                let start = *start.get_or_insert(count);
                report.borrow_mut().progress(&phase, (done + count - start).min(total), total, "images");
                stop.raised()
            },
            &mut |id, scores| {
                let known = known.get(&id).copied().unwrap_or_default();
                report_scores(
                    &mut report.borrow_mut(),
                    &selection.candidates()[id],
                    &scores[known.min(scores.len())..],
                );
            },
        )?;
        trained.extend(tasks.iter().map(|task| (task.id, task.epochs)));
        Ok(scores)
    }

    /// Frees disk space of eliminated candidates: those of the previous rung that are not in this one.
    fn retire_eliminated(&self, before: &mut BTreeSet<usize>, tasks: &[Task]) -> Result<(), StageError> {
        let first_rung = self.settings.rungs[0];
        if tasks.iter().any(|task| task.epochs > first_rung) {
            let kept: BTreeSet<usize> = tasks.iter().map(|task| task.id).collect();
            for &id in before.difference(&kept) {
                self.candidates.retire(id)?;
            }
            *before = kept;
        } else {
            before.extend(tasks.iter().map(|task| task.id));
        }
        Ok(())
    }

    fn describe(&mut self, tasks: &[Task], scores: &Scores) {
        let last = |scores: &Vec<EpochScore>| scores.last().map(|score| score.train_loss);
        let losses: Vec<f64> = scores.values().filter_map(last).filter(|loss| loss.is_finite()).collect();
        let epochs = tasks.iter().map(|task| task.epochs).max().unwrap_or_default();
        let diverged = scores.len() - losses.len();
        let range = losses
            .iter()
            .copied()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), loss| (f64::min(low, loss), f64::max(high, loss)));
        let diverged = if diverged > 0 { format!(", {diverged} diverged") } else { String::new() };
        self.context.report.info(format!(
            "{} candidates after epoch {epochs}: train loss {:.4} to {:.4}{diverged}",
            tasks.len(),
            range.0,
            range.1
        ));
    }

    fn finish(self, outcome: Outcome) -> StageResult {
        let candidates = self.selection.candidates();
        let winner = &candidates[outcome.winner];
        let report = &mut self.context.report;
        report.info(format!(
            "selected {} ({}), {:.4} ms",
            winner.name,
            describe_origin(winner.origin),
            winner.predicted_ms
        ));
        if let Some(rank) = outcome.search_parse_rank {
            report.info(format!("the architecture that the search prefers ranks {rank} of {}", candidates.len()));
        }
        let percentile = &outcome.percentile;
        report.info(format!(
            "better than {} of {} uniformly random candidates: between their {:.0}th and {:.0}th percentile ({})",
            percentile.better_than, percentile.of, percentile.low, percentile.high, percentile.basis
        ));
        let metrics = Metrics::from([
            ("predicted_lat_ms".to_owned(), winner.predicted_ms),
            ("candidates".to_owned(), candidates.len() as f64),
            ("percentile_low".to_owned(), percentile.low),
            ("percentile_high".to_owned(), percentile.high),
            report.data_wait(&self.candidates.loader),
        ]);
        let selected = Selected { architecture: winner.architecture.groups().to_vec() };
        self.context.write_json(&selected)?;
        let report = SelectReport {
            target_lat_ms: self.target_ms,
            images: self.candidates.train.len(),
            val_images: self.candidates.val.len(),
            selection: outcome,
        };
        self.context.write_json(&report)?;
        Ok(metrics)
    }
}

/// Reports the metrics of a candidate's new epochs, and its latency with the first one.
fn report_scores(report: &mut Reporter, candidate: &Candidate, scores: &[EpochScore]) {
    let Candidate { id, name, predicted_ms, .. } = candidate;
    if scores.first().is_some_and(|score| score.epoch == 1) {
        report.metric(&candidate_metric(*id, name, PREDICTED_LAT_MS), 0, *predicted_ms);
    }
    for score in scores {
        // Scores count epochs from 1, metrics from 0.
        report.metrics(score.epoch.saturating_sub(1) as u64, &candidate_metrics(*id, name, score));
    }
}

fn describe_origin(origin: Origin) -> String {
    match origin {
        Origin::Uniform => "uniformly random".to_owned(),
        Origin::Rule => "from a rule".to_owned(),
        Origin::SearchParse => "preferred by the search".to_owned(),
        Origin::SearchSample => "sampled from the search's probabilities".to_owned(),
        Origin::Proposal { round } => format!("proposed in round {}", round + 1),
        Origin::ProposalUniform { round } => format!("uniformly random, drawn in round {}", round + 1),
    }
}
