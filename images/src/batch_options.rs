//! How batches of images are made.

use tfnas_random::StreamId;

use crate::{EvalTransform, TrainTransform};

/// The transform of a decoded image.
#[derive(Clone, Debug)]
pub enum Transform {
    /// Augmentation, drawn for (seed, purpose, epoch, place in the list).
    Train {
        /// How.
        transform: TrainTransform,
        /// Seed of the draws.
        seed: u64,
        /// StreamId of the draws.
        purpose: StreamId,
        /// Epoch of the draws.
        epoch: u32,
        /// How exactly.
        decoding: Decoding,
        /// Who changes the colors.
        color_jitter: ColorJitter,
    },
    /// Resize and center crop.
    Eval(EvalTransform),
}

/// How training images are decoded, resized and changed in color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoding {
    /// Byte for byte like Pillow and torchvision.
    #[default]
    Exact,
    /// With the same crops and factors, but faster: JPEG files are decoded at the smallest scale of 1/8, 1/4, 1/2 and 1
    /// at which the crop has the resolution, colors of a lower resolution are not interpolated, resizing has weights of
    /// 14 bits, and changes of hue do not round to HSV bytes. Images that are kept in memory between epochs are decoded
    /// exactly. [`CropRule::Padded`](crate::CropRule::Padded) is always exact.
    ///
    /// The bytes do not depend on the number of threads or the machine, but on the version of libjpeg-turbo, and on
    /// whether the images of the list fit into memory.
    Fast,
}

/// Who applies the color changes that are drawn for a training image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorJitter {
    /// The thread that decodes the image.
    #[default]
    Applied,
    /// The receiver of the batch, which finds them in [`Batch::colors`](crate::Batch::colors).
    Deferred,
}

/// In which order images come.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// As listed.
    Sequential,
    /// Shuffled again for each (seed, purpose, epoch, round).
    Shuffled {
        /// Seed of the shuffle.
        seed: u64,
        /// Its purpose.
        purpose: StreamId,
        /// Its epoch.
        epoch: u32,
        /// Which pass over the images within the epoch.
        round: u32,
    },
}

/// The part of every batch that one of several processes has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Number of the process, from 0.
    pub rank: usize,
    /// Number of parts. At least 1.
    pub world_size: usize,
    /// Whether all parts of a batch have the same number of images. If necessary, the first images of the batch are
    /// repeated at its end. Otherwise every image is used once, and a part may be empty.
    pub even: bool,
}

impl Shard {
    /// The part of a batch of images.
    pub(crate) fn of(self, batch: &[usize]) -> impl Iterator<Item = usize> + '_ {
        let Self { rank, world_size, even } = self;
        let count = batch.len().div_ceil(world_size);
        let end = (rank + 1) * count;
        let end = if even { end } else { end.min(batch.len()) };
        (rank * count..end).map(|index| batch[index % batch.len()])
    }
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Number of images per batch. The last batch may be smaller.
    pub batch: usize,
    /// The part of each batch to make, or `None` for complete batches.
    pub shard: Option<Shard>,
    /// In which order.
    pub order: Order,
    /// The transform of each image.
    pub transform: Transform,
    /// Number of batches to skip at the beginning: the finished batches of an interrupted epoch.
    pub start_batch: usize,
    /// Number of decoding threads. With 0, batches are decoded when they are taken. It affects only the speed.
    pub workers: usize,
}
