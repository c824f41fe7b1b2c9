//! Batches of decoded and transformed images, prepared by threads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::plan::Plan;
use crate::prefetch::Prefetch;
use crate::{BatchOptions, ColorChange, ImageSource, LoadError};

/// Maximum number of batches prepared before they are taken.
const PREFETCH_BATCHES: usize = 2;

/// The images of one step. The batch is empty if all of them were skipped.
#[derive(Debug, Default, PartialEq)]
pub struct Batch {
    /// `[N, H, W, 3]` RGB, row by row.
    pub pixels: Vec<u8>,
    /// `[N]`.
    pub labels: Vec<i64>,
    /// `[N]`: positions of the images in the list, from 0.
    pub positions: Vec<usize>,
    /// `[N]`: color changes that the receiver applies to each image, in this order; empty unless they are
    /// [deferred](crate::ColorJitter::Deferred).
    pub colors: Vec<Vec<ColorChange>>,
    /// The paths, in the list, of images that were skipped because they could not be decoded.
    pub skipped: Vec<String>,
}

impl ImageSource {
    /// Starts to prepare batches. The images of a batch and their augmentation depend only on the options, not on the
    /// number of threads. At most two batches are kept ready.
    pub fn batches(&self, options: &BatchOptions) -> Batches {
        let plan = Arc::new(Plan::new(self.clone(), options));
        let left = options.start_batch.min(plan.batches())..plan.batches();
        let (portions, ahead) = (left.len() * plan.portions, PREFETCH_BATCHES * plan.portions);
        let (making, first) = (Arc::clone(&plan), left.start * plan.portions);
        let prefetch = Prefetch::new(options.workers, portions, ahead, move |portion| {
            making.make(making.images_of_portion(first + portion))
        });
        Batches { plan, prefetch, left }
    }
}

/// An iterator over batches, in order. It ends after an error. Dropping it stops its threads.
pub struct Batches {
    plan: Arc<Plan>,
    prefetch: Prefetch<Result<Batch, LoadError>>,
    left: Range<usize>,
}

impl Iterator for Batches {
    type Item = Result<Batch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.left.next()?;
        let batch = if self.prefetch.threads() == 0 {
            self.plan.make(self.plan.images_of_batch(index))
        } else {
            self.collect(index)
        };
        if batch.is_err() {
            self.left = 0..0;
        }
        Some(batch)
    }
}

