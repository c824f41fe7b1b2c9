//! One epoch of a search: weight steps and architecture steps.

use std::rc::Rc;

use tch::{Device, Tensor};
use tfnas::schedule::{cosine, temperature};
use tfnas_images::{BatchOptions, Order, Transform};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::gumbel::{draw_noise, draw_remaining_path, gumbel_path};
use tfnas_torch::loss::{AverageMeter, Averages};
use tfnas_torch::optim::{Adam, AdamSettings, Sgd, SgdSettings};
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, SearchStepError, architecture_step, weight_step};
use tfnas_torch::supernet::{Latencies, Supernet};
use tfnas_torch::{Module, NamedTensors, Role};

use super::Search;
use super::val_loader::ValLoader;
use crate::error::{Context as _, StageError};
use crate::images::{DeviceBatch, color_jitter, decoding, evaluation, no_step, train_transform};
use crate::precision::mixed_precision;
use crate::rank_group::{RankGroup, StepDecision};

/// Adam's epsilon: the default of PyTorch.
const ADAM_EPSILON: f64 = 1e-8;

/// One epoch of a search: a supernet with the current widths, and new optimizers.
pub struct Epoch {
    pub supernet: Supernet,
    pub lr: f64,
    pub temperature: f64,
    latencies: Latencies,
    weight_optimization: OptimizerStep<Sgd>,
    architecture_optimization: OptimizerStep<Adam>,
    /// Those of this rank since the last resume point, and on rank 0 also those of all ranks before it.
    meters: Meters,
}

/// Averages over the steps of an epoch.
#[derive(Default)]
struct Meters {
    /// Losses of the weight steps, summed over paths; accuracies of the Gumbel path.
    weights: AverageMeter,
    /// Cross-entropies of the architecture steps.
    architecture: AverageMeter,
    /// Expected latencies of the architecture steps, which take the place of the loss.
    latency: AverageMeter,
}

impl Meters {
    fn by_name(&self) -> [(&'static str, &AverageMeter); 3] {
        [("meter.weights", &self.weights), ("meter.architecture", &self.architecture), ("meter.latency", &self.latency)]
    }

    fn restore(saved: &NamedTensors, device: Device) -> Result<Self, StageError> {
        let meter = |name: &str| {
            let restored = saved.get(name).and_then(|state| AverageMeter::restore(state, device));
            restored.ok_or_else(|| StageError::new(format!("the resume point has no tensor `{name}`")))
        };
        Ok(Self {
            weights: meter("meter.weights")?,
            architecture: meter("meter.architecture")?,
            latency: meter("meter.latency")?,
        })
    }

    fn over_ranks(&self, ranks: RankGroup<'_>) -> Result<Self, StageError> {
        Ok(Self {
            weights: ranks.sum_meter(&self.weights)?,
            architecture: ranks.sum_meter(&self.architecture)?,
            latency: ranks.sum_meter(&self.latency)?,
        })
    }
}

impl Epoch {
    /// Creates the current epoch of the search, at its beginning or from the tensors of a resume point.
    pub fn new(search: &Search<'_>, resumed: Option<NamedTensors>) -> Result<Self, StageError> {
        let section = &search.params.search;
        let epoch = search.progress.epoch;
        let lr = cosine(section.weights.lr, epoch, section.epochs);
        let supernet = search.state.slice();
        let device = search.context.device;
        let weight_settings =
            SgdSettings { rate: lr, momentum: section.weights.momentum, weight_decay: section.weights.weight_decay };
        let architecture_settings = AdamSettings {
            rate: section.architecture.lr,
            betas: (section.architecture.betas[0], section.architecture.betas[1]),
            epsilon: ADAM_EPSILON,
            weight_decay: section.architecture.weight_decay,
        };
        let precision = || mixed_precision("search.precision", section.precision, device);
        let mut epoch = Self {
            lr,
            temperature: temperature(section.temperature, section.temperature_decay, section.warmup_epochs, epoch),
            latencies: Latencies::look_up(&search.table, &search.space, &search.state.widths(), device)
                .context("latency.table")?,
            weight_optimization: OptimizerStep {
                optimizer: Sgd::new(supernet.tensors(Role::Weight), weight_settings),
                max_norm: section.weights.grad_clip,
                precision: precision()?,
                ranks: search.ranks.clone(),
            },
            architecture_optimization: OptimizerStep {
                optimizer: Adam::new(supernet.tensors(Role::Architecture), architecture_settings),
                max_norm: section.architecture.grad_clip,
                precision: precision()?,
                ranks: search.ranks.clone(),
            },
            supernet,
            meters: Meters::default(),
        };
        if let Some(saved) = resumed {
            epoch.weight_optimization.restore(&saved.under("weights")).context("resume point")?;
            epoch.architecture_optimization.restore(&saved.under("architecture")).context("resume point")?;
            // The resume point contains the meters of all ranks.
            if search.rank_group().is_first() {
                epoch.meters = Meters::restore(&saved, device)?;
            }
        }
        Ok(epoch)
    }

