use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};

/// The most classes of which `test.json` has the whole confusion matrix.
const MAX_MATRIX_CLASSES: usize = 100;
/// The most confusions that `test.json` lists.
const MAX_CONFUSIONS: usize = 1000;
/// Guesses among which the right class counts for top-5.
const TOP: usize = 5;

/// `test.json`: how the trained network does on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Share of test images whose first guess is right.
    #[serde(deserialize_with = "nullable")]
    pub top1: f64,
    /// Share of test images with the right class among the first five guesses.
    #[serde(deserialize_with = "nullable")]
    pub top5: f64,
    /// Mean cross-entropy.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub loss: f64,
    /// Test images that were read.
    pub images: usize,
    /// Test images that could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// Classes without test images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// The classes, in the order of their labels.
    #[serde(default)]
    pub classes: Vec<ClassReport>,
    /// Which class is taken for which; `None` in files of releases that did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
}

/// One class of a test. What files of earlier releases lack is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Its name.
    pub name: String,
    /// Its test images.
    pub images: usize,
    /// Share of them whose first guess is right, which is the recall of the class; `None` without images.
    #[serde(default)]
    pub top1: Option<f64>,
    /// Share of them with the class among the first five guesses; `None` without images.
    #[serde(default)]
    pub top5: Option<f64>,
    /// Images of any class whose first guess is this class.
    #[serde(default)]
    pub predicted: Option<usize>,
    /// Share of those that are of this class; `None` if it is the first guess for no image.
    #[serde(default)]
    pub precision: Option<f64>,
}

/// Which class is taken for which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Images by class and first guess, `[class][guess]`, both in the order of the labels; empty with more than 100 classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<Vec<usize>>,
    /// How many pairs of a class and a wrong first guess there are.
    pub pairs: usize,
    /// These pairs, the most frequent first; at most 1000.
    pub largest: Vec<ConfusedPair>,
}

/// Images of one class that are taken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusedPair {
    /// The class of the images.
    pub class: String,
    /// Their first guess.
    pub predicted: String,
    /// How many they are.
    pub images: usize,
}

/// Counts what a test finds, image by image. The worker counts what it tests, and an audit what `predictions.csv` says.
///
/// ```
/// use tfnas_stages::TestTally;
///
/// let names = ["cat".to_owned(), "dog".to_owned()];
/// let mut tally = TestTally::new(names.len());
/// tally.add(0, Some(0), 1);
/// tally.add(0, Some(1), 2);
/// assert_eq!((tally.top1(), tally.images()), (0.5, 2));
/// let cat = &tally.classes(&names)[0];
/// assert_eq!((cat.top1, cat.precision), (Some(0.5), Some(1.0)));
/// assert_eq!(tally.confusion(&names).matrix, [[1, 1], [0, 0]]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestTally {
    classes: Vec<ClassTally>,
    /// Images by class and wrong first guess.
    confused: BTreeMap<(usize, usize), usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ClassTally {
    images: usize,
    top1: usize,
    top5: usize,
    predicted: usize,
}

