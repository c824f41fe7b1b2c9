//! Chooses settings that suit the images, the machine and the time.

use tfnas_stages::{ImageCounts, Speed, SplitSection, Work};

use super::survey::Survey;

/// Number of weight steps for each architecture step.
const ARCHITECTURE_EVERY: usize = 2;
/// Share of the time for the search.
const SEARCH_SHARE: f64 = 0.2;
/// Share of the time for the selection.
const SELECT_SHARE: f64 = 0.5;
/// A search of fewer weight steps than this needs larger learning rates than the published one, which takes 90 epochs of
/// 100,000 images in batches of 32.
const LONG_SEARCH_STEPS: f64 = 30_000.0;
/// Final temperature of a search relative to its initial temperature.
const COOLING: f64 = 0.2;

/// Plans of `select`, largest first.
const PLANS: [Plan; 4] = [
    Plan { candidates: 48, proposals: &[16, 16, 16], rungs: [1, 3, 15], keep: [20, 6] },
    Plan { candidates: 32, proposals: &[12, 12], rungs: [1, 3, 12], keep: [14, 4] },
    Plan { candidates: 24, proposals: &[8, 8], rungs: [1, 3, 8], keep: [10, 3] },
    Plan { candidates: 12, proposals: &[4, 4], rungs: [1, 2, 6], keep: [6, 2] },
];

/// Candidates and rungs of `select`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Number of initial candidates.
    pub candidates: usize,
    /// Number of additional candidates in each round.
    pub proposals: &'static [usize],
    /// Epochs at the end of each rung.
    pub rungs: [usize; 3],
    /// Number of candidates that continue after each rung.
    pub keep: [usize; 2],
}

impl Plan {
    /// Returns the total number of epochs of all candidates.
    fn epochs(&self) -> usize {
        let [first, second, last] = self.rungs;
        let all = self.candidates + self.proposals.iter().sum::<usize>();
        all * first + self.keep[0] * (second - first) + self.keep[1] * (last - second)
    }
}

/// The machine, as far as the settings depend on it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Number of available cores.
    pub cores: usize,
    /// Whether a CUDA device is used.
    pub has_gpu: bool,
}

/// Settings of a pipeline and the expected duration of its stages.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `imagenet`, `cifar` or `small`.
    pub space: &'static str,
    /// Batch size.
    pub batch: usize,
    /// Learning rate of the training.
    pub lr: f64,
    /// Time for measuring latencies, in seconds.
    pub lookup_s: f64,
    /// Number of epochs of the search.
    pub search_epochs: usize,
    /// Number of epochs of the search that only train weights.
    pub warmup_epochs: usize,
    /// Factor by which the temperature is multiplied after each epoch.
    pub temperature_decay: f64,
    /// Plan of the selection; `None` if there is not enough time.
    pub select: Option<Plan>,
    /// Whether the search is too short for the published learning rates.
    pub is_short_search: bool,
    /// Number of epochs of the training.
    pub train_epochs: usize,
    /// Expected duration of `search`, `select` and `train`, in seconds.
    pub seconds: [f64; 3],
}

