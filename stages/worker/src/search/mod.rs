//! The stage `search`: searches for operations, depth and width under the target latency.

mod epoch;
mod history;
mod val_loader;

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tfnas::elasticity::refit;
use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::parse::{ParseError, parse};
use tfnas::{Architecture, LatencyTable, Space};
use tfnas_c10d::ProcessGroup;
use tfnas_images::{BatchOptions, ImageSource};
use tfnas_random::{Stream, StreamId};
use tfnas_stages::{
    Fit, Metrics, ProbabilityMetrics, SearchEpoch, SearchParams, SearchResult, TARGET_LAT_MS, Target, WARM_START,
    probabilities,
};
use tfnas_torch::NamedTensors;
use tfnas_torch::gumbel::{draw_noise, gumbel_path};
use tfnas_torch::phase::{Phase, in_phase};
use tfnas_torch::search_checkpoint::SearchFile;
use tfnas_torch::search_step::validate_path;
use tfnas_torch::supernet::Supernet;
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::weights::write_file;

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::evaluate::evaluate;
use crate::images::{DataLoader, classes, evaluation, list_images, reading};
use crate::rank_group::RankGroup;
use crate::ranks::Peers;
use crate::reporter::Reporter;
use crate::resume::CheckpointDir;
use crate::search::epoch::Epoch;
use crate::search::history::{agreement, fit_changes_warning, operation_entropy, undecided_warning};
use crate::state::Checkpointer;

/// Progress of the search, which resume points contain in addition to tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    epoch: usize,
    /// Completed weight steps of the current epoch.
    step: usize,
    /// Number of images of the current epoch that could not be read.
    skipped: usize,
    /// Number of batches of the current epoch that the architecture steps have taken, with those that could not be read.
    #[serde(default)]
    val_batches: usize,
    history: Vec<SearchEpoch>,
}

/// The state of the stage.
struct Search<'a> {
    context: &'a mut StageContext,
    params: SearchParams,
    /// The ranks of a data-parallel search, if there are several.
    ranks: Option<Rc<ProcessGroup>>,
    /// Target latency in milliseconds.
    target_lat_ms: f64,
    space: Space,
    table: LatencyTable,
    classes: usize,
    state: SupernetState,
    progress: Progress,
    loader: Rc<DataLoader>,
    train: ImageSource,
    val: ImageSource,
    checkpointer: Checkpointer,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: SearchParams = context.params()?;
    let space = Space::new(params.space.clone()).context("space")?;
    let table = LatencyTable::parse(&context.read_text("latency.table")?).context("latency.table")?;
    let target_lat_ms = resolve_target(context, &space, &table, params.search.target_lat_ms)?;
    let names = classes(context, "classes.txt")?;
    let reading = reading(params.on_bad_image, params.exif_orientation);
    let train = list_images(context, "train.list", reading)?;
    let val = list_images(context, "val.list", reading)?;
    let ranks = match context.peers.take() {
        Some(Peers::Group(group)) => Some(Rc::new(group)),
        Some(Peers::Tasks(_)) | None => None,
    };
    let job = context.job();
    let checkpointer = Checkpointer::new(CheckpointDir::new(&job.resume_dir), job.resume_every_s);
    let mut search = Search {
        ranks,
        state: initial_state(context, &space, names.len(), &params)?,
        loader: Rc::new(DataLoader::new(space.definition().resolution, names.len(), context.device)),
        classes: names.len(),
        progress: Progress::default(),
        train,
        val,
        checkpointer,
        space,
        table,
        params,
        target_lat_ms,
        context,
    };
    search.rank_group().check_batch("search.batch", search.params.search.batch)?;
    search.describe_budget();
    let mut resumed = search.resume()?;
    while search.progress.epoch < search.params.search.epochs {
        search.epoch(resumed.take())?;
    }
    search.finish()
}

/// Returns the message for an architecture that is slower than its target.
pub fn missed_target(space: &Space, architecture: &Architecture, found_ms: f64, target_lat_ms: f64) -> String {
    let smallest = architecture
        .choices(space)
        .all(|(block, choice)| choice.width == block.min_width(&space.operations()[choice.operation]));
    let at_smallest = if smallest { ", even at its smallest widths" } else { "" };
    format!("the architecture takes {found_ms:.4} ms, above the target of {target_lat_ms:.4} ms{at_smallest}")
}

