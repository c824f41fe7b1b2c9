//! `train`: the derived network, from random weights to its best and last checkpoint.

use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tch::Tensor;
use tfnas::schedule::cosine_with_warm_up;
use tfnas_images::{BatchOptions, ImageSource, Order, Transform};
use tfnas_random::Purpose;
use tfnas_stages::{Metrics, Protocol, TrainParams};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::initialise::initialise;
use tfnas_torch::loss::Meter;
use tfnas_torch::optim::{Sgd, SgdSettings};
use tfnas_torch::train_step::train_step;
use tfnas_torch::weights::{load, write_file};
use tfnas_torch::{Module, NamedTensors, Role};

use crate::context::StageContext;
use crate::error::{Context as _, StageError, StageResult};
use crate::evaluate::{Evaluation, evaluate};
use crate::images::{Feeder, classes, evaluation, listed, test_images, train_transform};
use crate::network::model_config;
use crate::resume::ResumeFolder;
use crate::state::StateKeeper;

/// The batch above which the learning rate warms up (SPEC: section 5).
const WARM_UP_ABOVE_BATCH: usize = 256;

/// One epoch; shares are of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct EpochRecord {
    epoch: usize,
    lr: f64,
    train_loss: f64,
    train_top1: f64,
    train_top5: f64,
    val_loss: f64,
    val_top1: f64,
    val_top5: f64,
    /// Training and validation images that could not be read.
    skipped: usize,
}

/// Where the training is; what a resume point holds beside tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Position {
    epoch: usize,
    /// Steps of the epoch that are done.
    step: usize,
    /// Images of the epoch that could not be read.
    skipped: usize,
    epochs: Vec<EpochRecord>,
    best_epoch: Option<usize>,
}

/// `train.json`.
#[derive(Serialize)]
struct Report<'a> {
    protocol: Protocol,
    images: usize,
    val_images: usize,
    best_epoch: usize,
    best_top1: f64,
    epochs: &'a [EpochRecord],
}

/// A training under way.
struct Training<'a> {
    context: &'a mut StageContext,
    params: TrainParams,
    network: DerivedNetwork,
    best: DerivedNetwork,
    optimiser: Sgd,
    meter: Meter,
    position: Position,
    feeder: Rc<Feeder>,
    train: ImageSource,
    val: ImageSource,
    classes: usize,
    keeper: StateKeeper,
}

/// Runs the stage.
pub fn run(context: &mut StageContext) -> StageResult {
    let params: TrainParams = context.params()?;
    let section = &params.train;
    let names = classes(context, section.protocol.classes())?;
    let config = model_config(context, names.len())?;
    let (train, val) = match section.protocol {
        Protocol::Published => {
            (listed(context, "all.list", params.on_bad_image)?, test_images(context, &names, params.on_bad_image)?)
        }
        Protocol::HeldOut => {
            (listed(context, "train.list", params.on_bad_image)?, listed(context, "val.list", params.on_bad_image)?)
        }
    };
    let network = DerivedNetwork::new(&config, context.device);
    initialise(&network, params.seed);
    let settings = SgdSettings { rate: section.lr, momentum: section.momentum, weight_decay: section.weight_decay };
    let job = context.job();
    let keeper = StateKeeper::new(ResumeFolder::new(&job.resume_dir), job.resume_every_s);
    let mut training = Training {
        optimiser: Sgd::new(network.tensors(Role::Weight), settings),
        best: DerivedNetwork::new(&config, context.device),
        network,
        meter: Meter::new(),
        position: Position::default(),
        feeder: Rc::new(Feeder::new(params.space.resolution, names.len(), context.device)),
        classes: names.len(),
        train,
        val,
        keeper,
        params,
        context,
    };
    training.resume()?;
    while training.position.epoch < training.params.train.epochs {
        training.epoch()?;
    }
    training.finish()
}

