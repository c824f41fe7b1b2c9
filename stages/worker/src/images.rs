//! Reads image lists and folders, and loads batches to the device.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use tfnas_images::{
    BadImage, Batch, BatchOptions, Batches, ColorJitter as JitterPlace, CropRule, Decoding, Entry, EvalTransform,
    ExifOrientation, ImageList, ImageSource, LoadError, Order, Reading, TrainTransform, Transform, parse_classes,
    scan_known_classes,
};
use tfnas_stages::{
    Augment, ColorJitter as JitterChoice, Crop, Decoding as DecodingChoice, ExifOrientation as OrientationChoice,
    OnBadImage, TEST_LIST,
};
use tfnas_torch::BatchTooSmall;
use tfnas_torch::phase::{Phase, in_phase};
use tfnas_torch::preprocess::{Preprocess, pixel_rows};

use crate::color_jitter::ColorJitter;
use crate::context::StageContext;
use crate::error::{Context as _, StageError};
use crate::upload::{RawBatch, Upload};

/// Returns the error for an epoch without a training step.
///
/// * `skipped`: the number of images that could not be read.
pub fn no_step(skipped: usize) -> StageError {
    if skipped == 0 {
        // Images were read, but every batch was too small.
        return StageError::new(BatchTooSmall.to_string());
    }
    StageError::new("none of the training images could be read")
}

/// Reads the class names from an input.
pub fn classes(context: &StageContext, port: &str) -> Result<Vec<String>, StageError> {
    parse_classes(&context.read_text(port)?, port).context(port)
}

/// Returns the images of a list that `split` wrote. Its paths are relative to the folder of the training images.
pub fn list_images(context: &StageContext, port: &str, reading: Reading) -> Result<ImageSource, StageError> {
    let list = ImageList::parse(&context.read_text(port)?, port).context(port)?;
    Ok(ImageSource::new(&context.input("train_images")?.path, list, reading))
}

/// Returns the test images with labels in the order of `classes`, without images of other classes.
pub fn test_images(context: &StageContext, classes: &[String], reading: Reading) -> Result<ImageSource, StageError> {
    let (root, list) = if context.job().inputs.contains_key(TEST_LIST) {
        let images = context.input("train_images")?;
        let list = ImageList::parse(&context.read_text(TEST_LIST)?, TEST_LIST).context(TEST_LIST)?;
        // With class folders, `classes` may be a subset of the classes of the list and have other labels.
        let list = if images.list.is_none() { relabel(&list, classes)? } else { list };
        (&images.path, list)
    } else {
        let images = context.input("test_images")?;
        let list = match &images.list {
            Some(list) => with_known_labels(&ImageList::read(list, &images.path).context("data.test")?, classes.len())?,
            None => scan_known_classes(&images.path, classes).context("data.test")?,
        };
        (&images.path, list)
    };
    Ok(ImageSource::new(root, list, reading))
}

/// Returns the classes that have no images.
pub fn untested_classes(source: &ImageSource, classes: &[String]) -> Vec<String> {
    let tested: HashSet<u32> = source.labels().collect();
    let without = classes.iter().zip(0u32..).filter(|(_, label)| !tested.contains(label));
    without.map(|(name, _)| name.clone()).collect()
}

/// Returns the images of these classes, relabeled by the names of their folders.
fn relabel(list: &ImageList, classes: &[String]) -> Result<ImageList, StageError> {
    let labels: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let entries = list.entries().iter().filter_map(|entry| {
        let label = *labels.get(entry.path.split('/').next()?)?;
        Some(Entry { path: entry.path.clone(), label })
    });
    ImageList::new(entries.collect()).context("the test images of these classes")
}

/// Returns the images with labels below `classes`.
fn with_known_labels(list: &ImageList, classes: usize) -> Result<ImageList, StageError> {
    let entries = list.entries().iter().filter(|entry| (entry.label as usize) < classes);
    ImageList::new(entries.cloned().collect()).context("data.test: images of the training classes")
}

/// Converts the configuration's options for reading images.
pub fn reading(on_bad: OnBadImage, orientation: OrientationChoice) -> Reading {
    Reading {
        on_bad: match on_bad {
            OnBadImage::Error => BadImage::Error,
            OnBadImage::Skip => BadImage::Skip,
        },
        orientation: exif_orientation(orientation),
    }
}