/// Returns the state before the first epoch: from the checkpoint of an earlier search if the job has one, otherwise random.
fn initial_state(
    context: &mut StageContext,
    space: &Space,
    classes: usize,
    params: &SearchParams,
) -> Result<SupernetState, StageError> {
    let Ok(earlier) = context.input(WARM_START) else {
        return Ok(SupernetState::new(space, classes, params.seed, context.device));
    };
    let path = earlier.path.clone();
    let file = SearchFile { path: &path, key: params.search.from_key.as_deref() };
    let (state, notes) = file.read(space, classes, context.device).context(path.display())?;
    for note in notes {
        context.report.info(format!("{}: {note}", path.display()));
    }
    context.report.info(format!("the search starts from {}", path.display()));
    Ok(state)
}

/// Returns the target in milliseconds, and logs it and the range that the table can reach.
///
/// # Errors
/// Returns an error if the target is outside that range.
pub fn resolve_target(
    context: &mut StageContext,
    space: &Space,
    table: &LatencyTable,
    target: Target,
) -> Result<f64, StageError> {
    let reachable = table.reachable_ms(space).context("latency.table")?;
    context.report.info(format!(
        "networks of this space take {:.4} to {:.4} ms by the table",
        reachable.min_ms, reachable.max_ms
    ));
    let target_lat_ms = target.within(&reachable).map_err(|error| StageError::new(error.to_string()))?;
    context.report.info(format!("the target is {target_lat_ms:.4} ms"));
    context.report.metric(TARGET_LAT_MS, 0, target_lat_ms);
    Ok(target_lat_ms)
}

/// Reports the metrics and the probabilities of epochs.
fn report_metrics(report: &mut Reporter, space: &Space, epochs: &[SearchEpoch]) {
    let names = ProbabilityMetrics::new(space);
    let names = &names;
    report.points(epochs.iter().flat_map(|epoch| {
        let metrics = epoch.metrics().into_iter().chain(names.of(epoch));
        metrics.map(|(name, value)| (epoch.epoch as u64, name.to_owned(), value))
    }));
}

/// Number of architecture steps of the published search: 80 epochs of about 3,200 batches, and a step on every second batch.
const PUBLISHED_ARCHITECTURE_STEPS: usize = 128_000;

