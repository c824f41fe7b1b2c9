//! From lists and folders to the batches that a step reads.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tch::{Device, Tensor};
use tfnas_images::{
    BadImage, Batch, BatchOptions, Batches, CropRule, Entry, EvalTransform, ExifOrientation, ImageList, ImageSource,
    LoadError, Order, Reading, TrainTransform, Transform, parse_classes, scan_known_classes,
};
use tfnas_stages::{Augment, Crop, ExifOrientation as OrientationChoice, OnBadImage, TEST_LIST};
use tfnas_torch::preprocess::Preprocess;

use crate::context::StageContext;
use crate::error::{Context as _, StageError};
use crate::upload::{RawBatch, Upload};

/// Reads the class names at a port.
pub fn classes(context: &StageContext, port: &str) -> Result<Vec<String>, StageError> {
    parse_classes(&context.read_text(port)?, port).context(port)
}

/// The images of a split's list, which lie under the training images' root.
pub fn listed(context: &StageContext, port: &str, reading: Reading) -> Result<ImageSource, StageError> {
    let list = ImageList::parse(&context.read_text(port)?, port).context(port)?;
    Ok(ImageSource::new(&context.input("train_images")?.path, &list, reading))
}

/// The test images, labelled in the order of `classes`; those of other classes are left out.
pub fn test_images(context: &StageContext, classes: &[String], reading: Reading) -> Result<ImageSource, StageError> {
    let (root, list) = if context.job().inputs.contains_key(TEST_LIST) {
        let images = context.input("train_images")?;
        let list = ImageList::parse(&context.read_text(TEST_LIST)?, TEST_LIST).context(TEST_LIST)?;
        // Class folders may be a choice of those that were drawn from, and have other labels.
        let list = if images.list.is_none() { labelled(&list, classes)? } else { list };
        (&images.path, list)
    } else {
        let images = context.input("test_images")?;
        let list = match &images.list {
            Some(list) => known(&ImageList::read(list, &images.path).context("data.test")?, classes.len())?,
            None => scan_known_classes(&images.path, classes).context("data.test")?,
        };
        (&images.path, list)
    };
    Ok(ImageSource::new(root, &list, reading))
}

/// The classes of which there are no images.
pub fn untested(source: &ImageSource, classes: &[String]) -> Vec<String> {
    let tested: HashSet<u32> = source.labels().collect();
    let without = classes.iter().zip(0u32..).filter(|(_, label)| !tested.contains(label));
    without.map(|(name, _)| name.clone()).collect()
}

/// The images of these classes, by the names of their folders.
fn labelled(list: &ImageList, classes: &[String]) -> Result<ImageList, StageError> {
    let labels: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let entries = list.entries().iter().filter_map(|entry| {
        let label = *labels.get(entry.path.split('/').next()?)?;
        Some(Entry { path: entry.path.clone(), label })
    });
    ImageList::new(entries.collect()).context("the test images of these classes")
}

/// The images of labels that the network knows.
fn known(list: &ImageList, classes: usize) -> Result<ImageList, StageError> {
    let entries = list.entries().iter().filter(|entry| (entry.label as usize) < classes);
    ImageList::new(entries.cloned().collect()).context("data.test: images of the training classes")
}

/// How the configuration wants images to be read.
pub fn reading(on_bad: OnBadImage, orientation: OrientationChoice) -> Reading {
    Reading {
        on_bad: match on_bad {
            OnBadImage::Error => BadImage::Error,
            OnBadImage::Skip => BadImage::Skip,
        },
        orientation: exif_orientation(orientation),
    }
}

/// What the configuration wants done about the orientation of photos.
pub fn exif_orientation(choice: OrientationChoice) -> ExifOrientation {
    match choice {
        OrientationChoice::Ignore => ExifOrientation::Ignore,
        OrientationChoice::Apply => ExifOrientation::Apply,
    }
}

/// The configuration's augmentation, at this resolution.
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

/// Options for a pass over images in order, resized and cropped.
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
    /// N.
    pub count: usize,
    /// How many more there would be had all been readable.
    pub skipped: usize,
}

