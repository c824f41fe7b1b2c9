use tfnas_images::{BatchOptions, ImageSource, Order};
use tfnas_random::StreamId;

use crate::error::StageError;
use crate::images::{DataLoader, DeviceBatch, LoaderIter};

/// Batches of the images that train the architecture: round after round within an epoch, each shuffled anew.
pub struct ValLoader<'a> {
    feeder: &'a DataLoader,
    source: &'a ImageSource,
    options: BatchOptions,
    seed: u64,
    epoch: u32,
    round: u32,
    feed: LoaderIter<'a>,
}

impl<'a> ValLoader<'a> {
    /// The batches of an epoch from the one of this number on.
    pub fn new(
        feeder: &'a DataLoader,
        source: &'a ImageSource,
        mut options: BatchOptions,
        seed: u64,
        epoch: u32,
        first: usize,
    ) -> Self {
        let a_round = source.len().div_ceil(options.batch).max(1);
        let round = (first / a_round) as u32;
        options.start_batch = first % a_round;
        options.order = order(seed, epoch, round);
        let feed = feeder.feed(source, &options);
        Self { feeder, source, options, seed, epoch, round, feed }
    }

    /// Returns the next batch that holds an image.
    ///
    /// # Errors
    /// If an image cannot be read, or none can.
    pub fn next(&mut self) -> Result<DeviceBatch, StageError> {
        let mut new_rounds = 0;
        loop {
            match self.feed.next() {
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
                    self.feed = self.feeder.feed(self.source, &self.options);
                }
            }
        }
    }
}

fn order(seed: u64, epoch: u32, round: u32) -> Order {
    Order::Shuffled { seed, purpose: StreamId::ArchitectureShuffle, epoch, round }
}