    /// Returns the tensors that a resume point within the epoch contains in addition to the supernet.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert_all("weights", self.weight_optimization.state());
        state.insert_all("architecture", self.architecture_optimization.state());
        for (name, meter) in self.meters.by_name() {
            state.insert(name.to_owned(), meter.state());
        }
        state
    }

    /// Sums the meters and the number of skipped images over all ranks. Rank 0 keeps the sums if the epoch goes on, all ranks
    /// if it has ended.
    pub fn sum_over_ranks(&mut self, search: &mut Search<'_>, has_ended: bool) -> Result<(), StageError> {
        let rank_group = search.rank_group();
        let (meters, skipped) = (self.meters.over_ranks(rank_group)?, rank_group.sum(search.progress.skipped)?);
        let keeps = has_ended || rank_group.is_first();
        (self.meters, search.progress.skipped) = if keeps { (meters, skipped) } else { (Meters::default(), 0) };
        Ok(())
    }

    /// Trains on the remaining images of the epoch: the weights on each batch, and after the warm-up the architecture on every
    /// `architecture.every`-th step.
    pub fn train(&mut self, search: &mut Search<'_>) -> Result<(), StageError> {
        let section = search.params.search.clone();
        let seed = search.params.seed;
        let epoch = search.progress.epoch as u32;
        let resolution = search.space.definition().resolution;
        let workers = search.context.job().data_workers;
        let options = BatchOptions {
            batch: section.batch,
            shard: search.rank_group().shard(true),
            order: Order::Shuffled { seed, purpose: StreamId::Shuffle, epoch, round: 0 },
            transform: Transform::Train {
                transform: train_transform(&section.augment, resolution),
                seed,
                purpose: StreamId::Augment,
                epoch,
                decoding: decoding(search.params.decode),
                color_jitter: color_jitter(search.params.color_jitter),
            },
            start_batch: search.progress.step,
            workers,
        };
        let loader = Rc::clone(&search.loader);
        let (train, val) = (search.train.clone(), search.val.clone());
        let trains_architecture = search.progress.epoch >= section.warmup_epochs;
        let mut val_loader = trains_architecture.then(|| {
            let options = BatchOptions {
                shard: search.rank_group().shard(true),
                ..evaluation(search.params.resize, resolution, section.batch, workers)
            };
            // Resume points of earlier versions have no number of batches.
            let first = search.progress.val_batches.max(search.progress.step.div_ceil(section.architecture.every));
            ValLoader::new(&loader, &val, options, seed, epoch, first)
        });
        let mut log_alphas = self.supernet.read_log_alphas();
        let last_step = train.len().div_ceil(options.batch);
        let steps = last_step.saturating_sub(options.start_batch);
        if search.progress.epoch == section.warmup_epochs {
            search.context.profiler.begin_epoch_anew(steps);
        } else {
            search.context.profiler.begin_epoch(steps);
        }
        for batch in loader.iter(&train, &options) {
            let batch = batch?;
            let step = search.progress.step;
            search.progress.skipped += batch.skipped;
            // All ranks take the same steps.
            let batch = if search.ranks.is_some() { batch.padded()? } else { batch };
            self.step_weights(search, &batch, &log_alphas, trains_architecture)?;
            if let Some(loader) = val_loader.as_mut().filter(|_| step.is_multiple_of(section.architecture.every)) {
                self.step_architecture(search, &loader.next()?)?;
                search.progress.val_batches = loader.taken();
                log_alphas = self.supernet.read_log_alphas();
            }
            search.progress.step += 1;
            report_progress(search);
            let rank_group = search.rank_group();
            let save = rank_group.is_first() && search.checkpointer.is_due();
            let own = StepDecision { stop: search.context.stop.raised(), save };
            let done = search.progress.step;
            let StepDecision { stop, save } = rank_group.agree_on(own, done, last_step.saturating_sub(done))?;
            if stop || save {
                self.sum_over_ranks(search, false)?;
                search.save(Some(self))?;
            }
            if stop {
                return Err(StageError::Stopped);
            }
            search.context.profiler.next_step();
        }
        search.context.profiler.end_epoch();
        Ok(())
    }

