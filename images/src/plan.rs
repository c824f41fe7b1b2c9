//! The plan of one pass over images: which images each batch has, and how one batch is made.

use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use tfnas_random::Stream;

use crate::fast::Workspace;
use crate::rgb_image::CHANNELS;
use crate::{Batch, BatchOptions, ColorJitter, CropRule, Decoding, ImageSource, LoadError, Order, Transform};

/// Number of images that a thread processes at a time.
const CHUNK: usize = 16;

/// The assignment of images to batches.
pub(crate) struct Plan {
    source: ImageSource,
    /// Indices in the list, in the order of the epoch, for this process's part only.
    order: Vec<usize>,
    /// Where each batch begins in `order`, and the end.
    bounds: Vec<usize>,
    /// Number of portions per batch. Those of the last batch may be small or empty.
    pub(crate) portions: usize,
    transform: Transform,
    /// Set when the images are no longer wanted, so that threads do not begin another one.
    pub(crate) stopped: AtomicBool,
}

impl Plan {
    pub(crate) fn new(source: ImageSource, options: &BatchOptions) -> Self {
        let mut order: Vec<usize> = (0..source.len()).collect();
        if let Order::Shuffled { seed, purpose, epoch, round } = options.order {
            Stream::new(seed, purpose, epoch, round).shuffle(&mut order);
        }
        let batches = order.chunks(options.batch.max(1));
        let mut part = Vec::with_capacity(order.len());
        let mut bounds = vec![0];
        for batch in batches {
            match options.shard {
                Some(shard) => part.extend(shard.of(batch)),
                None => part.extend_from_slice(batch),
            }
            bounds.push(part.len());
        }
        let largest = bounds.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        let portions = largest.div_ceil(CHUNK).max(1);
        let transform = options.transform.clone();
        Self { source, order: part, bounds, portions, transform, stopped: AtomicBool::new(false) }
    }

    pub(crate) fn batches(&self) -> usize {
        self.bounds.len() - 1
    }

    /// The positions of the images of a batch in `order`.
    pub(crate) fn images_of_batch(&self, index: usize) -> Range<usize> {
        self.bounds[index]..self.bounds[index + 1]
    }

    /// Returns the range in `order` of a portion's images. Portions are numbered over all batches.
    pub(crate) fn images_of_portion(&self, index: usize) -> Range<usize> {
        let batch = self.images_of_batch(index / self.portions);
        let start = (batch.start + index % self.portions * CHUNK).min(batch.end);
        start..(start + CHUNK).min(batch.end)
    }

    /// A batch with room for `images`.
    pub(crate) fn empty_batch(&self, images: usize) -> Batch {
        let resolution = match &self.transform {
            Transform::Train { transform, .. } => transform.resolution,
            Transform::Eval(transform) => transform.resolution,
        };
        Batch {
            pixels: Vec::with_capacity(images * resolution * resolution * CHANNELS),
            labels: Vec::with_capacity(images),
            positions: Vec::with_capacity(images),
            colors: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// Loads and transforms images. Stops early if the batches were dropped.
    pub(crate) fn make(&self, images: Range<usize>) -> Result<Batch, LoadError> {
        let mut batch = self.empty_batch(images.len());
        let mut workspace = Workspace::default();
        for &position in &self.order[images] {
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let entry = self.source.entry(position);
            if self.append(position, &mut workspace, &mut batch)?.is_some() {
                batch.labels.push(i64::from(entry.label));
                batch.positions.push(position);
            } else {
                batch.skipped.push(entry.path.clone());
            }
        }
        Ok(batch)
    }

    /// Appends the transformed image at `position` to the batch: its pixels and deferred color changes. Returns `None` if it is
    /// skipped.
    fn append(&self, position: usize, workspace: &mut Workspace, batch: &mut Batch) -> Result<Option<()>, LoadError> {
        let pixels = &mut batch.pixels;
        let (transform, seed, purpose, epoch, decoding, color_jitter) = match &self.transform {
            Transform::Train { transform, seed, purpose, epoch, decoding, color_jitter } => {
                (transform, *seed, *purpose, *epoch, *decoding, *color_jitter)
            }
            Transform::Eval(transform) => {
                return self.source.with_image(position, &mut workspace.file, |image| {
                    pixels.extend_from_slice(&transform.apply(image).pixels);
                });
            }
        };
        let mut deferred = Vec::new();
        let draw = |width, height| {
            let mut drawn = transform.draw(width, height, &mut Stream::new(seed, purpose, epoch, position as u32));
            if color_jitter == ColorJitter::Deferred {
                deferred = mem::take(&mut drawn.colors);
            }
            drawn
        };
        let made = if decoding == Decoding::Fast && matches!(transform.crop, CropRule::RandomResized { .. }) {
            let made = self.source.train_image(position, transform, draw, workspace)?;
            made.map(|()| workspace.planes.append_to(pixels))
        } else {
            self.source.with_crop(position, &mut workspace.file, draw, |image, drawn| {
                pixels.extend_from_slice(&transform.apply(image, drawn).pixels);
            })?
        };
        if made.is_some() && color_jitter == ColorJitter::Deferred {
            batch.colors.push(deferred);
        }
        Ok(made)
    }
}
