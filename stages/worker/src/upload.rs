use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use tch::{Device, Tensor};
use tfnas_c10d::cuda::{CopyStream, PendingCopy};
use tfnas_images::{Batch, Batches};
use tfnas_torch::preprocess::{checked_labels, pixel_rows};

use crate::error::{Context as _, StageError};
use crate::images::unreadable;

/// Batches that may be on the device, or on their way, before they are taken.
const PREFETCH_BATCHES: usize = 2;

/// The pixels and labels of a batch on the device, not yet normalized.
pub struct RawBatch {
    /// `[N * H, W * 3]` u8.
    pub rows: Tensor,
    /// `[N]` i64.
    pub labels: Tensor,
    /// `[N]`: positions of the images in the list.
    pub positions: Vec<usize>,
    /// N.
    pub count: usize,
    /// How many more there would be had all been readable.
    pub skipped: usize,
}

/// Copies the batches of one pass to a CUDA device, ahead of their use and while the device computes.
///
/// A thread of its own takes the batches from the decoders, so that the thread that puts the steps together neither waits for
/// images that it does not need yet nor copies them.
pub struct Upload {
    /// None only while this is dropped.
    copies: Option<Receiver<Result<Copied, StageError>>>,
    thread: Option<JoinHandle<()>>,
}

struct Copied {
    rows: PendingCopy,
    labels: PendingCopy,
    positions: Vec<usize>,
    count: usize,
    skipped: usize,
}

impl Upload {
    /// Starts to copy batches of images of `size` x `size` pixels, with labels below `classes`.
    ///
    /// # Errors
    /// Returns an error if the device has no copy stream or the thread cannot be started.
    pub fn start(mut batches: Batches, device: Device, size: usize, classes: usize) -> Result<Self, StageError> {
        let stream = CopyStream::new(device)?;
        let (sender, copies) = sync_channel(PREFETCH_BATCHES);
        let copy = move || {
            let mut copy = |batch: Batch| -> Result<Copied, StageError> {
                let count = batch.labels.len();
                let rows = pixel_rows(&batch.pixels, count, size).context("batch")?;
                let labels = checked_labels(&batch.labels, classes).context("batch")?;
                let (rows, labels) = (stream.begin(&rows)?, stream.begin(&labels)?);
                Ok(Copied { rows, labels, positions: batch.positions, count, skipped: batch.skipped.len() })
            };
            for batch in batches.by_ref() {
                // An error to send means that the batches are wanted no more.
                if sender.send(batch.map_err(unreadable).and_then(&mut copy)).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("upload".to_owned()).spawn(copy).context("cannot start a thread")?;
        Ok(Self { copies: Some(copies), thread: Some(thread) })
    }

    /// Waits until the next batch is on its way to the device. None after the last one.
    pub fn take(&mut self) -> Option<Result<RawBatch, StageError>> {
        let copied = self.copies.as_ref()?.recv().ok()?;
        let arrive = |Copied { rows, labels, positions, count, skipped }| {
            Ok(RawBatch { rows: rows.take()?, labels: labels.take()?, positions, count, skipped })
        };
        Some(copied.and_then(arrive))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.copies = None;
        if let Some(thread) = self.thread.take() {
            // Its panic was reported when it happened, and shows as a batch that does not come.
            let _ = thread.join();
        }
    }
}
