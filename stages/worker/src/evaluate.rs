use tch::{Kind, Tensor};
use tfnas_c10d::{ProcessGroup, ReduceOperation};
use tfnas_images::{BatchOptions, ImageSource};
use tfnas_torch::loss::{Meter, Reading, cross_entropy, hits};

use crate::error::StageError;
use crate::images::Feeder;
use crate::stop::StopFlag;

/// What a pass over labelled images gives.
pub struct Evaluation {
    /// Loss and shares over all images.
    pub reading: Reading,
    /// Images of each class.
    pub class_images: Vec<i64>,
    /// Top-1 hits of each class.
    pub class_hits: Vec<i64>,
    /// Images that could not be read.
    pub skipped: usize,
}

/// Evaluates logits over one pass; `logits` gets the images and the batch's number, `each` the images done.
///
/// Where there are ranks, each passes over its own images, and all learn what was found over those of all.
pub fn evaluate(
    feeder: &Feeder,
    source: &ImageSource,
    options: &BatchOptions,
    ranks: Option<&ProcessGroup>,
    stop: &StopFlag,
    logits: impl Fn(&Tensor, usize) -> Tensor,
    mut each: impl FnMut(usize),
) -> Result<Evaluation, StageError> {
    let (classes, device) = (feeder.classes(), feeder.device());
    let mut meter = Meter::new();
    // Images and hits of each class, and at the end how many were left out.
    let mut counts = Tensor::zeros([2 * classes as i64 + 1], (Kind::Int64, device));
    let mut skipped = 0;
    for (index, batch) in feeder.feed(source, options).enumerate() {
        if stop.raised() {
            return Err(StageError::Stopped);
        }
        let batch = batch?;
        skipped += batch.skipped as i64;
        each(batch.count + batch.skipped);
        if batch.count == 0 {
            continue;
        }
        let output = logits(&batch.images, index);
        meter.add(&cross_entropy(&output, &batch.labels, 0.0), &output, &batch.labels);
        // Nothing here waits for the device, as a selection of the hits would.
        let of_class = Tensor::cat(&[&batch.labels, &(&batch.labels + classes as i64)], 0);
        let right = hits(&output, &batch.labels, 1).to_kind(Kind::Int64);
        let _ = counts.index_add_(0, &of_class, &Tensor::cat(&[&right.ones_like(), &right], 0));
    }
    let _ = counts.get(2 * classes as i64).fill_(skipped);
    if let Some(ranks) = ranks {
        meter = meter.over_ranks(ranks, device)?;
        ranks.all_reduce(&mut counts, ReduceOperation::Sum)?;
    }
    let reading = meter.read().ok_or_else(|| StageError::new("none of the images could be read"))?;
    let mut numbers = vec![0i64; counts.numel()];
    counts.copy_data(&mut numbers, counts.numel());
    let skipped = numbers.pop().unwrap_or_default();
    let class_hits = numbers.split_off(classes);
    let skipped = usize::try_from(skipped).unwrap_or_default();
    Ok(Evaluation { reading, class_images: numbers, class_hits, skipped })
}
