//! The stage `train`: trains the derived network from random weights, and writes the weights of the best and the last epoch.

use std::rc::Rc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tfnas::schedule::cosine_with_warm_up;
use tfnas_c10d::ProcessGroup;
use tfnas_images::{BatchOptions, ImageSource, Order, Transform};
use tfnas_random::StreamId;
use tfnas_stages::{Metrics, Protocol, TrainEpoch, TrainParams, TrainReport, TrainSection};
use tfnas_torch::data_parallel::DataParallel;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::initialize::initialize;
use tfnas_torch::loss::AverageMeter;
use tfnas_torch::optim::{Optimizer as _, Sgd, SgdSettings};
use tfnas_torch::phase::{Phase, in_phase};
use tfnas_torch::trainer::{TrainStepError, Trainer};
use tfnas_torch::weights::{load, load_unfinished, write_file};
use tfnas_torch::{Module, NamedTensors, Role};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::evaluate::{Evaluation, evaluate};
use crate::images::{
    DataLoader, DeviceBatch, classes, color_jitter, decoding, evaluation, list_images, no_step, reading, test_images,
    train_transform,
};
use crate::network::model_config;
use crate::precision::mixed_precision;
use crate::rank_group::{EpochStats, RankGroup, StepDecision};
use crate::ranks::Peers;
use crate::resume::CheckpointDir;
use crate::state::Checkpointer;

/// Batch size above which the learning rate warms up, as in the published training.
pub const WARM_UP_ABOVE_BATCH: usize = 256;

/// Progress of the training, which resume points contain in addition to tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    epoch: usize,
    /// Completed steps of the current epoch.
    step: usize,
    /// Number of images of the current epoch that could not be read.
    skipped: usize,
    epochs: Vec<TrainEpoch>,
    best_epoch: Option<usize>,
}

/// The state of the stage.
struct Training<'a> {
    context: &'a mut StageContext,
    params: TrainParams,
    network: DerivedNetwork,
    best: DerivedNetwork,
    trainer: Trainer,
    /// Statistics of the current epoch: those of this rank since the last resume point, and on rank 0 also those of all ranks
    /// before it.
    stats: EpochStats,
    progress: Progress,
    loader: Rc<DataLoader>,
    train: ImageSource,
    val: ImageSource,
    checkpointer: Checkpointer,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: TrainParams = context.params()?;
    let section = &params.train;
    let names = classes(context, section.protocol.classes())?;
    let config = model_config(context, names.len())?;
    let reading = reading(params.on_bad_image, params.exif_orientation);
    let (train, val) = match section.protocol {
        Protocol::Published => (list_images(context, "all.list", reading)?, test_images(context, &names, reading)?),
        Protocol::HeldOut => (list_images(context, "train.list", reading)?, list_images(context, "val.list", reading)?),
    };
    let mut network = DerivedNetwork::new(&config, context.device);
    initialize(&network, params.seed);
    let settings = SgdSettings { rate: section.lr, momentum: section.momentum, weight_decay: section.weight_decay };
    let trainer = Trainer {
        optimizer: Sgd::new(network.tensors(Role::Weight), settings),
        max_norm: section.grad_clip,
        label_smoothing: section.label_smoothing,
        precision: mixed_precision("train.precision", section.precision, context.device)?,
        ranks: match context.peers.take() {
            Some(Peers::Group(group)) => Some(on_ranks(group, &mut network, section)?),
            Some(Peers::Tasks(_)) | None => None,
        },
    };
    let job = context.job();
    let checkpointer = Checkpointer::new(CheckpointDir::new(&job.resume_dir), job.resume_every_s);
    let mut training = Training {
        trainer,
        best: DerivedNetwork::new(&config, context.device),
        network,
        stats: EpochStats::default(),
        progress: Progress::default(),
        loader: Rc::new(DataLoader::new(params.space.resolution, names.len(), context.device)),
        train,
        val,
        checkpointer,
        params,
        context,
    };
    training.resume()?;
    while training.progress.epoch < training.params.train.epochs {
        training.epoch()?;
    }
    training.finish()
}

/// Prepares a network for training on ranks.
fn on_ranks(
    group: ProcessGroup,
    network: &mut DerivedNetwork,
    section: &TrainSection,
) -> Result<DataParallel, StageError> {
    RankGroup::new(Some(&group), network.device()).check_batch("train.batch", section.batch)?;
    Ok(DataParallel::new(group, network, section.sync_bn)?)
}

