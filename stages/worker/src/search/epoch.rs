use std::rc::Rc;

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
use crate::images::{DeviceBatch, evaluation, train_transform};
use crate::precision::mixed_precision;

/// What Adam adds to the root of the mean of squares: PyTorch's default.
const ADAM_EPSILON: f64 = 1e-8;

/// One epoch of a search: a supernet of the current widths, and optimizers that begin afresh.
pub struct Epoch {
    pub supernet: Supernet,
    pub lr: f64,
    pub temperature: f64,
    latencies: Latencies,
    weight_optimization: OptimizerStep<Sgd>,
    architecture_optimization: OptimizerStep<Adam>,
    /// Losses summed over paths; hits of the Gumbel path.
    weights: AverageMeter,
    /// Cross-entropies of the architecture steps.
    architecture: AverageMeter,
    /// Their expected latencies, in the place of the loss.
    latency: AverageMeter,
}

impl Epoch {
    /// The epoch that the search is in, at its beginning or as it was saved.
    pub fn begin(search: &Search<'_>, resumed: Option<NamedTensors>) -> Result<Self, StageError> {
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
            },
            architecture_optimization: OptimizerStep {
                optimizer: Adam::new(supernet.tensors(Role::Architecture), architecture_settings),
                max_norm: section.architecture.grad_clip,
                precision: precision()?,
            },
            supernet,
            weights: AverageMeter::new(),
            architecture: AverageMeter::new(),
            latency: AverageMeter::new(),
        };
        if let Some(saved) = resumed {
            epoch.weight_optimization.restore(&saved.under("weights")).context("resume point")?;
            epoch.architecture_optimization.restore(&saved.under("architecture")).context("resume point")?;
            let meters = [
                ("weights", &mut epoch.weights),
                ("architecture", &mut epoch.architecture),
                ("latency", &mut epoch.latency),
            ];
            for (name, meter) in meters {
                *meter = saved
                    .get(&format!("meter.{name}"))
                    .and_then(|state| AverageMeter::restore(state, device))
                    .ok_or_else(|| StageError::new(format!("the resume point has no meter of {name}")))?;
            }
        }
        Ok(epoch)
    }

    /// What a resume point in the middle of the epoch holds beside the supernet.
    pub fn state(&self) -> NamedTensors {
        let mut state = NamedTensors::new();
        state.insert_all("weights", self.weight_optimization.state());
        state.insert_all("architecture", self.architecture_optimization.state());
        state.insert("meter.weights".to_owned(), self.weights.state());
        state.insert("meter.architecture".to_owned(), self.architecture.state());
        state.insert("meter.latency".to_owned(), self.latency.state());
        state
    }

    /// Trains on what is left of the epoch's images: the weights on each batch, and after the warm-up the architecture
    /// every so many steps.
    pub fn train(&mut self, search: &mut Search<'_>) -> Result<(), StageError> {
        let section = search.params.search.clone();
        let seed = search.params.seed;
        let epoch = search.progress.epoch as u32;
        let resolution = search.space.definition().resolution;
        let workers = search.context.job().data_workers;
        let options = BatchOptions {
            batch: section.batch,
            shard: None,
            order: Order::Shuffled { seed, purpose: StreamId::Shuffle, epoch, round: 0 },
            transform: Transform::Train {
                transform: train_transform(&section.augment, resolution),
                seed,
                purpose: StreamId::Augment,
                epoch,
            },
            start_batch: search.progress.step,
            workers,
        };
        let feeder = Rc::clone(&search.feeder);
        let (train, val) = (search.train.clone(), search.val.clone());
        let searches = search.progress.epoch >= section.warmup_epochs;
        let mut val_loader = searches.then(|| {
            let options = evaluation(search.params.resize, resolution, section.batch, workers);
            let first = search.progress.step.div_ceil(section.architecture.every);
            ValLoader::new(&feeder, &val, options, seed, epoch, first)
        });
        let mut log_alphas = self.supernet.read_log_alphas();
        for batch in feeder.feed(&train, &options) {
            let batch = batch?;
            let step = search.progress.step;
            search.progress.skipped += batch.skipped;
            self.step_weights(search, &batch, &log_alphas, searches)?;
            if let Some(feed) = val_loader.as_mut().filter(|_| step.is_multiple_of(section.architecture.every)) {
                self.step_architecture(search, &feed.next()?)?;
                log_alphas = self.supernet.read_log_alphas();
            }
            search.progress.step += 1;
            progress(search);
            let stopped = search.context.stop.raised();
            if stopped || search.keeper.is_due() {
                search.save(Some(self))?;
            }
            if stopped {
                return Err(StageError::Stopped);
            }
        }
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
            let loss: tch::Tensor = outcome.losses.iter().sum();
            self.weights.add(&loss, &outcome.logits[0], &batch.labels);
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
            self.architecture.add(&outcome.cross_entropy, &outcome.logits, &batch.labels);
            self.latency.add(&outcome.latency_ms, &outcome.logits, &batch.labels);
        }
        Ok(())
    }

    /// Means of the weight steps.
    ///
    /// # Errors
    /// If no image could be read, or the loss is no number any more.
    pub fn trained(&self) -> Result<Averages, StageError> {
        let reading =
            self.weights.read().ok_or_else(|| StageError::new("none of the training images could be read"))?;
        if reading.loss.is_finite() {
            return Ok(reading);
        }
        Err(StageError::with_hint(
            "the search diverged: the loss of its weights is not finite",
            "lower search.weights.lr, or set search.weights.grad_clip",
        ))
    }

    /// Mean cross-entropy of the architecture steps.
    pub fn architecture_loss(&self) -> Option<f64> {
        self.architecture.read().map(|reading| reading.loss)
    }

    /// Mean expected latency of the architecture steps, in milliseconds.
    pub fn expected_lat_ms(&self) -> Option<f64> {
        self.latency.read().map(|reading| reading.loss)
    }
}

/// What came of a step. A last batch of one image may have no variance: it is left out, as no batch norm can read it.
fn skip_if_too_small<T>(outcome: Result<T, SearchStepError>) -> Result<Option<T>, StageError> {
    match outcome {
        Ok(outcome) => Ok(Some(outcome)),
        Err(SearchStepError::BatchTooSmall(_)) => Ok(None),
        Err(error) => Err(StageError::new(error.to_string())),
    }
}

fn progress(search: &mut Search<'_>) {
    let section = &search.params.search;
    let an_epoch = search.train.len();
    let epoch = search.progress.epoch;
    let done = epoch * an_epoch + (search.progress.step * section.batch).min(an_epoch);
    let total = section.epochs * an_epoch;
    let phase = format!("epoch {} of {}", epoch + 1, section.epochs);
    search.context.report.progress(&phase, done as u64, total as u64, "images");
}