impl Batches {
    /// Joins the portions of a batch.
    fn collect(&mut self, index: usize) -> Result<Batch, LoadError> {
        let mut batch = self.plan.empty_batch(self.plan.images_of_batch(index).len());
        for _ in 0..self.plan.portions {
            let portion = self.prefetch.take().unwrap_or(Err(LoadError::Thread))?;
            batch.pixels.extend_from_slice(&portion.pixels);
            batch.labels.extend(portion.labels);
            batch.positions.extend(portion.positions);
            batch.colors.extend(portion.colors);
            batch.skipped.extend(portion.skipped);
        }
        Ok(batch)
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // The threads are waited for when `prefetch` is dropped: this makes them leave the image they are at.
        self.plan.stopped.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::Path;

    use tfnas_random::StreamId;

    use super::*;
    use crate::{
        BadImage, ColorJitter, CropRule, Decoding, Entry, EvalTransform, ImageList, Order, RgbImage, Shard,
        TrainTransform, Transform,
    };

    /// Writes `count` small images of different colors, alternating between two classes.
    fn images(folder: &Path, count: usize) -> ImageList {
        let entries = (0..count).map(|index| {
            let path = format!("{index}.ppm");
            let color = [index as u8, 0, 255 - index as u8];
            let text = [&b"P6 8 8 255\n"[..], &color.repeat(64)].concat();
            fs::write(folder.join(&path), text).unwrap();
            Entry { path, label: (index % 2) as u32 }
        });
        ImageList::new(entries.collect()).unwrap()
    }

    fn options(workers: usize, batch: usize, start_batch: usize) -> BatchOptions {
        let transform = TrainTransform { resolution: 6, ..TrainTransform::default() };
        BatchOptions {
            batch,
            shard: None,
            order: Order::Shuffled { seed: 1, purpose: StreamId::Shuffle, epoch: 2, round: 0 },
            transform: Transform::Train {
                transform,
                seed: 1,
                purpose: StreamId::Augment,
                epoch: 2,
                decoding: Decoding::Exact,
                color_jitter: ColorJitter::Applied,
            },
            start_batch,
            workers,
        }
    }

    fn collect(source: &ImageSource, options: &BatchOptions) -> Vec<Batch> {
        source.batches(options).map(Result::unwrap).collect()
    }

    #[test]
    fn batches_are_the_same_with_any_number_of_threads() {
        let folder = tempfile::tempdir().unwrap();
        let list = images(folder.path(), 90);
        let source = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
        for (batch, sizes) in [(4, vec![4; 22]), (40, vec![40, 40]), (usize::MAX, vec![])] {
            let alone = collect(&source, &options(0, batch, 0));
            let last = 90 - sizes.iter().sum::<usize>();
            let found: Vec<usize> = alone.iter().map(|batch| batch.labels.len()).collect();
            assert_eq!(found, [sizes, vec![last]].concat());
            assert!(alone.iter().all(|batch| batch.pixels.len() == batch.labels.len() * 6 * 6 * 3));
            for workers in [1, 3, 100] {
                // A new source, so that the images are decoded again.
                let fresh = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
                assert_eq!(collect(&fresh, &options(workers, batch, 0)), alone);
            }
        }
    }

    /// Writes copies of a JPEG file: of 300 images of this size, no more than some fit into memory.
    fn photos(folder: &Path, count: usize, side: usize) -> ImageList {
        let pixels: Vec<u8> = (0..side * side * 3).map(|index| (index * 7 / side % 256) as u8).collect();
        let image = turbojpeg::Image {
            pixels: pixels.as_slice(),
            width: side,
            pitch: side * 3,
            height: side,
            format: turbojpeg::PixelFormat::RGB,
        };
        let bytes = turbojpeg::compress(image, 80, turbojpeg::Subsamp::Sub2x2).unwrap();
        let entries = (0..count).map(|index| {
            let path = format!("{index}.jpg");
            fs::write(folder.join(&path), &*bytes).unwrap();
            Entry { path, label: 0 }
        });
        ImageList::new(entries.collect()).unwrap()
    }

    fn with_decoding(decoding: Decoding, crop: CropRule, workers: usize) -> BatchOptions {
        with_jitter(decoding, ColorJitter::Applied, crop, workers)
    }

    fn with_jitter(decoding: Decoding, color_jitter: ColorJitter, crop: CropRule, workers: usize) -> BatchOptions {
        let transform = TrainTransform { resolution: 20, crop, ..TrainTransform::default() };
        let (seed, purpose, epoch) = (1, StreamId::Augment, 2);
        let transform = Transform::Train { transform, seed, purpose, epoch, decoding, color_jitter };
        BatchOptions { transform, ..options(workers, 50, 0) }
    }

    #[test]
    fn fast_batches_are_the_same_with_any_number_of_threads_and_in_every_pass() {
        let random = CropRule::RandomResized { scale: [0.3, 1.0], ratio: [0.75, 1.33] };
        // Images that are decoded again in every pass, and images that are kept.
        for side in [570, 40] {
            let folder = tempfile::tempdir().unwrap();
            let list = photos(folder.path(), 300, side);
            let source = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
            let alone = collect(&source, &with_decoding(Decoding::Fast, random, 0));
            assert_eq!(collect(&source, &with_decoding(Decoding::Fast, random, 2)), alone);
            let fresh = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
            assert_eq!(collect(&fresh, &with_decoding(Decoding::Fast, random, 5)), alone);
            // A pass that decodes exactly keeps images, which fast passes then find.
            let other = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
            let exact = collect(&other, &with_decoding(Decoding::Exact, random, 2));
            assert_ne!(exact, alone);
            assert_eq!(collect(&other, &with_decoding(Decoding::Fast, random, 2)), alone, "{side}");
        }
    }

    #[test]
    fn exact_batches_are_the_same_whether_images_are_kept_or_decoded_in_part() {
        let folder = tempfile::tempdir().unwrap();
        // So many that an image exceeds four times its share of the memory for kept images.
        let list = photos(folder.path(), 600, 800);
        let first = list.entries()[..50].iter().map(|entry| Entry { path: entry.path.clone(), label: entry.label });
        let few = ImageSource::new(folder.path(), ImageList::new(first.collect()).unwrap(), BadImage::Error);
        let many = ImageSource::new(folder.path(), list, BadImage::Error);
        for crop in
            [CropRule::RandomResized { scale: [0.05, 0.6], ratio: [0.75, 1.33] }, CropRule::Padded { padding: 4 }]
        {
            let pass = |source: &ImageSource| {
                let options = BatchOptions { order: Order::Sequential, ..with_decoding(Decoding::Exact, crop, 2) };
                source.batches(&options).next().unwrap().unwrap()
            };
            let (few, many) = (pass(&few), pass(&many));
            assert!(few.positions == many.positions && few.pixels == many.pixels, "{crop:?}");
        }
    }

    #[test]
    fn padded_crops_are_exact_in_either_mode() {
        let folder = tempfile::tempdir().unwrap();
        let list = photos(folder.path(), 60, 24);
        let padded = CropRule::Padded { padding: 4 };
        let passes = [Decoding::Exact, Decoding::Fast].map(|decoding| {
            let source = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
            collect(&source, &with_decoding(decoding, padded, 2))
        });
        assert_eq!(passes[0], passes[1]);
    }

    #[test]
    fn deferred_color_changes_give_the_same_images_when_they_are_applied() {
        let folder = tempfile::tempdir().unwrap();
        let list = photos(folder.path(), 120, 40);
        // A broken image is skipped, and has no changes.
        fs::write(folder.path().join("70.jpg"), b"no image").unwrap();
        let source = ImageSource::new(folder.path(), list, BadImage::Skip);
        for crop in
            [CropRule::Padded { padding: 4 }, CropRule::RandomResized { scale: [0.3, 1.0], ratio: [0.75, 1.33] }]
        {
            let passes = [ColorJitter::Applied, ColorJitter::Deferred]
                .map(|color_jitter| collect(&source, &with_jitter(Decoding::Exact, color_jitter, crop, 2)));
            let [applied, deferred] = passes;
            for (applied, mut deferred) in applied.into_iter().zip(deferred) {
                assert_eq!(deferred.colors.len(), deferred.labels.len());
                assert_ne!(deferred.pixels, applied.pixels);
                for (pixels, changes) in deferred.pixels.chunks_exact_mut(20 * 20 * 3).zip(&deferred.colors) {
                    let mut image = RgbImage::new(20, 20, pixels.to_vec()).unwrap();
                    assert_eq!(changes.len(), 4);
                    for change in changes {
                        change.apply(&mut image);
                    }
                    pixels.copy_from_slice(&image.pixels);
                }
                assert_eq!(deferred.pixels, applied.pixels);
                assert_eq!((&deferred.positions, &deferred.skipped), (&applied.positions, &applied.skipped));
                assert!(applied.colors.is_empty());
            }
        }
    }

    #[test]
    fn deferred_color_changes_are_the_same_with_fast_decoding() {
        let folder = tempfile::tempdir().unwrap();
        // Images that are decoded again in every pass.
        let source = ImageSource::new(folder.path(), photos(folder.path(), 300, 570), BadImage::Error);
        let crop = CropRule::RandomResized { scale: [0.3, 1.0], ratio: [0.75, 1.33] };
        let [exact, fast] = [Decoding::Exact, Decoding::Fast].map(|decoding| {
            let batches = collect(&source, &with_jitter(decoding, ColorJitter::Deferred, crop, 2));
            batches.into_iter().map(|batch| batch.colors).collect::<Vec<_>>()
        });
        assert_eq!(exact, fast);
    }

    #[test]
    fn each_epoch_has_every_image_once_in_a_new_order() {
        let folder = tempfile::tempdir().unwrap();
        let source = ImageSource::new(folder.path(), images(folder.path(), 50), BadImage::Error);
        let plain = |order| BatchOptions {
            order,
            transform: Transform::Eval(EvalTransform { resize: 1, resolution: 1 }),
            ..options(2, 7, 0)
        };
        let reds = |order| -> Vec<u8> {
            let batches = collect(&source, &plain(order));
            batches.iter().flat_map(|batch| batch.pixels.iter().step_by(3).copied()).collect()
        };
        let listed: Vec<u8> = (0..50).collect();
        assert_eq!(reds(Order::Sequential), listed);
        let shuffled = |epoch, round| reds(Order::Shuffled { seed: 1, purpose: StreamId::Shuffle, epoch, round });
        for other in [shuffled(1, 0), shuffled(0, 1)] {
            assert_ne!(other, shuffled(0, 0));
            let mut sorted = other;
            sorted.sort_unstable();
            assert_eq!(sorted, listed);
        }
    }

    #[test]
    fn epoch_resumes_at_start_batch() {
        let folder = tempfile::tempdir().unwrap();
        let source = ImageSource::new(folder.path(), images(folder.path(), 70), BadImage::Error);
        let full = collect(&source, &options(2, 20, 0));
        for workers in [0, 2] {
            assert_eq!(collect(&source, &options(workers, 20, 2)), full[2..]);
            assert!(collect(&source, &options(workers, 20, 4)).is_empty());
            assert!(collect(&source, &options(workers, 20, usize::MAX)).is_empty());
        }
    }

    #[test]
    fn shards_partition_each_batch() {
        let folder = tempfile::tempdir().unwrap();
        let source = ImageSource::new(folder.path(), images(folder.path(), 50), BadImage::Error);
        let transform = Transform::Eval(EvalTransform { resize: 1, resolution: 1 });
        let reds = |shard| -> Vec<Vec<u8>> {
            let options = BatchOptions { shard, transform: transform.clone(), ..options(2, 9, 0) };
            let batches = collect(&source, &options);
            batches.iter().map(|batch| batch.pixels.iter().step_by(3).copied().collect()).collect()
        };
        let full = reds(None);
        for world_size in [1, 2, 3, 4] {
            for even in [false, true] {
                let parts: Vec<_> = (0..world_size).map(|rank| reds(Some(Shard { rank, world_size, even }))).collect();
                for (number, batch) in full.iter().enumerate() {
                    let joined: Vec<u8> = parts.iter().flat_map(|part| part[number].clone()).collect();
                    let repeated = if even { batch.len().next_multiple_of(world_size) - batch.len() } else { 0 };
                    let expected: Vec<u8> = batch.iter().chain(batch.iter().cycle().take(repeated)).copied().collect();
                    assert_eq!(joined, expected, "batch {number} on {world_size} processes");
                    assert!(!even || parts.iter().all(|part| part[number].len() == parts[0][number].len()));
                }
            }
        }
    }

    #[test]
    fn broken_image_is_an_error_or_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let list = images(folder.path(), 60);
        fs::write(folder.path().join("3.ppm"), b"no image").unwrap();
        for workers in [0, 2] {
            let strict = ImageSource::new(folder.path(), list.clone(), BadImage::Error);
            let mut batches = strict.batches(&options(workers, 20, 0)).skip_while(Result::is_ok);
            let text = batches.next().unwrap().unwrap_err().to_string();
            assert!(text.contains("3.ppm"), "{text}");
            assert!(batches.next().is_none());
            let lenient = ImageSource::new(folder.path(), list.clone(), BadImage::Skip);
            let batches = collect(&lenient, &options(workers, 20, 0));
            let skipped: Vec<_> = batches.iter().flat_map(|batch| &batch.skipped).collect();
            assert_eq!(skipped, ["3.ppm"]);
            assert_eq!(batches.iter().map(|batch| batch.labels.len()).sum::<usize>(), 59);
        }
    }

    #[test]
    fn batch_of_broken_images_keeps_its_position() {
        let folder = tempfile::tempdir().unwrap();
        let list = images(folder.path(), 9);
        for index in 3..6 {
            fs::write(folder.path().join(format!("{index}.ppm")), b"no image").unwrap();
        }
        let source = ImageSource::new(folder.path(), list.clone(), BadImage::Skip);
        let batches = collect(&source, &BatchOptions { order: Order::Sequential, ..options(2, 3, 0) });
        assert_eq!(batches.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [3, 0, 3]);
        assert_eq!(batches[1].skipped, ["3.ppm", "4.ppm", "5.ppm"]);
    }
}
