use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use tfnas_random::{Purpose, Stream};

use crate::{DecodeError, Entry, EvalTransform, ImageList, RgbImage, TrainTransform, decode};

/// Decoded images kept in memory between epochs, in bytes: a small set is decoded once.
const KEEP_BYTES: usize = 256 << 20;

/// Finished batches that each thread may hold ready.
const AHEAD: usize = 2;

/// What an image that cannot be decoded does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadImage {
    /// It ends the loading, named.
    Error,
    /// Its batch is delivered without it.
    Skip,
}

/// Why no batch could be delivered.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read the image {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no image, or a broken one.
    #[error("{path} is not a whole image: {source}")]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A thread ended without delivering.
    #[error("a decoding thread ended without its batch: this is a bug, please report it")]
    Thread,
}

/// Images by list under a root, decoded on demand.
#[derive(Clone)]
pub struct ImageSource(Arc<Source>);

struct Source {
    root: PathBuf,
    entries: Vec<Entry>,
    on_bad: BadImage,
    kept: Vec<OnceLock<RgbImage>>,
    kept_bytes: AtomicUsize,
}

/// What is done to a decoded image.
#[derive(Clone, Debug)]
pub enum Transform {
    /// Augmentation, drawn for (seed, purpose, epoch, place in the list).
    Train {
        /// How.
        transform: TrainTransform,
        /// Seed of the draws.
        seed: u64,
        /// Purpose of the draws.
        purpose: Purpose,
        /// Epoch of the draws.
        epoch: u32,
    },
    /// Resize and centre crop.
    Eval(EvalTransform),
}

/// In which order images come.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// As listed.
    Sequential,
    /// Shuffled anew for each (seed, purpose, epoch, round).
    Shuffled {
        /// Seed of the shuffle.
        seed: u64,
        /// Its purpose.
        purpose: Purpose,
        /// Its epoch.
        epoch: u32,
        /// Which pass over the images within the epoch.
        round: u32,
    },
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    /// Images a batch; the last one may be smaller.
    pub batch: usize,
    /// In which order.
    pub order: Order,
    /// What is done to each image.
    pub transform: Transform,
    /// Batches left out at the beginning: those of an interrupted epoch that are already done.
    pub start_batch: usize,
    /// Threads that decode ahead; 0 decodes where the batches are taken. Changes nothing but speed.
    pub workers: usize,
}

/// Images for one step.
#[derive(Debug, PartialEq, Eq)]
pub struct Batch {
    /// `[N, H, W, 3]` RGB, row by row.
    pub pixels: Vec<u8>,
    /// `[N]`.
    pub labels: Vec<i64>,
    /// Images left out because they could not be decoded, by their paths in the list.
    pub skipped: Vec<String>,
}

impl ImageSource {
    /// The images of `list` under `root`.
    pub fn new(root: &Path, list: &ImageList, on_bad: BadImage) -> Self {
        let entries = list.entries().to_vec();
        let kept = entries.iter().map(|_| OnceLock::new()).collect();
        Self(Arc::new(Source { root: root.to_owned(), entries, on_bad, kept, kept_bytes: AtomicUsize::new(0) }))
    }

    /// Returns the number of images.
    pub fn len(&self) -> usize {
        self.0.entries.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.entries.is_empty()
    }

    /// Starts to make batches. Which images a batch holds, and how they are augmented, depends on the options alone,
    /// never on the number of threads.
    pub fn batches(&self, options: &BatchOptions) -> Batches {
        let mut order: Vec<usize> = (0..self.len()).collect();
        if let Order::Shuffled { seed, purpose, epoch, round } = options.order {
            Stream::new(seed, purpose, epoch, round).shuffle(&mut order);
        }
        let plan = Arc::new(Plan {
            source: self.clone(),
            order,
            batch: options.batch.max(1),
            transform: options.transform.clone(),
            stopped: AtomicBool::new(false),
        });
        let next = options.start_batch;
        let workers = options.workers.min(plan.count().saturating_sub(next));
        let threads = (0..workers)
            .map(|worker| {
                let (sender, receiver) = sync_channel(AHEAD);
                let plan = Arc::clone(&plan);
                std::thread::spawn(move || plan.deliver(next + worker, workers, &sender));
                receiver
            })
            .collect();
        Batches { plan, threads, first: next, next }
    }
}

/// An iterator over batches, in order. Dropping it stops its threads.
pub struct Batches {
    plan: Arc<Plan>,
    threads: Vec<Receiver<Result<Batch, LoadError>>>,
    first: usize,
    next: usize,
}

impl Iterator for Batches {
    type Item = Result<Batch, LoadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.plan.count() {
            return None;
        }
        let index = self.next;
        self.next += 1;
        if self.threads.is_empty() {
            return Some(self.plan.make(index));
        }
        // Thread w makes batches first + w, first + w + threads, …, each in order.
        let thread = &self.threads[(index - self.first) % self.threads.len()];
        Some(thread.recv().unwrap_or(Err(LoadError::Thread)))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        self.plan.stopped.store(true, Ordering::Relaxed);
    }
}

/// All that says which batch holds what.
struct Plan {
    source: ImageSource,
    order: Vec<usize>,
    batch: usize,
    transform: Transform,
    stopped: AtomicBool,
}

impl Plan {
    fn count(&self) -> usize {
        self.order.len().div_ceil(self.batch)
    }