/// Converts the configuration's option for the EXIF orientation.
pub fn exif_orientation(choice: OrientationChoice) -> ExifOrientation {
    match choice {
        OrientationChoice::Ignore => ExifOrientation::Ignore,
        OrientationChoice::Apply => ExifOrientation::Apply,
    }
}

/// Converts the configuration's augmentation, for a crop of `resolution` pixels.
pub fn train_transform(augment: &Augment, resolution: usize) -> TrainTransform {
    TrainTransform {
        resolution,
        crop: match augment.crop {
            Crop::RandomResized => CropRule::RandomResized { scale: augment.scale, ratio: augment.ratio },
            Crop::Padded => CropRule::Padded { padding: augment.padding },
        },
        flip: augment.flip,
        brightness: augment.brightness,
        contrast: augment.contrast,
        saturation: augment.saturation,
        hue: augment.hue,
    }
}

/// Converts the configuration's option for decoding training images.
pub fn decoding(choice: DecodingChoice) -> Decoding {
    match choice {
        DecodingChoice::Exact => Decoding::Exact,
        DecodingChoice::Fast => Decoding::Fast,
    }
}

/// Converts the configuration's option for the place of the color jitter.
pub fn color_jitter(choice: JitterChoice) -> JitterPlace {
    match choice {
        JitterChoice::Workers => JitterPlace::Applied,
        JitterChoice::Device => JitterPlace::Deferred,
    }
}

/// Returns options for a pass over images in list order, resized and center-cropped.
pub fn evaluation(resize: usize, resolution: usize, batch: usize, workers: usize) -> BatchOptions {
    BatchOptions {
        batch,
        shard: None,
        order: Order::Sequential,
        transform: Transform::Eval(EvalTransform { resize, resolution }),
        start_batch: 0,
        workers,
    }
}

/// A batch on the device.
pub struct DeviceBatch {
    /// `[N, 3, H, W]` f32, channels-last.
    pub images: Tensor,
    /// `[N]` i64.
    pub labels: Tensor,
    /// `[N]`: positions of the images in the list.
    pub positions: Vec<usize>,
    /// Number of images that could be read: N, unless the batch is padded.
    pub count: usize,
    /// Number of images of the batch that could not be read.
    pub skipped: usize,
}

impl DeviceBatch {
    /// Returns the rows of the images that could be read, without those that repeat others ([`padded`](Self::padded)).
    ///
    /// * `rows`: one row for each image, `[N, …]`.
    pub fn read(&self, rows: &Tensor) -> Tensor {
        rows.narrow(0, 0, self.count as i64)
    }

    /// Replaces images that could not be read by repeating the others, so that every rank takes part in a step with the same
    /// number of images.
    ///
    /// # Errors
    /// Returns an error if no image of the batch could be read.
    pub fn padded(self) -> Result<Self, StageError> {
        if self.skipped == 0 {
            return Ok(self);
        }
        if self.count == 0 {
            return Err(StageError::with_hint(
                format!("none of this rank's {} images of a step could be read", self.skipped),
                "repair or remove them, or use a larger batch or fewer ranks",
            ));
        }
        let planned = self.count + self.skipped;
        let places: Vec<i64> = (0..planned).map(|place| (place % self.count) as i64).collect();
        let positions = (0..planned).map(|place| self.positions[place % self.count]).collect();
        let places = Tensor::from_slice(&places).to_device(self.images.device());
        // Select in the memory order [N, H, W, 3], to keep the batch channels-last.
        let images = self.images.permute([0, 2, 3, 1]).index_select(0, &places).permute([0, 3, 1, 2]);
        Ok(Self { images, labels: self.labels.index_select(0, &places), positions, ..self })
    }
}

/// Iterator over the normalized batches of one pass.
pub struct LoaderIter<'a> {
    source: Source,
    loader: &'a DataLoader,
}

enum Source {
    /// Batches in host memory.
    OnHost(Batches),
    /// Batches that are copied to the device in advance.
    Uploaded(Upload),
    /// The pass could not be started; the error is returned once.
    Failed(Option<StageError>),
}

/// Loads batches of images to a device and normalizes them.
pub struct DataLoader {
    preprocess: Preprocess,
    resolution: usize,
    device: Device,
    classes: usize,
    created: Instant,
    /// Total time that the stage has waited for images.
    waited: Cell<Duration>,
}

