//! Loads the images for the architecture steps of a search.

use tfnas_images::{BatchOptions, ImageSource, Order};
use tfnas_random::StreamId;

use crate::error::StageError;
use crate::images::{DataLoader, DeviceBatch, LoaderIter};

/// Loads batches of the images that train the architecture. When all have been used, it starts a new round with a new order.
pub struct ValLoader<'a> {
    loader: &'a DataLoader,
    source: &'a ImageSource,
    options: BatchOptions,
    seed: u64,
    epoch: u32,
    round: u32,
    batches: LoaderIter<'a>,
    /// Number of batches of the epoch that were taken, with those that were empty.
    taken: usize,
}

impl<'a> ValLoader<'a> {
    /// Starts at the batch number `first` of an epoch.
    pub fn new(
        loader: &'a DataLoader,
        source: &'a ImageSource,
        mut options: BatchOptions,
        seed: u64,
        epoch: u32,
        first: usize,
    ) -> Self {
        let batches_per_round = source.len().div_ceil(options.batch).max(1);
        let round = (first / batches_per_round) as u32;
        options.start_batch = first % batches_per_round;
        options.order = order(seed, epoch, round);
        let batches = loader.iter(source, &options);
        Self { loader, source, options, seed, epoch, round, batches, taken: first }
    }

    /// Returns the number of batches of the epoch that were taken so far: where another loader continues.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Returns the next batch that is not empty.
    ///
    /// # Errors
    /// Returns an error if an image cannot be read and must not be skipped, or if no image can be read.
    pub fn next(&mut self) -> Result<DeviceBatch, StageError> {
        let mut new_rounds = 0;
        loop {
            let next = self.batches.next();
            self.taken += usize::from(next.is_some());
            match next {
                // All ranks take the same steps.
                Some(Ok(batch)) if self.options.shard.is_some() => return batch.padded(),
                Some(Ok(batch)) if batch.count == 0 => {}
                Some(batch) => return batch,
                None if new_rounds == 2 => {
                    return Err(StageError::new("none of the images that train the architecture could be read"));
                }
                None => {
                    new_rounds += 1;
                    self.round += 1;
                    self.options.start_batch = 0;
                    self.options.order = order(self.seed, self.epoch, self.round);
                    self.batches = self.loader.iter(self.source, &self.options);
                }
            }
        }
    }
}

fn order(seed: u64, epoch: u32, round: u32) -> Order {
    Order::Shuffled { seed, purpose: StreamId::ArchitectureShuffle, epoch, round }
}