impl Search<'_> {
    fn rank_group(&self) -> RankGroup<'_> {
        RankGroup::new(self.ranks.as_deref(), self.context.device)
    }

    /// Logs the number of architecture steps before the search starts, so that a search that is too short can be stopped early.
    fn describe_budget(&mut self) {
        let section = &self.params.search;
        let epochs = section.epochs.saturating_sub(section.warmup_epochs);
        let steps = epochs * self.train.len().div_ceil(section.batch).div_ceil(section.architecture.every);
        let choices: usize = self.space.blocks().len() * self.space.operations().len();
        self.context.report.info(format!(
            "{steps} architecture steps on {} images choose among {choices} operations of {} blocks (the published search \
             takes about {PUBLISHED_ARCHITECTURE_STEPS})",
            self.val.len(),
            self.space.blocks().len(),
        ));
    }

    /// Runs one epoch, from its beginning or from the tensors of a resume point.
    fn epoch(&mut self, resumed: Option<NamedTensors>) -> Result<(), StageError> {
        let mut epoch = Epoch::new(self, resumed)?;
        epoch.train(self)?;
        epoch.sum_over_ranks(self, true)?;
        self.state.scatter(&epoch.supernet);
        let val_top1 = match in_phase(Phase::Validation, || self.validate(&epoch.supernet)) {
            Err(StageError::Stopped) => {
                self.save(Some(&epoch))?;
                return Err(StageError::Stopped);
            }
            found => found?,
        };
        let record = self.record(&epoch, val_top1)?;
        self.report(&record);
        self.progress.history.push(record);
        self.progress.epoch += 1;
        self.progress.step = 0;
        self.progress.skipped = 0;
        self.progress.val_batches = 0;
        self.save(None)
    }

    /// Derives the architecture after an epoch, fits it to the target after the warm-up, and returns the record of the epoch.
    fn record(&mut self, epoch: &Epoch, val_top1: Option<f64>) -> Result<SearchEpoch, StageError> {
        let target_lat_ms = self.target_lat_ms;
        let trained = epoch.weight_averages(self.progress.skipped)?;
        let log_alphas = epoch.supernet.read_log_alphas();
        let mut widths = self.state.widths();
        let betas = epoch.supernet.read_betas();
        let parsed = parse(&self.space, &log_alphas, &betas, &widths).map_err(|error| match error {
            ParseError::NotFinite { .. } => StageError::with_hint(
                format!("search: {error}"),
                "lower search.architecture.lr, or raise search.temperature_decay",
            ),
            error => StageError::new(format!("search: {error}")),
        })?;
        let mut architecture = parsed;
        let before_lat_ms = self.table.architecture_ms(&self.space, &architecture).context("latency.table")?;
        let mut after_lat_ms = before_lat_ms;
        let mut changes = Vec::new();
        let fit = self.params.fit();
        let is_last = self.progress.epoch + 1 == self.params.search.epochs;
        // With `Fit::Exact`, the last epoch is fitted even if it belongs to the warm-up, so that the result meets the target.
        if self.progress.epoch >= self.params.search.warmup_epochs || (is_last && fit == Fit::Exact) {
            match fit {
                Fit::Published => {
                    let fitted = refit(&self.space, &architecture, &self.table, target_lat_ms).context("elasticity")?;
                    (architecture, after_lat_ms) = (fitted.architecture, fitted.after_ms);
                }
                Fit::Exact => {
                    let preferences = Preferences { log_alphas: &log_alphas, betas: &betas };
                    let fitted =
                        fit_exactly(&self.space, &architecture, &self.table, target_lat_ms, Some(&preferences))
                            .context("elasticity")?;
                    (architecture, after_lat_ms) = (fitted.architecture, fitted.after_ms);
                    changes = fitted.changes;
                }
            }
            widths.adopt(&self.space, &architecture);
            self.state.set_widths(&widths);
        }
        let depths: Vec<usize> = self.space.groups().iter().map(|group| group.blocks).collect();
        let previous = self.progress.history.last();
        Ok(SearchEpoch {
            epoch: self.progress.epoch,
            lr: epoch.lr,
            temperature: epoch.temperature,
            train_loss: trained.loss,
            train_top1: trained.top1,
            architecture_loss: epoch.architecture_loss(),
            expected_lat_ms: epoch.expected_lat_ms(),
            val_top1,
            operation_entropy: operation_entropy(&log_alphas),
            operations: probabilities(&log_alphas),
            depths: probabilities(&betas),
            agreement: previous.map(|record| agreement(&record.architecture, architecture.groups(), &depths)),
            architecture: architecture.groups().to_vec(),
            before_lat_ms,
            after_lat_ms,
            changes,
            skipped: self.progress.skipped,
        })
    }

    /// Returns the top-1 accuracy along Gumbel paths on the images that train the architecture; `None` before the last
    /// `validate_last` epochs.
    fn validate(&mut self, supernet: &Supernet) -> Result<Option<f64>, StageError> {
        let section = &self.params.search;
        let epoch = self.progress.epoch;
        if epoch + section.validate_last < section.epochs {
            return Ok(None);
        }
        let workers = self.context.job().data_workers;
        let options = BatchOptions {
            shard: self.rank_group().shard(false),
            ..evaluation(self.params.resize, self.space.definition().resolution, section.batch, workers)
        };
        let log_alphas = supernet.read_log_alphas();
        let (blocks, operations) = (self.space.blocks().len(), self.space.operations().len());
        let logits = |images: &tch::Tensor, batch: usize| {
            let mut stream = Stream::new(self.params.seed, StreamId::ValidationGumbel, epoch as u32, batch as u32);
            let path = gumbel_path(&log_alphas, &draw_noise(blocks, operations, &mut stream));
            validate_path(supernet, images, &path)
        };
        let stop = &self.context.stop;
        evaluate(&self.loader, &self.val, &options, self.rank_group(), stop, logits, |_, _| Ok(()))
            .map(|found| Some(found.averages.top1))
    }

    fn report(&mut self, record: &SearchEpoch) {
        report_metrics(&mut self.context.report, &self.space, std::slice::from_ref(record));
        let report = &mut self.context.report;
        let agreement =
            record.agreement.map_or(String::new(), |share| format!(", {:.0} % of the blocks unchanged", 100.0 * share));
        report.info(format!(
            "epoch {} of {}: train loss {:.4}, top-1 {:.2} %, operations' entropy {:.3}{agreement}; {} blocks, {:.4} ms",
            record.epoch + 1,
            self.params.search.epochs,
            record.train_loss,
            100.0 * record.train_top1,
            record.operation_entropy,
            record.architecture.iter().map(Vec::len).sum::<usize>(),
            record.after_lat_ms
        ));
    }

    /// Writes a resume point, on rank 0 only. `epoch` is the current epoch if it is not complete.
    fn save(&mut self, epoch: Option<&Epoch>) -> Result<(), StageError> {
        if !self.rank_group().is_first() {
            return Ok(());
        }
        let mut tensors = NamedTensors::new();
        if let Some(epoch) = epoch {
            self.state.scatter(&epoch.supernet);
            tensors.insert_all("epoch", epoch.state());
        }
        tensors.insert_all("full", self.state.state());
        self.checkpointer.save_epoch((self.progress.epoch, self.progress.step), &self.progress, tensors)
    }

    /// Restores the latest resume point if there is one. Returns the tensors of the current epoch if it is not complete.
    fn resume(&mut self) -> Result<Option<NamedTensors>, StageError> {
        let found = match self.rank_group().group() {
            Some(group) => self.checkpointer.load_on_ranks::<Progress>(group, self.context.device)?,
            None => self.checkpointer.load::<Progress>()?,
        };
        let Some((mut progress, tensors)) = found else { return Ok(None) };
        self.state = SupernetState::restore(&self.space, self.classes, &tensors.under("full"), self.context.device)
            .context("resume point")?;
        self.context.report.resumed(format!("epoch {}, step {}", progress.epoch + 1, progress.step + 1));
        report_metrics(&mut self.context.report, &self.space, &progress.history);
        let within_epoch = progress.step > 0;
        // The resume point contains the number of all ranks.
        if !self.rank_group().is_first() {
            progress.skipped = 0;
        }
        self.progress = progress;
        Ok(within_epoch.then(|| tensors.under("epoch")))
    }

    fn finish(self) -> StageResult {
        if !self.rank_group().is_first() {
            return Ok(Metrics::new());
        }
        let last = self.progress.history.last().ok_or_else(|| StageError::new("no epoch was searched"))?;
        let target_lat_ms = self.target_lat_ms;
        if let Some(warning) = undecided_warning(last) {
            self.context.report.warn(warning);
        }
        if let Some(warning) = fit_changes_warning(last, target_lat_ms) {
            self.context.report.warn(warning);
        }
        if last.after_lat_ms > target_lat_ms {
            let found = Architecture::new(&self.space, last.architecture.clone()).context("search")?;
            self.context.report.warn(missed_target(&self.space, &found, last.after_lat_ms, target_lat_ms));
        }
        let skipped = self.progress.history.iter().map(|record| record.skipped).max().unwrap_or(0);
        let names = [self.train.skipped(), self.val.skipped()].concat();
        self.context.report.warn_skipped(skipped, &names);
        let full = self.state.full();
        let result = SearchResult {
            log_alphas: full.read_log_alphas(),
            betas: full.read_betas(),
            widths: self.state.widths().rows().to_vec(),
            architecture: (self.params.fit() == Fit::Exact).then(|| last.architecture.clone()),
        };
        self.context.write_json(&result)?;
        self.context.write_json(&self.progress.history)?;
        let weights = self.context.output("search.safetensors");
        write_file(&self.state.state(), &weights).context("search.safetensors")?;
        Ok(Metrics::from([
            ("operation_entropy".to_owned(), last.operation_entropy),
            ("predicted_lat_ms".to_owned(), last.after_lat_ms),
            self.context.report.data_wait(&self.loader),
        ]))
    }
}
