//! Trains a candidate for some epochs, starting from its latest checkpoint.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tfnas::schedule::cosine_with_warm_up;
use tfnas::{Architecture, ModelConfig, Space};
use tfnas_images::{BatchOptions, ImageSource, Order, Transform};
use tfnas_random::StreamId;
use tfnas_select::EpochScore;
use tfnas_stages::SelectParams;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::{DropMasks, DropRates, StepKey};
use tfnas_torch::initialize::initialize;
use tfnas_torch::loss::AverageMeter;
use tfnas_torch::optim::{Optimizer as _, Sgd, SgdSettings};
use tfnas_torch::phase::{Phase, in_phase};
use tfnas_torch::trainer::{TrainStepError, Trainer};
use tfnas_torch::weights::load_unfinished;
use tfnas_torch::{Module, NamedTensors, Role};

use crate::error::{Context as _, StageError};
use crate::evaluate::evaluate;
use crate::images::{DataLoader, color_jitter, decoding, evaluation, no_step, train_transform};
use crate::precision::mixed_precision;
use crate::profiler::Profiler;
use crate::rank_group::RankGroup;
use crate::resume::CheckpointDir;
use crate::state::Checkpointer;
use crate::stop::StopFlag;
use crate::train::WARM_UP_ABOVE_BATCH;

/// The data, recipe and seed that all candidates share. All candidates use the same seed, the same order of images and the same
/// augmentation, so that their losses differ only because of their architectures.
pub struct Candidates<'a> {
    pub params: &'a SelectParams,
    pub space: &'a Space,
    pub classes: usize,
    pub loader: DataLoader,
    pub train: ImageSource,
    pub val: ImageSource,
    /// Folder with one subfolder of checkpoints per candidate.
    pub checkpoints: PathBuf,
    pub checkpoint_every_s: f64,
    pub data_workers: usize,
}

/// Called after every batch with its number of images; returns whether to stop.
pub type OnBatch<'a> = &'a mut dyn FnMut(usize) -> Result<bool, StageError>;

/// Progress of a candidate's training, which checkpoints contain in addition to tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Progress {
    /// Completed steps of the current epoch.
    step: usize,
    /// Scores of the completed epochs.
    scores: Vec<EpochScore>,
    /// Whether a loss was not finite. A diverged candidate is not trained any further.
    diverged: bool,
}

/// The training state of one candidate.
struct Training {
    network: DerivedNetwork,
    trainer: Trainer,
    meter: AverageMeter,
    progress: Progress,
    checkpoints: Checkpointer,
}

