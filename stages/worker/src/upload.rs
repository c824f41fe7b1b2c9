//! Copies batches to a CUDA device in a background thread.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use tch::{Device, Tensor};
use tfnas_c10d::cuda::{CopyStream, PendingCopy};
use tfnas_images::{Batch, Batches};
use tfnas_torch::preprocess::{checked_labels, pixel_rows};

use crate::color_jitter::ColorJitter;
use crate::error::{Context as _, StageError};
use crate::images::unreadable;

/// Maximum number of batches that are copied to the device in advance.
const PREFETCH_BATCHES: usize = 2;

/// The pixels and labels of a batch on the device, not yet normalized.
pub struct RawBatch {
    /// `[N * H, W * 3]` u8.
    pub rows: Tensor,
    /// `[N]` i64.
    pub labels: Tensor,
    /// Color changes to apply to the pixels.
    pub jitter: Option<ColorJitter>,
    /// `[N]`: positions of the images in the list.
    pub positions: Vec<usize>,
    /// Number of images, N.
    pub count: usize,
    /// Number of images of the batch that could not be read.
    pub skipped: usize,
}

/// Copies the batches of one pass to a CUDA device in advance, while the device computes.
///
/// A separate thread receives batches from the decoders and copies them, so that the training thread only waits if the next batch
/// is not ready.
pub struct Upload {
    /// `None` only during drop.
    copies: Option<Receiver<Result<Copied, StageError>>>,
    thread: Option<JoinHandle<()>>,
}

struct Copied {
    rows: PendingCopy,
    labels: PendingCopy,
    jitter: Option<ColorJitter<PendingCopy>>,
    positions: Vec<usize>,
    count: usize,
    skipped: usize,
}

impl Upload {
    /// Starts the thread, for images of `size` x `size` pixels with labels below `classes`.
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
                let jitter = ColorJitter::new(&batch.colors);
                let jitter = jitter.map(|jitter| jitter.try_map(|tensor| stream.begin(&tensor))).transpose()?;
                Ok(Copied { rows, labels, jitter, positions: batch.positions, count, skipped: batch.skipped.len() })
            };
            for batch in batches.by_ref() {
                // `send` fails when the receiver was dropped.
                if sender.send(batch.map_err(unreadable).and_then(&mut copy)).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("upload".to_owned()).spawn(copy).context("cannot start a thread")?;
        Ok(Self { copies: Some(copies), thread: Some(thread) })
    }

    /// Returns the next batch; `None` after the last one. Its copy to the device may still be in progress on the copy stream, and
    /// the compute stream waits for it.
    pub fn next_batch(&mut self) -> Option<Result<RawBatch, StageError>> {
        let Ok(copied) = self.copies.as_ref()?.recv() else {
            // The channel is closed: by the end of the images, or by a panic of the thread, for example if no pinned memory is left.
            if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
                resume_unwind(panic);
            }
            return None;
        };
        let finish = |Copied { rows, labels, jitter, positions, count, skipped }| {
            let jitter = jitter.map(|jitter| jitter.try_map(PendingCopy::take)).transpose()?;
            Ok(RawBatch { rows: rows.take()?, labels: labels.take()?, jitter, positions, count, skipped })
        };
        Some(copied.and_then(finish))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.copies = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was already reported, and the channel was closed.
            let _ = thread.join();
        }
    }
}
