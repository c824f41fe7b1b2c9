use tch::{Kind, Tensor};
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
pub fn evaluate(
    feeder: &Feeder,
    source: &ImageSource,
    options: &BatchOptions,
    classes: usize,
    stop: &StopFlag,
    logits: impl Fn(&Tensor, usize) -> Tensor,
    mut each: impl FnMut(usize),
) -> Result<Evaluation, StageError> {
    let mut meter = Meter::new();
    let mut class_images: Option<Tensor> = None;
    let mut class_hits: Option<Tensor> = None;
    let mut skipped = 0;
    for (index, batch) in feeder.feed(source, options).enumerate() {
        if stop.raised() {
            return Err(StageError::Stopped);
        }
        let batch = batch?;
        skipped += batch.skipped;
        each(batch.count + batch.skipped);
        if batch.count == 0 {
            continue;
        }
        let output = logits(&batch.images, index);
        meter.add(&cross_entropy(&output, &batch.labels, 0.0), &output, &batch.labels);
        let count = |labels: &Tensor| labels.bincount(None::<&Tensor>, classes as i64);
        let right = batch.labels.masked_select(&hits(&output, &batch.labels, 1));
        add(&mut class_images, count(&batch.labels));
        add(&mut class_hits, count(&right));
    }
    let reading = meter.read().ok_or_else(|| StageError::new("none of the images could be read"))?;
    Ok(Evaluation { reading, class_images: numbers(class_images), class_hits: numbers(class_hits), skipped })
}

fn add(sum: &mut Option<Tensor>, count: Tensor) {
    *sum = Some(match sum.take() {
        Some(sum) => sum + count,
        None => count,
    });
}

fn numbers(counts: Option<Tensor>) -> Vec<i64> {
    counts.map_or_else(Vec::new, |counts| {
        let mut values = vec![0i64; counts.numel()];
        counts.to_kind(Kind::Int64).copy_data(&mut values, counts.numel());
        values
    })
}