impl Candidates<'_> {
    /// Trains a candidate up to a total of `epochs` epochs and returns the scores of all epochs. Epochs at the end of a rung also
    /// have validation scores.
    ///
    /// # Errors
    /// Returns [`StageError::Stopped`] after writing a checkpoint if `on_batch` returns true. Returns an error if images
    /// cannot be read or checkpoints cannot be written.
    pub fn train(
        &self,
        id: usize,
        architecture: &Architecture,
        epochs: usize,
        stop: &StopFlag,
        profiler: &mut Profiler,
        on_batch: OnBatch<'_>,
    ) -> Result<Vec<EpochScore>, StageError> {
        let checkpoints = self.checkpoints_of(id)?;
        let saved = checkpoints.load::<Progress>()?;
        if let Some((progress, _)) = &saved
            && (progress.scores.len() >= epochs || progress.diverged)
        {
            return Ok(padded(&progress.scores, epochs));
        }
        let mut training = self.begin(architecture, checkpoints)?;
        if let Some((progress, tensors)) = saved {
            training.restore(progress, &tensors, self.loader.device())?;
        }
        while training.progress.scores.len() < epochs && !training.progress.diverged {
            self.epoch(&mut training, stop, profiler, on_batch)?;
        }
        Ok(padded(&training.progress.scores, epochs))
    }

    /// Removes the tensors from the checkpoint of an eliminated candidate and keeps its scores.
    ///
    /// # Errors
    /// Returns an error if the checkpoint cannot be read or written.
    pub fn retire(&self, id: usize) -> Result<(), StageError> {
        let mut checkpoints = self.checkpoints_of(id)?;
        match checkpoints.load::<Progress>()? {
            Some((progress, tensors)) if tensors.len() > 1 => {
                // Larger than any position that training writes, so that this is the latest checkpoint.
                checkpoints.save(u64::MAX, &progress, NamedTensors::new())
            }
            _ => Ok(()),
        }
    }

    fn checkpoints_of(&self, id: usize) -> Result<Checkpointer, StageError> {
        let folder = folder_of(&self.checkpoints, id);
        fs::create_dir_all(&folder).map_err(|error| StageError::file("create", &folder, &error))?;
        Ok(Checkpointer::new(CheckpointDir::new(&folder), self.checkpoint_every_s))
    }

    /// Creates a candidate's network and optimizer.
    fn begin(&self, architecture: &Architecture, checkpoints: Checkpointer) -> Result<Training, StageError> {
        let recipe = &self.params.recipe;
        let config = ModelConfig::from_architecture(self.space, architecture, self.classes).context("candidate")?;
        let network = DerivedNetwork::new(&config, self.loader.device());
        initialize(&network, self.params.seed);
        let settings = SgdSettings { rate: recipe.lr, momentum: recipe.momentum, weight_decay: recipe.weight_decay };
        let trainer = Trainer {
            optimizer: Sgd::new(network.tensors(Role::Weight), settings),
            max_norm: recipe.grad_clip,
            label_smoothing: recipe.label_smoothing,
            precision: mixed_precision("train.precision", recipe.precision, self.loader.device())?,
            ranks: None,
        };
        Ok(Training { network, trainer, meter: AverageMeter::new(), progress: Progress::default(), checkpoints })
    }

    /// Trains the rest of the current epoch and records its scores.
    fn epoch(
        &self,
        training: &mut Training,
        stop: &StopFlag,
        profiler: &mut Profiler,
        on_batch: OnBatch<'_>,
    ) -> Result<(), StageError> {
        let recipe = &self.params.recipe;
        let rungs = &self.params.select.rungs;
        let epoch = training.progress.scores.len();
        let total = rungs.last().copied().unwrap_or(epoch + 1);
        let warm_up = if recipe.batch > WARM_UP_ABOVE_BATCH { recipe.warmup_epochs } else { 0 };
        training.trainer.optimizer.set_rate(cosine_with_warm_up(recipe.lr, epoch, total, warm_up));
        let seed = self.params.seed;
        let options = BatchOptions {
            batch: recipe.batch,
            shard: None,
            order: Order::Shuffled { seed, purpose: StreamId::Shuffle, epoch: epoch as u32, round: 0 },
            transform: Transform::Train {
                transform: train_transform(&recipe.augment, self.params.space.resolution),
                seed,
                purpose: StreamId::Augment,
                epoch: epoch as u32,
                decoding: decoding(self.params.decode),
                color_jitter: color_jitter(self.params.color_jitter),
            },
            start_batch: training.progress.step,
            workers: self.data_workers,
        };
        let rates = DropRates { dropout: recipe.dropout, drop_connect: recipe.drop_connect };
        let steps = self.train.len().div_ceil(options.batch).saturating_sub(options.start_batch);
        profiler.begin_epoch(steps);
        let mut skipped = 0;
        for batch in self.loader.iter(&self.train, &options) {
            let batch = batch?;
            skipped += batch.skipped;
            if batch.count > 0 {
                let key = StepKey { seed, epoch: epoch as u32, step: training.progress.step as u32 };
                let masks = DropMasks::draw(&training.network, rates, batch.count, key);
                match training.trainer.step(&training.network, &batch.images, &batch.labels, &masks) {
                    // Batch norm cannot compute a variance from a last batch of one image.
                    Err(TrainStepError::BatchTooSmall(_)) => {}
                    outcome => {
                        let outcome = outcome?;
                        training.meter.add(&outcome.loss, &outcome.logits, &batch.labels);
                    }
                }
            }
            training.progress.step += 1;
            let stopped = on_batch(batch.count + batch.skipped)?;
            if stopped || training.checkpoints.is_due() {
                training.save()?;
            }
            if stopped {
                return Err(StageError::Stopped);
            }
            profiler.next_step();
        }
        profiler.end_epoch();
        let trained = training.meter.read().ok_or_else(|| no_step(skipped))?;
        let mut score = EpochScore { epoch: epoch + 1, train_loss: trained.loss, val_loss: None, val_top1: None };
        if rungs.contains(&(epoch + 1)) && trained.loss.is_finite() {
            match in_phase(Phase::Validation, || self.validate(training, stop, on_batch)) {
                Err(StageError::Stopped) => {
                    training.save()?;
                    return Err(StageError::Stopped);
                }
                found => {
                    let (loss, top1) = found?;
                    score.val_loss = Some(loss);
                    score.val_top1 = Some(top1);
                }
            }
        }
        training.progress.diverged = !score.train_loss.is_finite();
        training.progress.scores.push(score);
        training.progress.step = 0;
        training.meter = AverageMeter::new();
        training.save()
    }

    /// Returns mean loss and top-1 accuracy on the validation images.
    fn validate(&self, training: &Training, stop: &StopFlag, on_batch: OnBatch<'_>) -> Result<(f64, f64), StageError> {
        let options =
            evaluation(self.params.resize, self.params.space.resolution, self.params.recipe.batch, self.data_workers);
        let network = training.network.folded();
        let found = evaluate(
            &self.loader,
            &self.val,
            &options,
            RankGroup::new(None, self.loader.device()),
            stop,
            |images, _| network.forward(images),
            // Sends heartbeats to the other ranks; validation images do not count as progress.
            |_, _| if on_batch(0)? { Err(StageError::Stopped) } else { Ok(()) },
        )?;
        Ok((found.averages.loss, found.averages.top1))
    }
}