impl DeviceBatch {
    /// The batch with as many images as it would have had all been readable: the first ones come again in their place, so that
    /// every rank does its part of a step.
    ///
    /// # Errors
    /// If none could be read.
    pub fn padded(self) -> Result<Self, StageError> {
        if self.skipped == 0 {
            return Ok(self);
        }
        if self.count == 0 {
            return Err(StageError::with_hint(
                format!("none of the {} images that this rank has in a step could be read", self.skipped),
                "repair or remove them, or train with a larger batch or on fewer ranks",
            ));
        }
        let planned = self.count + self.skipped;
        let places: Vec<i64> = (0..planned).map(|place| (place % self.count) as i64).collect();
        let positions = (0..planned).map(|place| self.positions[place % self.count]).collect();
        let places = Tensor::from_slice(&places).to_device(self.images.device());
        // The memory's own order is [N, H, W, 3], and stays so.
        let images = self.images.permute([0, 2, 3, 1]).index_select(0, &places).permute([0, 3, 1, 2]);
        Ok(Self { images, labels: self.labels.index_select(0, &places), positions, ..self })
    }
}

/// Batches of one pass, normalized on the device.
pub struct LoaderIter<'a> {
    source: Source,
    feeder: &'a DataLoader,
    waited: Duration,
}

enum Source {
    /// Batches that are normalized where they were decoded.
    OnHost(Batches),
    /// Batches that are copied to the device ahead of their use.
    Uploaded(Upload),
    /// The reason why there are none.
    Failed(Option<StageError>),
}

/// Normalizes images of one resolution for one number of classes.
pub struct DataLoader {
    preprocess: Preprocess,
    resolution: usize,
    device: Device,
    classes: usize,
}

impl DataLoader {
    /// For images of `resolution` pixels a side and labels below `classes`.
    pub fn new(resolution: usize, classes: usize, device: Device) -> Self {
        Self { preprocess: Preprocess::new(resolution, device), resolution, device, classes }
    }

    /// The device that batches are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// One pass over images.
    pub fn feed(&self, source: &ImageSource, options: &BatchOptions) -> LoaderIter<'_> {
        let batches = source.batches(options);
        let source = if self.device.is_cuda() {
            match Upload::start(batches, self.device, self.resolution, self.classes) {
                Ok(upload) => Source::Uploaded(upload),
                Err(error) => Source::Failed(Some(error)),
            }
        } else {
            Source::OnHost(batches)
        };
        LoaderIter { source, feeder: self, waited: Duration::ZERO }
    }
}

impl LoaderIter<'_> {
    /// Returns how long the caller has waited for images so far.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    fn on_device(&self, batch: Batch) -> Result<DeviceBatch, StageError> {
        let (count, skipped) = (batch.labels.len(), batch.skipped.len());
        let DataLoader { preprocess, classes, .. } = self.feeder;
        let images = preprocess.images(&batch.pixels, count).context("batch")?;
        let labels = preprocess.labels(&batch.labels, *classes).context("batch")?;
        Ok(DeviceBatch { images, labels, positions: batch.positions, count, skipped })
    }
}

impl Iterator for LoaderIter<'_> {
    type Item = Result<DeviceBatch, StageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        match &mut self.source {
            Source::OnHost(batches) => {
                let batch = batches.next()?.map_err(unreadable);
                self.waited += start.elapsed();
                Some(batch.and_then(|batch| self.on_device(batch)))
            }
            Source::Uploaded(upload) => {
                let batch = upload.take()?;
                self.waited += start.elapsed();
                Some(batch.map(|RawBatch { rows, labels, positions, count, skipped }| {
                    let images = self.feeder.preprocess.normalize(&rows);
                    DeviceBatch { images, labels, positions, count, skipped }
                }))
            }
            Source::Failed(error) => error.take().map(Err),
        }
    }
}

/// The error for an image that cannot be read.
pub fn unreadable(error: LoadError) -> StageError {
    StageError::with_hint(error.to_string(), "repair or remove the file, or set data.on_bad_image: skip")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn drawn_test_images_are_those_of_the_chosen_classes_with_their_labels() {
        let list = ImageList::parse("cat/1.jpg 0\ndog/a/1.jpg 1\nfox/1.jpg 2\n", "list").unwrap();
        let classes = ["fox".to_owned(), "cat".to_owned()];
        assert_eq!(labelled(&list, &classes).unwrap().to_text(), "cat/1.jpg 1\nfox/1.jpg 0\n");
        assert!(labelled(&list, &["owl".to_owned()]).is_err());
    }

    #[test]
    fn test_images_of_labels_beyond_the_classes_are_left_out() {
        let list = ImageList::parse("a.jpg 2\nb.jpg 1\n", "list").unwrap();
        assert_eq!(known(&list, 2).unwrap().to_text(), "b.jpg 1\n");
        assert!(known(&list, 1).is_err());
    }
}