impl Settings {
    /// Returns the search space that suits the images and the machine.
    pub fn space_for(survey: &Survey, machine: Machine) -> &'static str {
        match machine.has_gpu && survey.short_side >= 96 {
            true => "imagenet",
            false if survey.training_images() < 2000 => "small",
            false => "cifar",
        }
    }

    /// Chooses settings that take about `time_s` seconds.
    ///
    /// * `pass_s`: duration of a forward pass of a network of the space for one image on all cores, in seconds.
    pub fn choose(survey: &Survey, machine: Machine, space: &'static str, pass_s: f64, time_s: f64) -> Self {
        let images = survey.training_images() as f64;
        let counts = ImageCounts { training: images, test: 0.0 };
        let speed = Speed { pass_s, read_s: survey.decode_s / machine.cores as f64 };
        let search_s =
            |epochs: usize| Work::of_search(epochs, warmup_of(epochs), ARCHITECTURE_EVERY).seconds(&counts, speed);
        let training_s = |epochs: usize| Work::of_held_out_training(epochs).seconds(&counts, speed);
        let lookup_s = (0.05 * time_s).clamp(10.0, 120.0);
        let rest_s = (time_s - lookup_s).max(0.0);
        let search_epochs = (4..=60).rev().find(|epochs| search_s(*epochs) <= SEARCH_SHARE * rest_s).unwrap_or(4);
        let warmup_epochs = warmup_of(search_epochs);
        let candidates_s = |plan: &Plan| training_s(plan.epochs());
        let select = PLANS.into_iter().find(|plan| candidates_s(plan) <= SELECT_SHARE * rest_s);
        let search_s = search_s(search_epochs);
        let select_s = select.as_ref().map_or(0.0, candidates_s);
        // The training gets the remaining time.
        let train_epochs = (((rest_s - search_s - select_s) / training_s(1)) as usize).clamp(8, 200);
        let batch = match (machine.has_gpu, images as usize) {
            (true, 5000..) => 128,
            (_, 2000..) => 64,
            _ => 32,
        };
        Self {
            space,
            batch,
            lr: 0.1 * batch as f64 / 64.0,
            lookup_s: lookup_s.round(),
            search_epochs,
            warmup_epochs,
            temperature_decay: COOLING.powf(1.0 / (search_epochs - warmup_epochs).max(1) as f64),
            select,
            is_short_search: (search_epochs as f64 * SplitSection::TRAIN_SHARE * images / batch as f64)
                < LONG_SEARCH_STEPS,
            train_epochs,
            seconds: [search_s, select_s, training_s(train_epochs)],
        }
    }

    /// Returns the expected duration of the complete pipeline in seconds.
    pub fn total_s(&self) -> f64 {
        self.lookup_s + self.seconds.iter().sum::<f64>()
    }
}

/// Returns how many epochs of a search only train weights.
fn warmup_of(search_epochs: usize) -> usize {
    (search_epochs / 4).max(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn survey(images: usize, short_side: usize) -> Survey {
        Survey {
            train: None,
            test: Some("val".to_owned()),
            classes: BTreeMap::from([("a".to_owned(), images / 2), ("b".to_owned(), images - images / 2)]),
            formats: BTreeMap::new(),
            short_side,
            sampled: 1,
            turned: 0,
            unreadable: None,
            decode_s: 1e-4,
        }
    }

    const CPU: Machine = Machine { cores: 2, has_gpu: false };
    const GPU: Machine = Machine { cores: 8, has_gpu: true };

    #[test]
    fn the_space_suits_images_and_machine() {
        assert_eq!(Settings::space_for(&survey(500, 400), CPU), "small");
        assert_eq!(Settings::space_for(&survey(5000, 400), CPU), "cifar");
        assert_eq!(Settings::space_for(&survey(5000, 400), GPU), "imagenet");
        assert_eq!(Settings::space_for(&survey(5000, 32), GPU), "cifar");
    }

    #[test]
    fn more_time_gives_more_epochs_and_candidates_and_is_not_exceeded() {
        let mut last = (0, 0, 0);
        for time_s in [600.0, 3600.0, 6.0 * 3600.0] {
            let settings = Settings::choose(&survey(5000, 32), CPU, "cifar", 2e-4, time_s);
            assert!(settings.total_s() <= 1.05 * time_s, "{settings:?}");
            assert!(settings.total_s() >= 0.5 * time_s || settings.train_epochs == 200, "{settings:?}");
            let candidates = settings.select.map_or(0, |plan| plan.candidates);
            let now = (settings.search_epochs, candidates, settings.train_epochs);
            assert!(now.0 >= last.0 && now.1 >= last.1, "{now:?} after {last:?}");
            last = now;
        }
        assert_eq!(last.1, 48);
    }

    #[test]
    fn too_little_time_gives_the_smallest_settings() {
        let settings = Settings::choose(&survey(50_000, 400), CPU, "cifar", 1e-2, 60.0);
        assert_eq!((settings.search_epochs, settings.select, settings.train_epochs), (4, None, 8));
        assert!(settings.temperature_decay > 0.0 && settings.temperature_decay < 1.0);
    }
}
