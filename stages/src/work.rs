//! How much work a stage is, to estimate its duration before it runs.
//!
//! The costs are relative to a forward pass of a network of the space in evaluation mode, so that one short measurement
//! ([`Speed`]) gives an estimate for every stage. They were measured on 2 cores, and give the order of magnitude elsewhere.

use crate::SplitSection;

/// Duration of a training step relative to a forward pass of the same images.
const STEP_PER_PASS: f64 = 5.0;
/// Duration of a path of the supernet relative to a found network, which is narrower.
const SUPERNET_PER_NETWORK: f64 = 1.3;
/// Duration of an architecture step relative to a weight step of one path: it computes all operations of each block.
const ARCHITECTURE_STEP_PER_PATH: f64 = 4.8;

/// Number of images that the stages use.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageCounts {
    /// Training images, including those that validate.
    pub training: f64,
    /// Test images.
    pub test: f64,
}

/// Speed of a machine, per image and with all its cores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    /// Forward pass of a network of the space, in seconds.
    pub pass_s: f64,
    /// Reading and decoding an image file, in seconds.
    pub read_s: f64,
}

impl Speed {
    /// A slow core and small images: stages that are short at this speed are short everywhere, and the ratio of two
    /// durations at this speed is about their ratio on other machines.
    pub const NOMINAL: Self = Self { pass_s: 2e-3, read_s: 2e-4 };
}

/// Work per image.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerImage {
    /// Forward passes, or as many as take as long.
    pub passes: f64,
    /// Times that the file is read and decoded.
    pub reads: f64,
}

/// The work of a stage.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    /// Time that depends neither on the images nor on the machine, in seconds.
    pub fixed_s: f64,
    /// Work per training image.
    pub training: PerImage,
    /// Work per test image.
    pub test: PerImage,
}

impl PerImage {
    /// Returns the work of epochs that train on every image.
    ///
    /// * `paths`: paths of the network that each step computes.
    pub(crate) fn trained(epochs: f64, paths: f64) -> Self {
        Self { passes: epochs * paths * STEP_PER_PASS, reads: epochs }
    }

    /// Returns the work of epochs that evaluate every image.
    pub(crate) fn evaluated(epochs: f64) -> Self {
        Self { passes: epochs, reads: epochs }
    }

    /// Returns the work per image of which only a share is used.
    pub(crate) fn of_share(self, share: f64) -> Self {
        Self { passes: share * self.passes, reads: share * self.reads }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self { passes: self.passes + other.passes, reads: self.reads + other.reads }
    }

    fn seconds(self, speed: Speed) -> f64 {
        self.passes * speed.pass_s + self.reads * speed.read_s
    }
}

impl Work {
    /// Returns the work of a search.
    ///
    /// * `warmup`: epochs that train weights only, with one path for each step; other steps train two.
    /// * `every`: weight steps for each architecture step.
    pub fn of_search(epochs: usize, warmup: usize, every: usize) -> Self {
        let warmup = warmup.min(epochs) as f64;
        let searching = epochs as f64 - warmup;
        let steps = PerImage::trained(warmup, SUPERNET_PER_NETWORK)
            .and(PerImage::trained(searching, 2.0 * SUPERNET_PER_NETWORK))
            .and(PerImage::trained(searching / every as f64, ARCHITECTURE_STEP_PER_PATH * SUPERNET_PER_NETWORK));
        Self { training: steps.of_share(SplitSection::TRAIN_SHARE), ..Self::default() }
    }

    /// Returns the work of short trainings with `epochs` epochs in all, each of which trains on one part of the training
    /// images and validates on the other.
    pub fn of_held_out_training(epochs: usize) -> Self {
        let trained = PerImage::trained(epochs as f64, 1.0).of_share(SplitSection::TRAIN_SHARE);
        let validated = PerImage::evaluated(epochs as f64).of_share(1.0 - SplitSection::TRAIN_SHARE);
        Self { training: trained.and(validated), ..Self::default() }
    }

    /// Returns the work of a training on all training images that validates on the test images.
    pub fn of_published_training(epochs: usize) -> Self {
        Self {
            training: PerImage::trained(epochs as f64, 1.0),
            test: PerImage::evaluated(epochs as f64),
            ..Self::default()
        }
    }

    /// Returns the part that depends on the images.
    pub fn of_images(&self) -> Self {
        Self { fixed_s: 0.0, ..*self }
    }

    /// Returns the expected duration in seconds.
    pub fn seconds(&self, images: &ImageCounts, speed: Speed) -> f64 {
        self.fixed_s + images.training * self.training.seconds(speed) + images.test * self.test.seconds(speed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGES: ImageCounts = ImageCounts { training: 1000.0, test: 500.0 };
    const SPEED: Speed = Speed { pass_s: 1e-3, read_s: 1e-4 };

    #[test]
    fn a_training_takes_five_passes_for_each_image_and_validates_after_each_epoch() {
        let seconds = Work::of_published_training(10).seconds(&IMAGES, SPEED);
        assert!((seconds - (10.0 * (5.0 + 0.1) + 5.0 * (1.0 + 0.1))).abs() < 1e-9, "{seconds}");
    }

    #[test]
    fn warm_up_epochs_of_a_search_are_cheaper() {
        let seconds = |warmup| Work::of_search(10, warmup, 2).seconds(&IMAGES, SPEED);
        assert!(seconds(10) < seconds(5) && seconds(5) < seconds(0));
        assert_eq!(seconds(10), seconds(20), "at most all epochs are warm-up");
    }

    #[test]
    fn fixed_time_depends_on_neither_images_nor_machine() {
        let work = Work { fixed_s: 7.0, ..Work::default() };
        assert_eq!(work.seconds(&ImageCounts::default(), SPEED), 7.0);
        assert_eq!(work.seconds(&IMAGES, Speed::NOMINAL), 7.0);
    }
}