    /// Makes every `step`-th batch from `first` on, until all are made or nobody takes them any more.
    fn deliver(&self, first: usize, step: usize, sender: &SyncSender<Result<Batch, LoadError>>) {
        for index in (first..self.count()).step_by(step) {
            let batch = self.make(index);
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn make(&self, index: usize) -> Result<Batch, LoadError> {
        let start = index * self.batch;
        let positions = &self.order[start..self.order.len().min(start + self.batch)];
        let mut batch = Batch { pixels: Vec::new(), labels: Vec::new(), skipped: Vec::new() };
        for &position in positions {
            if self.stopped.load(Ordering::Relaxed) {
                break;
            }
            let entry = &self.source.0.entries[position];
            match self.source.0.with_image(position, |image| self.transformed(image, position)) {
                Ok(image) => {
                    batch.pixels.reserve(image.pixels.len() * (positions.len() - batch.labels.len()));
                    batch.pixels.extend_from_slice(&image.pixels);
                    batch.labels.push(i64::from(entry.label));
                }
                Err(LoadError::Decode { .. }) if self.source.0.on_bad == BadImage::Skip => {
                    batch.skipped.push(entry.path.clone());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(batch)
    }

    fn transformed(&self, image: &RgbImage, position: usize) -> RgbImage {
        match &self.transform {
            Transform::Train { transform, seed, purpose, epoch } => {
                let mut stream = Stream::new(*seed, *purpose, *epoch, position as u32);
                let parameters = transform.draw(image.width, image.height, &mut stream);
                transform.apply(image, &parameters)
            }
            Transform::Eval(transform) => transform.apply(image),
        }
    }
}

impl Source {
    /// Calls `then` with a decoded image, kept where there is room.
    fn with_image<T>(&self, position: usize, then: impl FnOnce(&RgbImage) -> T) -> Result<T, LoadError> {
        if let Some(image) = self.kept[position].get() {
            return Ok(then(image));
        }
        let path = self.root.join(&self.entries[position].path);
        let bytes = fs::read(&path).map_err(|source| LoadError::Read { path: path.clone(), source })?;
        let image = decode(&bytes).map_err(|source| LoadError::Decode { path, source })?;
        let result = then(&image);
        let size = image.pixels.len();
        if self.kept_bytes.fetch_add(size, Ordering::Relaxed) + size > KEEP_BYTES
            || self.kept[position].set(image).is_err()
        {
            self.kept_bytes.fetch_sub(size, Ordering::Relaxed);
        }
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Writes `count` tiny PNG files of one colour each, two classes in turn.
    fn images(folder: &Path, count: usize) -> ImageList {
        let entries = (0..count)
            .map(|index| {
                let path = format!("{index}.png");
                let image = image::RgbImage::from_pixel(8, 8, image::Rgb([index as u8, 0, 255 - index as u8]));
                image.save(folder.join(&path)).unwrap();
                Entry { path, label: (index % 2) as u32 }
            })
            .collect();
        ImageList::new(entries).unwrap()
    }

    fn options(workers: usize, start_batch: usize) -> BatchOptions {
        BatchOptions {
            batch: 4,
            order: Order::Shuffled { seed: 1, purpose: Purpose::Shuffle, epoch: 2, round: 0 },
            transform: Transform::Eval(EvalTransform { resize: 8, resolution: 8 }),
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
        let source = ImageSource::new(folder.path(), &images(folder.path(), 23), BadImage::Error);
        let alone = collect(&source, &options(0, 0));
        assert_eq!(alone.iter().map(|batch| batch.labels.len()).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 3]);
        for workers in [1, 3, 9] {
            assert_eq!(collect(&source, &options(workers, 0)), alone);
        }
    }

    #[test]
    fn an_epoch_goes_on_where_it_was_left() {
        let folder = tempfile::tempdir().unwrap();
        let source = ImageSource::new(folder.path(), &images(folder.path(), 23), BadImage::Error);
        let whole = collect(&source, &options(2, 0));
        assert_eq!(collect(&source, &options(2, 4)), whole[4..]);
        assert!(collect(&source, &options(2, 6)).is_empty());
    }

    #[test]
    fn a_broken_image_is_named_or_left_out_as_wished() {
        let folder = tempfile::tempdir().unwrap();
        let list = images(folder.path(), 6);
        fs::write(folder.path().join("3.png"), b"no image").unwrap();
        let strict = ImageSource::new(folder.path(), &list, BadImage::Error);
        let error = strict.batches(&options(2, 0)).find_map(Result::err).unwrap().to_string();
        assert!(error.contains("3.png"), "{error}");
        let lenient = ImageSource::new(folder.path(), &list, BadImage::Skip);
        let batches = collect(&lenient, &options(2, 0));
        let skipped: Vec<_> = batches.iter().flat_map(|batch| &batch.skipped).collect();
        assert_eq!(skipped, ["3.png"]);
        assert_eq!(batches.iter().map(|batch| batch.labels.len()).sum::<usize>(), 5);
    }

    #[test]
    fn a_file_that_went_away_is_an_error_even_where_broken_ones_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let list = images(folder.path(), 6);
        fs::remove_file(folder.path().join("2.png")).unwrap();
        let source = ImageSource::new(folder.path(), &list, BadImage::Skip);
        assert!(matches!(source.batches(&options(0, 0)).find_map(Result::err), Some(LoadError::Read { .. })));
    }
}
