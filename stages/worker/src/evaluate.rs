use tch::{Kind, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::{BatchOptions, ImageSource};
use tfnas_torch::loss::{AverageMeter, Averages, cross_entropy};

use crate::error::StageError;
use crate::images::{DataLoader, DeviceBatch};
use crate::stop::StopFlag;

/// What a pass over labelled images gives.
pub struct Evaluation {
    /// Loss and shares over all images.
    pub reading: Averages,
    /// Images that could not be read.
    pub skipped: usize,
}

/// Evaluates logits over one pass.
///
/// * `logits`: gets the images and the batch's number.
/// * `each`: is called after each batch with its logits; `None` if no image of it could be read.
///
/// With ranks, each passes over its own images, and all learn what was found over those of all.
pub fn evaluate(
    feeder: &DataLoader,
    source: &ImageSource,
    options: &BatchOptions,
    ranks: Option<&ProcessGroup>,
    stop: &StopFlag,
    logits: impl Fn(&Tensor, usize) -> Tensor,
    mut each: impl FnMut(&DeviceBatch, Option<&Tensor>) -> Result<(), StageError>,
) -> Result<Evaluation, StageError> {
    let device = feeder.device();
    let mut meter = AverageMeter::new();
    let mut skipped = 0;
    for (index, batch) in feeder.feed(source, options).enumerate() {
        if stop.raised() {
            return Err(StageError::Stopped);
        }
        let batch = batch?;
        skipped += batch.skipped as i64;
        if batch.count == 0 {
            each(&batch, None)?;
            continue;
        }
        let output = logits(&batch.images, index);
        meter.add(&cross_entropy(&output, &batch.labels, 0.0), &output, &batch.labels);
        each(&batch, Some(&output))?;
    }
    if let Some(ranks) = ranks {
        meter = meter.over_ranks(ranks, device)?;
        let mut count = Tensor::from_slice(&[skipped]).to_kind(Kind::Int64).to_device(device);
        ranks.all_reduce(&mut count, ReduceOperation::Sum)?;
        skipped = count.int64_value(&[0]);
    }
    let reading = meter.read().ok_or_else(|| StageError::new("none of the images could be read"))?;
    Ok(Evaluation { reading, skipped: usize::try_from(skipped).unwrap_or_default() })
}