impl Training<'_> {
    fn epoch(&mut self) -> Result<(), StageError> {
        let epoch = self.position.epoch;
        let section = self.params.train.clone();
        let warm_up = if section.batch > WARM_UP_ABOVE_BATCH { section.warmup_epochs } else { 0 };
        let lr = cosine_with_warm_up(section.lr, epoch, section.epochs, warm_up);
        self.optimiser.set_rate(lr);
        self.train_images(epoch)?;
        let trained = self.meter.read().ok_or_else(|| StageError::new("none of the training images could be read"))?;
        let found = match self.validate() {
            Err(StageError::Stopped) => {
                self.save()?;
                return Err(StageError::Stopped);
            }
            found => found?,
        };
        let record = EpochRecord {
            epoch,
            lr,
            train_loss: trained.loss,
            train_top1: trained.top1,
            train_top5: trained.top5,
            val_loss: found.reading.loss,
            val_top1: found.reading.top1,
            val_top5: found.reading.top5,
            skipped: self.position.skipped + found.skipped,
        };
        if !record.train_loss.is_finite() || !record.val_loss.is_finite() {
            return Err(StageError::with_hint(
                format!("the training diverged in epoch {epoch}: its loss is not finite"),
                "lower train.lr, or set train.grad_clip",
            ));
        }
        self.tell(&record);
        let best = self.position.best_epoch.map(|best| self.position.epochs[best].val_top1);
        // The first of equals stays the best.
        if best.is_none_or(|best| record.val_top1 > best) {
            self.position.best_epoch = Some(epoch);
            load(&self.best, &self.network.state()).context("best checkpoint")?;
        }
        self.position.epochs.push(record);
        self.position.epoch += 1;
        self.position.step = 0;
        self.position.skipped = 0;
        self.meter = Meter::new();
        self.save()
    }

    /// Trains on what is left of the epoch's images.
    fn train_images(&mut self, epoch: usize) -> Result<(), StageError> {
        let section = &self.params.train;
        let seed = self.params.seed;
        let options = BatchOptions {
            batch: section.batch,
            order: Order::Shuffled { seed, purpose: Purpose::Shuffle, epoch: epoch as u32, round: 0 },
            transform: Transform::Train {
                transform: train_transform(&section.augment, self.params.space.resolution),
                seed,
                purpose: Purpose::Augment,
                epoch: epoch as u32,
            },
            start_batch: self.position.step,
            workers: self.context.job().data_workers,
        };
        let rates = DropRates { dropout: section.dropout, drop_connect: section.drop_connect };
        let (grad_clip, label_smoothing) = (section.grad_clip, section.label_smoothing);
        let feeder = Rc::clone(&self.feeder);
        let train = self.train.clone();
        for batch in feeder.feed(&train, &options) {
            let batch = batch?;
            self.position.skipped += batch.skipped;
            if batch.count > 0 {
                let key = StepKey { seed, epoch: epoch as u32, step: self.position.step as u32 };
                let masks = DropMasks::draw(&self.network, rates, batch.count, key);
                let optimiser = &mut self.optimiser;
                let (images, labels) = (&batch.images, &batch.labels);
                let outcome = train_step(&self.network, optimiser, grad_clip, label_smoothing, images, labels, &masks);
                // A last batch of one image may have no variance: it is left out, as no batch norm can read it.
                if let Ok(outcome) = outcome {
                    self.meter.add(&outcome.loss, &outcome.logits, labels);
                }
            }
            self.position.step += 1;
            self.progress(self.position.step * options.batch);
            let stopped = self.context.stop.raised();
            if stopped || self.keeper.is_due() {
                self.save()?;
            }
            if stopped {
                return Err(StageError::Stopped);
            }
        }
        Ok(())
    }

    fn validate(&mut self) -> Result<Evaluation, StageError> {
        let options = evaluation(
            self.params.resize,
            self.params.space.resolution,
            self.params.train.batch,
            self.context.job().data_workers,
        );
        let network = self.network.folded();
        let logits = |images: &Tensor, _| network.forward(images);
        evaluate(&self.feeder, &self.val, &options, self.classes, &self.context.stop, logits, |_| {})
    }

    /// Says how far the training is: `done` images of this epoch.
    fn progress(&mut self, done: usize) {
        let epochs = self.params.train.epochs;
        let an_epoch = self.train.len();
        let epoch = self.position.epoch;
        let done = epoch * an_epoch + done.min(an_epoch);
        let phase = format!("epoch {} of {epochs}", epoch + 1);
        self.context.report.progress(&phase, done as u64, (epochs * an_epoch) as u64, "images");
    }

    fn tell(&mut self, record: &EpochRecord) {
        let step = record.epoch as u64;
        let report = &mut self.context.report;
        report.metric("train_loss", step, record.train_loss);
        report.metric("val_loss", step, record.val_loss);
        report.metric("val_top1", step, record.val_top1);
        report.info(format!(
            "epoch {} of {}: lr {:.4}, train loss {:.4}, validation top-1 {:.2} %",
            record.epoch + 1,
            self.params.train.epochs,
            record.lr,
            record.train_loss,
            100.0 * record.val_top1
        ));
    }

    fn save(&mut self) -> Result<(), StageError> {
        let mut tensors = NamedTensors::new();
        tensors.insert_all("network", self.network.state());
        tensors.insert_all("best", self.best.state());
        tensors.insert_all("optimiser", self.optimiser.state());
        tensors.insert("meter".to_owned(), self.meter.state());
        self.keeper.save_epoch((self.position.epoch, self.position.step), &self.position, tensors)
    }

    fn resume(&mut self) -> Result<(), StageError> {
        let Some((position, tensors)) = self.keeper.load::<Position>()? else { return Ok(()) };
        load(&self.network, &tensors.under("network")).context("resume point")?;
        load(&self.best, &tensors.under("best")).context("resume point")?;
        self.optimiser.restore(&tensors.under("optimiser")).context("resume point")?;
        self.meter = tensors
            .get("meter")
            .and_then(|state| Meter::restore(state, self.context.device))
            .ok_or_else(|| StageError::new("the resume point has no meter"))?;
        self.context.report.resumed(format!("epoch {}, step {}", position.epoch + 1, position.step + 1));
        self.position = position;
        Ok(())
    }

    fn finish(self) -> StageResult {
        let best_epoch = self.position.best_epoch.ok_or_else(|| StageError::new("no epoch was trained"))?;
        let best_top1 = self.position.epochs[best_epoch].val_top1;
        for (name, network) in [("best.safetensors", &self.best), ("last.safetensors", &self.network)] {
            write_file(&network.state(), &self.context.output(name)).context(name)?;
        }
        let skipped: usize = self.position.epochs.iter().map(|record| record.skipped).max().unwrap_or(0);
        if skipped > 0 {
            self.context.report.warn(format!("{skipped} images could not be read and were left out of every epoch"));
        }
        self.context.write_json(
            "train.json",
            &Report {
                protocol: self.params.train.protocol,
                images: self.train.len(),
                val_images: self.val.len(),
                best_epoch,
                best_top1,
                epochs: &self.position.epochs,
            },
        )?;
        Ok(Metrics::from([("best_val_top1".to_owned(), best_top1)]))
    }
}