impl Training {
    fn save(&mut self) -> Result<(), StageError> {
        let mut tensors = NamedTensors::new();
        tensors.insert_all("network", self.network.state());
        tensors.insert_all("optimiser", self.trainer.optimizer.state());
        tensors.insert_all("precision", self.trainer.precision.state());
        tensors.insert("meter".to_owned(), self.meter.state());
        let position = (self.progress.scores.len(), self.progress.step);
        self.checkpoints.save_epoch(position, &self.progress, tensors)
    }

    fn restore(&mut self, progress: Progress, saved: &NamedTensors, device: tch::Device) -> Result<(), StageError> {
        load_unfinished(&self.network, &saved.under("network")).context("checkpoint")?;
        self.trainer.optimizer.restore(&saved.under("optimiser")).context("checkpoint")?;
        self.trainer.precision.restore(&saved.under("precision")).context("checkpoint")?;
        self.meter = saved
            .get("meter")
            .and_then(|state| AverageMeter::restore(state, device))
            .ok_or_else(|| StageError::new("the checkpoint of a candidate has no tensor `meter`"))?;
        self.progress = progress;
        Ok(())
    }
}

/// Returns the folder of a candidate's checkpoints.
fn folder_of(checkpoints: &Path, id: usize) -> PathBuf {
    checkpoints.join(format!("candidate-{id:05}"))
}

/// Returns the scores of the first `epochs` epochs. For missing epochs of a diverged candidate, its last score is repeated.
fn padded(scores: &[EpochScore], epochs: usize) -> Vec<EpochScore> {
    let mut padded: Vec<EpochScore> = scores.iter().take(epochs).cloned().collect();
    while let Some(last) = padded.last().filter(|_| padded.len() < epochs) {
        let mut missing = *last;
        missing.epoch += 1;
        padded.push(missing);
    }
    padded
}
