//! Evaluation of a network on labeled images.

use tch::{Kind, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::{BatchOptions, ImageSource};
use tfnas_torch::loss::{AverageMeter, Averages, cross_entropy};
use tfnas_torch::phase::{Phase, in_phase};

use crate::error::StageError;
use crate::images::{DataLoader, DeviceBatch};
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
/// * `ranks`: each rank evaluates the images that `options` selects; all ranks return the result over all images.
///
/// # Errors
/// Returns an error if no image could be read, a rank is lost, or `on_batch` fails; [`StageError::Stopped`] if the stage must
/// stop.
pub fn evaluate(
    loader: &DataLoader,
    source: &ImageSource,
    options: &BatchOptions,
    ranks: Option<&ProcessGroup>,
    stop: &StopFlag,
    logits: impl Fn(&Tensor, usize) -> Tensor,
    mut on_batch: impl FnMut(&DeviceBatch, Option<&Tensor>) -> Result<(), StageError>,
) -> Result<Evaluation, StageError> {
    let device = loader.device();
    let mut meter = AverageMeter::new();
    let mut skipped = 0;
    for (index, batch) in loader.iter(source, options).enumerate() {
        if stop.raised() {
            return Err(StageError::Stopped);
        }
        let batch = batch?;
        skipped += batch.skipped as i64;
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
    if let Some(ranks) = ranks {
        meter = meter.over_ranks(ranks, device)?;
        let mut count = Tensor::from_slice(&[skipped]).to_kind(Kind::Int64).to_device(device);
        ranks.all_reduce(&mut count, ReduceOperation::Sum)?;
        skipped = count.int64_value(&[0]);
    }
    let averages = meter.read().ok_or_else(|| StageError::new("none of the images could be read"))?;
    Ok(Evaluation { averages, skipped: usize::try_from(skipped).unwrap_or_default() })
}
