//! Evaluation of a network on labeled images.

use tch::Tensor;
use tfnas_images::{BatchOptions, ImageSource};
use tfnas_torch::loss::{AverageMeter, Averages, cross_entropy};
use tfnas_torch::phase::{Phase, in_phase};

use crate::error::StageError;
use crate::images::{DataLoader, DeviceBatch};
use crate::rank_group::{RankGroup, StepDecision};
use crate::stop::StopFlag;

/// The result of an evaluation.
pub struct Evaluation {
    /// Mean loss and accuracies over all images.
    pub averages: Averages,
    /// Number of images that could not be read.
    pub skipped: usize,
}

/// Computes loss and accuracies in one pass over labeled images.
///
/// * `logits`: computes logits from the images and the number of a batch.
/// * `on_batch`: called after each batch with its logits; `None` if no image of the batch could be read.
/// * `ranks`: each rank evaluates the images that `options` selects; all ranks return the result over all images. They stop
///   after the same batch, even if the request to stop reaches them at different times.
///
/// # Errors
/// Returns an error if no image could be read, a rank is lost, or `on_batch` fails; [`StageError::Stopped`] if the stage must
/// stop.
pub fn evaluate(
    loader: &DataLoader,
    source: &ImageSource,
    options: &BatchOptions,
    ranks: RankGroup<'_>,
    stop: &StopFlag,
    logits: impl Fn(&Tensor, usize) -> Tensor,
    mut on_batch: impl FnMut(&DeviceBatch, Option<&Tensor>) -> Result<(), StageError>,
) -> Result<Evaluation, StageError> {
    let batches = source.len().div_ceil(options.batch);
    let mut meter = AverageMeter::new();
    let mut skipped = 0;
    for (index, batch) in loader.iter(source, options).enumerate() {
        let own = StepDecision { stop: stop.raised(), save: false };
        if ranks.agree_on(own, index, batches - index)?.stop {
            return Err(StageError::Stopped);
        }
        let batch = batch?;
        skipped += batch.skipped;
        if batch.count == 0 {
            on_batch(&batch, None)?;
            continue;
        }
        let (output, loss) = in_phase(Phase::Forward, || {
            let output = logits(&batch.images, index);
            let loss = cross_entropy(&output, &batch.labels, 0.0);
            (output, loss)
        });
        meter.add(&loss, &output, &batch.labels);
        on_batch(&batch, Some(&output))?;
    }
    let averages =
        ranks.sum_meter(&meter)?.read().ok_or_else(|| StageError::new("none of the images could be read"))?;
    Ok(Evaluation { averages, skipped: ranks.sum(skipped)? })
}