impl Training<'_> {
    /// Returns the ranks of the training.
    fn rank_group(&self) -> RankGroup<'_> {
        RankGroup::new(self.trainer.ranks.as_ref().map(DataParallel::group), self.context.device)
    }

    fn epoch(&mut self) -> Result<(), StageError> {
        let epoch = self.progress.epoch;
        let section = self.params.train.clone();
        let warm_up = if section.batch > WARM_UP_ABOVE_BATCH { section.warmup_epochs } else { 0 };
        let lr = cosine_with_warm_up(section.lr, epoch, section.epochs, warm_up);
        self.trainer.optimizer.set_rate(lr);
        let began = Instant::now();
        let waited = self.loader.waited();
        self.train_images(epoch)?;
        let waited = self.loader.waited() - waited;
        let trained = self.sum_stats()?;
        let skipped = trained.skipped;
        let trained = trained.meter.read().ok_or_else(|| no_step(skipped))?;
        let data_wait = waited.as_secs_f64() / began.elapsed().as_secs_f64();
        let found = match in_phase(Phase::Validation, || self.validate()) {
            Err(StageError::Stopped) => {
                self.save()?;
                return Err(StageError::Stopped);
            }
            found => found?,
        };
        let record = TrainEpoch {
            epoch,
            lr,
            train_loss: trained.loss,
            train_top1: trained.top1,
            train_top5: trained.top5,
            val_loss: found.averages.loss,
            val_top1: found.averages.top1,
            val_top5: found.averages.top5,
            skipped: skipped + found.skipped,
        };
        if !record.train_loss.is_finite() || !record.val_loss.is_finite() {
            return Err(StageError::with_hint(
                format!("the training diverged in epoch {epoch}: its loss is not finite"),
                "lower train.lr, or set train.grad_clip",
            ));
        }
        self.report(&record, data_wait);
        let best = self.progress.best_epoch.map(|best| self.progress.epochs[best].val_top1);
        // Of epochs with equal accuracy, the first one is the best.
        if best.is_none_or(|best| record.val_top1 > best) {
            self.progress.best_epoch = Some(epoch);
            load(&self.best, &self.network.state()).context("best checkpoint")?;
        }
        self.progress.epochs.push(record);
        self.progress.epoch += 1;
        self.progress.step = 0;
        self.stats = EpochStats::default();
        self.save()
    }

    /// Trains on the remaining images of the epoch.
    fn train_images(&mut self, epoch: usize) -> Result<(), StageError> {
        let section = &self.params.train;
        let seed = self.params.seed;
        let options = BatchOptions {
            batch: section.batch,
            shard: self.rank_group().shard(true),
            order: Order::Shuffled { seed, purpose: StreamId::Shuffle, epoch: epoch as u32, round: 0 },
            transform: Transform::Train {
                transform: train_transform(&section.augment, self.params.space.resolution),
                seed,
                purpose: StreamId::Augment,
                epoch: epoch as u32,
                decoding: decoding(self.params.decode),
                color_jitter: color_jitter(self.params.color_jitter),
            },
            start_batch: self.progress.step,
            workers: self.context.job().data_workers,
        };
        let rates = DropRates { dropout: section.dropout, drop_connect: section.drop_connect };
        let loader = Rc::clone(&self.loader);
        let train = self.train.clone();
        let last_step = train.len().div_ceil(options.batch);
        self.context.profiler.begin_epoch(last_step.saturating_sub(options.start_batch));
        for batch in loader.iter(&train, &options) {
            let batch = batch?;
            self.stats.skipped += batch.skipped;
            let key = StepKey { seed, epoch: epoch as u32, step: self.progress.step as u32 };
            self.step(batch, rates, key)?;
            self.progress.step += 1;
            self.report_progress(self.progress.step * options.batch);
            let rank_group = self.rank_group();
            let save = rank_group.is_first() && self.checkpointer.is_due();
            let own = StepDecision { stop: self.context.stop.raised(), save };
            let done = self.progress.step;
            let StepDecision { stop, save } = rank_group.agree_on(own, done, last_step.saturating_sub(done))?;
            if stop || save {
                self.sum_stats()?;
                self.save()?;
            }
            if stop {
                return Err(StageError::Stopped);
            }
            self.context.profiler.next_step();
        }
        self.context.profiler.end_epoch();
        Ok(())
    }

    /// Runs one step on this rank's share of the batch.
    fn step(&mut self, batch: DeviceBatch, rates: DropRates, key: StepKey) -> Result<(), StageError> {
        let (rank, world_size) = (self.rank_group().rank(), self.rank_group().world_size());
        let batch = if world_size > 1 { batch.padded()? } else { batch };
        let count = batch.labels.size()[0] as usize;
        if count == 0 {
            return Ok(());
        }
        let masks = DropMasks::draw(&self.network, rates, count * world_size, key).of_samples(rank * count, count);
        let outcome = match self.trainer.step(&self.network, &batch.images, &batch.labels, &masks) {
            // Batch norm cannot compute a variance from a last batch of one image.
            Err(TrainStepError::BatchTooSmall(_)) => return Ok(()),
            outcome => outcome?,
        };
        self.stats.meter.add(&outcome.loss, &batch.read(&outcome.logits), &batch.read(&batch.labels));
        Ok(())
    }

    /// Sums the statistics of the epoch over all ranks. Rank 0 keeps the sum; all ranks return it.
    fn sum_stats(&mut self) -> Result<EpochStats, StageError> {
        let all = self.rank_group().sum_stats(&self.stats)?;
        self.stats = if self.rank_group().is_first() { all.clone() } else { EpochStats::default() };
        Ok(all)
    }

    fn validate(&mut self) -> Result<Evaluation, StageError> {
        let options = BatchOptions {
            shard: self.rank_group().shard(false),
            ..evaluation(
                self.params.resize,
                self.params.space.resolution,
                self.params.train.batch,
                self.context.job().data_workers,
            )
        };
        if let Some(ranks) = &self.trainer.ranks {
            ranks.share_buffers(&self.network)?;
        }
        let network = self.network.folded();
        let logits = |images: &Tensor, _| network.forward(images);
        evaluate(&self.loader, &self.val, &options, self.rank_group(), &self.context.stop, logits, |_, _| Ok(()))
    }

    /// Reports progress. `done` is the number of images of the current epoch that have been used.
    fn report_progress(&mut self, done: usize) {
        let epochs = self.params.train.epochs;
        let images = self.train.len();
        let epoch = self.progress.epoch;
        let done = epoch * images + done.min(images);
        let phase = format!("epoch {} of {epochs}", epoch + 1);
        self.context.report.progress(&phase, done as u64, (epochs * images) as u64, "images");
    }

    /// Reports a completed epoch.
    ///
    /// * `data_wait`: share of the training time that was spent waiting for images.
    fn report(&mut self, record: &TrainEpoch, data_wait: f64) {
        let step = record.epoch as u64;
        let report = &mut self.context.report;
        report.metrics(step, &record.metrics());
        report.metric("data_wait", step, data_wait);
        report.info(format!(
            "epoch {} of {}: lr {:.4}, train loss {:.4}, validation top-1 {:.2} %; {:.0} % of the time spent waiting for images",
            record.epoch + 1,
            self.params.train.epochs,
            record.lr,
            record.train_loss,
            100.0 * record.val_top1,
            100.0 * data_wait
        ));
    }

    /// Writes a resume point, on rank 0 only.
    fn save(&mut self) -> Result<(), StageError> {
        if !self.rank_group().is_first() {
            return Ok(());
        }
        self.progress.skipped = self.stats.skipped;
        let mut tensors = NamedTensors::new();
        tensors.insert_all("network", self.network.state());
        tensors.insert_all("best", self.best.state());
        tensors.insert_all("optimiser", self.trainer.optimizer.state());
        tensors.insert_all("precision", self.trainer.precision.state());
        tensors.insert("meter".to_owned(), self.stats.meter.state());
        self.checkpointer.save_epoch((self.progress.epoch, self.progress.step), &self.progress, tensors)
    }

    fn resume(&mut self) -> Result<(), StageError> {
        let found = match self.rank_group().group() {
            Some(group) => self.checkpointer.load_on_ranks::<Progress>(group, self.context.device)?,
            None => self.checkpointer.load::<Progress>()?,
        };
        let Some((progress, tensors)) = found else { return Ok(()) };
        load_unfinished(&self.network, &tensors.under("network")).context("resume point")?;
        load_unfinished(&self.best, &tensors.under("best")).context("resume point")?;
        self.trainer.optimizer.restore(&tensors.under("optimiser")).context("resume point")?;
        self.trainer.precision.restore(&tensors.under("precision")).context("resume point")?;
        let meter = tensors
            .get("meter")
            .and_then(|state| AverageMeter::restore(state, self.context.device))
            .ok_or_else(|| StageError::new("the resume point has no tensor `meter`"))?;
        // The resume point contains the statistics of all ranks.
        let first = self.rank_group().is_first();
        self.stats = if first { EpochStats { meter, skipped: progress.skipped } } else { EpochStats::default() };
        self.context.report.resumed(format!("epoch {}, step {}", progress.epoch + 1, progress.step + 1));
        for record in &progress.epochs {
            self.context.report.metrics(record.epoch as u64, &record.metrics());
        }
        self.progress = progress;
        Ok(())
    }

    fn finish(self) -> StageResult {
        let best_epoch = self.progress.best_epoch.ok_or_else(|| StageError::new("no epoch was trained"))?;
        let best_top1 = self.progress.epochs[best_epoch].val_top1;
        if !self.rank_group().is_first() {
            return Ok(Metrics::new());
        }
        for (name, network) in [("best.safetensors", &self.best), ("last.safetensors", &self.network)] {
            write_file(&network.state(), &self.context.output(name)).context(name)?;
        }
        let skipped: usize = self.progress.epochs.iter().map(|record| record.skipped).max().unwrap_or(0);
        let names = [self.train.skipped(), self.val.skipped()].concat();
        self.context.report.warn_skipped(skipped, &names);
        self.context.write_json(&TrainReport {
            protocol: self.params.train.protocol,
            images: self.train.len(),
            val_images: self.val.len(),
            best_epoch,
            best_top1,
            epochs: self.progress.epochs,
        })?;
        let data_wait = self.context.report.data_wait(&self.loader);
        Ok(Metrics::from([("best_val_top1".to_owned(), best_top1), data_wait]))
    }
}
