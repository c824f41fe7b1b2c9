//! Examines a folder of images for `init FOLDER`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tfnas_images::{ExifOrientation, read_image, scan};
use tfnas_planner::config::data::test_folders;
use tfnas_stages::{DataSection, SplitSection};

use crate::error::CommandError;

/// Maximum number of images that are decoded to determine size, orientation and decoding time. They are spread over all
/// classes.
const SAMPLED: usize = 100;

/// The properties of a folder of images.
pub struct Survey {
    /// Folder of the training images relative to the root; `None` if the class folders are directly in the root.
    pub train: Option<String>,
    /// Folder of the test images relative to the root; `None` if they must be drawn from the training images.
    pub test: Option<String>,
    /// Number of training images by class.
    pub classes: BTreeMap<String, usize>,
    /// Number of files by lower-case extension.
    pub formats: BTreeMap<String, usize>,
    /// Median of the shorter sides of the sampled images, in pixels.
    pub short_side: usize,
    /// Number of sampled images that can be read.
    pub sampled: usize,
    /// Number of sampled images that are rotated according to their EXIF orientation.
    pub turned: usize,
    /// Number of sampled images that cannot be read, and the error of the first one; `None` if there are none.
    pub unreadable: Option<(usize, String)>,
    /// Time to read and decode an image in one thread, in seconds.
    pub decode_s: f64,
}

impl Survey {
    /// Examines a folder.
    ///
    /// # Errors
    /// Returns an error if it is not a folder of class folders, or if no sampled image can be read.
    pub fn of(root: &Path) -> Result<Self, CommandError> {
        if !root.is_dir() {
            return Err(CommandError::usage(format!("{} is not a folder", root.display())).with_hint(
                "name a folder that has one folder of images per class; `init FILE.yaml` writes a template instead",
            ));
        }
        let train = root.join(DataSection::TRAIN).is_dir().then(|| DataSection::TRAIN.to_owned());
        let test = match &train {
            Some(_) => test_folders(root).into_iter().next(),
            None => None,
        };
        let images = train.as_ref().map_or_else(|| root.to_owned(), |train| root.join(train));
        let found = scan(&images).map_err(|error| {
            CommandError::usage(error.to_string())
                .with_hint("put the images of each class into a separate folder: FOLDER/CLASS/image.jpg")
        })?;
        let mut classes: BTreeMap<String, usize> = found.classes.iter().map(|class| (class.clone(), 0)).collect();
        let mut formats = BTreeMap::new();
        for entry in found.list.entries() {
            if let Some(count) = classes.get_mut(&found.classes[entry.label as usize]) {
                *count += 1;
            }
            let extension = Path::new(&entry.path).extension().map(|end| end.to_string_lossy().to_lowercase());
            *formats.entry(extension.unwrap_or_default()).or_default() += 1;
        }
        let step = found.list.len().div_ceil(SAMPLED).max(1);
        let sample = found.list.entries().iter().step_by(step).map(|entry| images.join(&entry.path));
        let mut survey = Self {
            train,
            test,
            classes,
            formats,
            short_side: 0,
            sampled: 0,
            turned: 0,
            unreadable: None,
            decode_s: 0.0,
        };
        survey.look_at(sample)?;
        Ok(survey)
    }

    fn look_at(&mut self, images: impl Iterator<Item = PathBuf>) -> Result<(), CommandError> {
        let mut sides = Vec::new();
        let mut spent_s = 0.0;
        for path in images {
            let start = Instant::now();
            let read = read_image(&path, ExifOrientation::Ignore);
            spent_s += start.elapsed().as_secs_f64();
            match read {
                Ok(image) => {
                    sides.push(image.width.min(image.height));
                    let upright = read_image(&path, ExifOrientation::Apply);
                    self.turned += usize::from(upright.is_ok_and(|upright| upright != image));
                }
                Err(error) => {
                    let (count, first) = self.unreadable.take().unwrap_or((0, error.to_string()));
                    self.unreadable = Some((count + 1, first));
                }
            }
        }
        if sides.is_empty() {
            let why = self.unreadable.take().map(|(_, why)| why).unwrap_or_default();
            return Err(CommandError::usage(format!("none of the sampled images can be read: {why}")));
        }
        sides.sort_unstable();
        self.sampled = sides.len();
        self.short_side = sides[sides.len() / 2];
        self.decode_s = spent_s / sides.len() as f64;
        Ok(())
    }

    /// Returns the number of training images, except those that are drawn for the test.
    pub fn training_images(&self) -> usize {
        let all: usize = self.classes.values().sum();
        match self.test {
            Some(_) => all,
            None => (all as f64 * (1.0 - SplitSection::TEST_SHARE)) as usize,
        }
    }

    /// Returns the classes with the fewest and the most images.
    pub fn extremes(&self) -> [(&str, usize); 2] {
        let smallest = self.classes.iter().min_by_key(|(_, count)| **count);
        let largest = self.classes.iter().max_by_key(|(_, count)| **count);
        [smallest, largest].map(|class| class.map_or(("", 0), |(name, count)| (name.as_str(), *count)))
    }
}