impl DataLoader {
    /// Creates a loader for images of `resolution` x `resolution` pixels with labels below `classes`.
    pub fn new(resolution: usize, classes: usize, device: Device) -> Self {
        let preprocess = Preprocess::new(resolution, device);
        Self { preprocess, resolution, device, classes, created: Instant::now(), waited: Cell::default() }
    }

    /// Returns the total time that passes have waited for images.
    pub fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Returns the share of the time since the loader was created that passes have waited for images.
    pub fn waiting_share(&self) -> f64 {
        self.waited().as_secs_f64() / self.created.elapsed().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Waits for the next batch of a pass.
    fn wait<T>(&self, next: impl FnOnce() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let batch = in_phase(Phase::Data, next);
        self.waited.set(self.waited() + start.elapsed());
        batch
    }

    /// Applies deferred color changes and normalizes. Returns `[N, 3, H, W]` f32, channels-last.
    ///
    /// * `rows`: `[N * H, W * 3]` u8, on any device.
    /// * `jitter`: on the device of this loader.
    fn preprocess(&self, rows: &Tensor, jitter: Option<&ColorJitter>) -> Tensor {
        let Some(jitter) = jitter else {
            return self.preprocess.normalize(rows);
        };
        let size = self.resolution as i64;
        let images = rows.to_device(self.device).to_kind(Kind::Float).view([-1, size, size, 3]);
        self.preprocess.normalize_values(jitter.apply(&images).view([-1, size * 3]))
    }

    /// Returns the device of the batches.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Starts one pass over images.
    pub fn iter(&self, source: &ImageSource, options: &BatchOptions) -> LoaderIter<'_> {
        let batches = source.batches(options);
        let source = if self.device.is_cuda() {
            match Upload::start(batches, self.device, self.resolution, self.classes) {
                Ok(upload) => Source::Uploaded(upload),
                Err(error) => Source::Failed(Some(error)),
            }
        } else {
            Source::OnHost(batches)
        };
        LoaderIter { source, loader: self }
    }
}

impl LoaderIter<'_> {
    fn on_device(&self, batch: Batch) -> Result<DeviceBatch, StageError> {
        let (count, skipped) = (batch.labels.len(), batch.skipped.len());
        let DataLoader { preprocess, classes, resolution, .. } = self.loader;
        let rows = pixel_rows(&batch.pixels, count, *resolution).context("batch")?;
        let images = self.loader.preprocess(&rows, ColorJitter::new(&batch.colors).as_ref());
        let labels = preprocess.labels(&batch.labels, *classes).context("batch")?;
        Ok(DeviceBatch { images, labels, positions: batch.positions, count, skipped })
    }
}

impl Iterator for LoaderIter<'_> {
    type Item = Result<DeviceBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::OnHost(batches) => {
                let batch = self.loader.wait(|| batches.next())?.map_err(unreadable);
                Some(batch.and_then(|batch| self.on_device(batch)))
            }
            Source::Uploaded(upload) => {
                let batch = self.loader.wait(|| upload.next_batch())?;
                Some(batch.map(|RawBatch { rows, labels, jitter, positions, count, skipped }| {
                    let images = self.loader.preprocess(&rows, jitter.as_ref());
                    DeviceBatch { images, labels, positions, count, skipped }
                }))
            }
            Source::Failed(error) => error.take().map(Err),
        }
    }
}

/// Converts the error for an image that cannot be read.
pub fn unreadable(error: LoadError) -> StageError {
    StageError::with_hint(error.to_string(), "repair or remove the file, or set data.on_bad_image: skip")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn drawn_test_images_are_restricted_to_the_classes_and_relabeled() {
        let list = ImageList::parse("cat/1.jpg 0\ndog/a/1.jpg 1\nfox/1.jpg 2\n", "list").unwrap();
        let classes = ["fox".to_owned(), "cat".to_owned()];
        assert_eq!(relabel(&list, &classes).unwrap().to_text(), "cat/1.jpg 1\nfox/1.jpg 0\n");
        assert!(relabel(&list, &["owl".to_owned()]).is_err());
    }

    #[test]
    fn test_images_with_unknown_labels_are_left_out() {
        let list = ImageList::parse("a.jpg 2\nb.jpg 1\n", "list").unwrap();
        assert_eq!(with_known_labels(&list, 2).unwrap().to_text(), "b.jpg 1\n");
        assert!(with_known_labels(&list, 1).is_err());
    }
}