    fn step_weights(
        &mut self,
        search: &Search<'_>,
        batch: &DeviceBatch,
        log_alphas: &[Vec<f32>],
        two_paths: bool,
    ) -> Result<(), StageError> {
        if batch.count == 0 {
            return Ok(());
        }
        let (blocks, operations) = (search.space.blocks().len(), search.space.operations().len());
        let stream = |purpose| {
            Stream::new(search.params.seed, purpose, search.progress.epoch as u32, search.progress.step as u32)
        };
        let noise = draw_noise(blocks, operations, &mut stream(StreamId::Gumbel));
        let mut paths = vec![gumbel_path(log_alphas, &noise)];
        if two_paths {
            paths.push(draw_remaining_path(&paths[0], operations, &mut stream(StreamId::UniformPath)));
        }
        let outcome = weight_step(&self.supernet, &mut self.weight_optimization, &batch.images, &batch.labels, &paths);
        if let Some(outcome) = skip_if_too_small(outcome)? {
            let loss: Tensor = outcome.losses.iter().sum();
            self.meters.weights.add(&loss, &batch.read(&outcome.logits[0]), &batch.read(&batch.labels));
        }
        Ok(())
    }

    fn step_architecture(&mut self, search: &Search<'_>, batch: &DeviceBatch) -> Result<(), StageError> {
        let section = &search.params.search;
        let objective = LatencyObjective {
            latencies: &self.latencies,
            target_ms: search.target_lat_ms,
            weight: section.lambda_lat,
        };
        let mut stream = Stream::new(
            search.params.seed,
            StreamId::ArchitectureGumbel,
            search.progress.epoch as u32,
            search.progress.step as u32,
        );
        let noise = draw_noise(search.space.blocks().len(), search.space.operations().len(), &mut stream);
        let outcome = architecture_step(
            &self.supernet,
            &mut self.architecture_optimization,
            &objective,
            &batch.images,
            &batch.labels,
            &noise,
            self.temperature,
        );
        if let Some(outcome) = skip_if_too_small(outcome)? {
            let (logits, labels) = (batch.read(&outcome.logits), batch.read(&batch.labels));
            self.meters.architecture.add(&outcome.cross_entropy, &logits, &labels);
            self.meters.latency.add(&outcome.latency_ms, &logits, &labels);
        }
        if let Some(ranks) = &search.ranks {
            // All ranks draw the same paths, even if their devices round differently.
            ranks.broadcast(&self.supernet.tensors(Role::Architecture).to_vec(), 0)?;
        }
        Ok(())
    }

    /// Returns the mean loss and accuracies of the weight steps.
    ///
    /// * `skipped`: the number of images that could not be read.
    ///
    /// # Errors
    /// Returns an error if there was no step or the loss is not finite.
    pub fn weight_averages(&self, skipped: usize) -> Result<Averages, StageError> {
        let averages = self.meters.weights.read().ok_or_else(|| no_step(skipped))?;
        if averages.loss.is_finite() {
            return Ok(averages);
        }
        Err(StageError::with_hint(
            "the search diverged: the loss of the weight steps is not finite",
            "lower search.weights.lr, or set search.weights.grad_clip",
        ))
    }

    /// Returns the mean cross-entropy of the architecture steps; `None` if there were none.
    pub fn architecture_loss(&self) -> Option<f64> {
        self.meters.architecture.read().map(|averages| averages.loss)
    }

    /// Returns the mean expected latency of the architecture steps, in milliseconds; `None` if there were none.
    pub fn expected_lat_ms(&self) -> Option<f64> {
        self.meters.latency.read().map(|averages| averages.loss)
    }
}

/// Returns `None` if a step was skipped because batch norm cannot compute a variance from its images, such as a last batch of one
/// image.
fn skip_if_too_small<T>(outcome: Result<T, SearchStepError>) -> Result<Option<T>, StageError> {
    match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(SearchStepError::BatchTooSmall(_)) => Ok(None),
        Err(SearchStepError::Collective(error)) => Err(error.into()),
        Err(error) => Err(StageError::new(error.to_string())),
    }
}

fn report_progress(search: &mut Search<'_>) {
    let section = &search.params.search;
    let images = search.train.len();
    let epoch = search.progress.epoch;
    let done = epoch * images + (search.progress.step * section.batch).min(images);
    let total = section.epochs * images;
    let phase = format!("epoch {} of {}", epoch + 1, section.epochs);
    search.context.report.progress(&phase, done as u64, total as u64, "images");
}