impl TestTally {
    /// Counts nothing yet.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![ClassTally::default(); classes], confused: BTreeMap::new() }
    }

    /// Counts an image.
    ///
    /// * `predicted`: its first guess; `None` if the network's output is not finite.
    /// * `rank`: the rank of its class, from 1.
    ///
    /// # Panics
    /// If a class is not below the number of classes.
    pub fn add(&mut self, class: usize, predicted: Option<usize>, rank: usize) {
        let own = &mut self.classes[class];
        own.images += 1;
        own.top1 += usize::from(rank == 1);
        own.top5 += usize::from(rank <= TOP);
        if let Some(predicted) = predicted {
            self.classes[predicted].predicted += 1;
            if predicted != class {
                *self.confused.entry((class, predicted)).or_default() += 1;
            }
        }
    }

    /// Returns the number of images.
    pub fn images(&self) -> usize {
        self.classes.iter().map(|class| class.images).sum()
    }

    /// Returns the share of images whose class ranks first; NaN without images.
    pub fn top1(&self) -> f64 {
        self.classes.iter().map(|class| class.top1).sum::<usize>() as f64 / self.images() as f64
    }

    /// Returns the share of images whose class is among the first five; NaN without images.
    pub fn top5(&self) -> f64 {
        self.classes.iter().map(|class| class.top5).sum::<usize>() as f64 / self.images() as f64
    }

    /// Returns what was found of each class.
    pub fn classes(&self, names: &[String]) -> Vec<ClassReport> {
        let share = |part: usize, of: usize| (of > 0).then(|| part as f64 / of as f64);
        let report = |(name, class): (&String, &ClassTally)| ClassReport {
            name: name.clone(),
            images: class.images,
            top1: share(class.top1, class.images),
            top5: share(class.top5, class.images),
            predicted: Some(class.predicted),
            precision: share(class.top1, class.predicted),
        };
        names.iter().zip(&self.classes).map(report).collect()
    }

    /// Returns which class is taken for which.
    pub fn confusion(&self, names: &[String]) -> Confusion {
        let mut pairs: Vec<_> = self.confused.iter().collect();
        // The sort is stable: of equally frequent pairs the one of the smaller labels is first.
        pairs.sort_by_key(|(_, images)| std::cmp::Reverse(**images));
        let largest = pairs.iter().take(MAX_CONFUSIONS).map(|((class, predicted), images)| ConfusedPair {
            class: names[*class].clone(),
            predicted: names[*predicted].clone(),
            images: **images,
        });
        Confusion { matrix: self.matrix(), pairs: pairs.len(), largest: largest.collect() }
    }

    fn matrix(&self) -> Vec<Vec<usize>> {
        let count = self.classes.len();
        if count > MAX_MATRIX_CLASSES {
            return Vec::new();
        }
        let cell = |class: usize, predicted: usize| match class == predicted {
            true => self.classes[class].top1,
            false => self.confused.get(&(class, predicted)).copied().unwrap_or(0),
        };
        (0..count).map(|class| (0..count).map(|predicted| cell(class, predicted)).collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::StageOutput as _;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|index| format!("c{index}")).collect()
    }

    #[test]
    fn each_class_has_its_recall_precision_and_confusions() {
        let mut tally = TestTally::new(3);
        for (class, predicted, rank) in [(0, 0, 1), (0, 1, 2), (0, 1, 6), (1, 1, 1), (1, 0, 3)] {
            tally.add(class, Some(predicted), rank);
        }
        assert_eq!((tally.top1(), tally.top5(), tally.images()), (0.4, 0.8, 5));
        let classes = tally.classes(&names(3));
        assert_eq!((classes[0].top1, classes[0].top5), (Some(1.0 / 3.0), Some(2.0 / 3.0)));
        assert_eq!((classes[1].predicted, classes[1].precision), (Some(3), Some(1.0 / 3.0)));
        assert_eq!(classes[2], ClassReport { name: "c2".to_owned(), predicted: Some(0), ..ClassReport::default() });
        let confusion = tally.confusion(&names(3));
        assert_eq!(confusion.matrix, [[1, 2, 0], [1, 1, 0], [0, 0, 0]]);
        let pair = |class: &str, predicted: &str, images| ConfusedPair {
            class: class.to_owned(),
            predicted: predicted.to_owned(),
            images,
        };
        assert_eq!((confusion.pairs, confusion.largest), (2, vec![pair("c0", "c1", 2), pair("c1", "c0", 1)]));
    }

    #[test]
    fn an_output_that_is_not_finite_is_a_mistake_and_no_guess() {
        let mut tally = TestTally::new(2);
        tally.add(0, None, 2);
        assert_eq!((tally.top1(), tally.confusion(&names(2)).pairs), (0.0, 0));
        assert_eq!(tally.confusion(&names(2)).matrix, [[0, 0], [0, 0]]);
        assert!(TestTally::new(2).top1().is_nan());
    }

    #[test]
    fn very_many_classes_have_the_most_frequent_confusions_alone() {
        let count = 1200;
        let mut tally = TestTally::new(count);
        (0..count).for_each(|class| tally.add(class, Some((class + 1) % count), 2));
        tally.add(7, Some(9), 2);
        tally.add(7, Some(9), 2);
        let confusion = tally.confusion(&names(count));
        assert_eq!((confusion.matrix.len(), confusion.pairs, confusion.largest.len()), (0, 1201, 1000));
        assert_eq!((confusion.largest[0].images, confusion.largest[1].class.as_str()), (2, "c0"));
    }

    #[test]
    fn a_report_of_an_earlier_release_is_read() {
        let text = br#"{"top1": 0.5, "top5": 1.0, "loss": 0.7, "images": 2, "skipped": 0,
            "classes": [{"name": "a", "images": 2, "top1": 0.5}, {"name": "b", "images": 0, "top1": null}]}"#;
        let report = TestReport::from_json(text).unwrap();
        assert!(report.confusion.is_none() && report.classes[0].precision.is_none());
        assert_eq!((report.classes[0].top1, report.classes[1].top1), (Some(0.5), None));
    }
}
