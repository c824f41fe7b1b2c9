//! The outputs of `test`, and the statistics in them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::{missing, nullable};

/// Maximum number of classes for which `test.json` contains the confusion matrix.
const MAX_MATRIX_CLASSES: usize = 100;
/// Maximum number of confused pairs that `test.json` lists.
const MAX_CONFUSIONS: usize = 1000;
/// k of the top-k accuracy reported in addition to top-1.
const TOP_K: usize = 5;

/// `test.json`: the accuracy of the trained network on the test images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestReport {
    /// Top-1 accuracy.
    #[serde(deserialize_with = "nullable")]
    pub top1: f64,
    /// Top-5 accuracy.
    #[serde(deserialize_with = "nullable")]
    pub top5: f64,
    /// Mean cross-entropy loss.
    #[serde(default = "missing", deserialize_with = "nullable")]
    pub loss: f64,
    /// Number of test images that were read.
    pub images: usize,
    /// Number of test images that could not be read.
    #[serde(default)]
    pub skipped: usize,
    /// Classes without test images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<String>,
    /// The classes, in the order of their labels.
    #[serde(default)]
    pub classes: Vec<ClassReport>,
    /// Confusions between classes; `None` in files of releases that did not record them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
}

/// The results for one class. Fields that earlier releases did not record are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassReport {
    /// Name of the class.
    pub name: String,
    /// Number of test images of the class.
    pub images: usize,
    /// Top-1 accuracy on these images, which is the recall of the class; `None` if there are no images.
    #[serde(default)]
    pub top1: Option<f64>,
    /// Top-5 accuracy on these images; `None` if there are no images.
    #[serde(default)]
    pub top5: Option<f64>,
    /// Number of test images of any class that are predicted as this class.
    #[serde(default)]
    pub predicted: Option<usize>,
    /// Share of these predictions that are correct; `None` if there are none.
    #[serde(default)]
    pub precision: Option<f64>,
}

/// Confusions between classes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Number of images by true and predicted class, `[class][predicted]`, in the order of the labels; empty for more than 100
    /// classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<Vec<usize>>,
    /// Number of distinct pairs of a true class and a wrong prediction.
    pub pairs: usize,
    /// The most frequent pairs in descending order; at most 1000.
    pub largest: Vec<ConfusedPair>,
}

/// A class whose images are predicted as another class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfusedPair {
    /// True class.
    pub class: String,
    /// Predicted class.
    pub predicted: String,
    /// Number of images.
    pub images: usize,
}

/// Accumulates the results of a test, image by image. The worker adds the images that it tests; an audit adds the rows of
/// `predictions.csv`.
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
    /// Number of images by true class and wrong prediction.
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
    /// Creates an empty tally for a number of classes.
    pub fn new(classes: usize) -> Self {
        Self { classes: vec![ClassTally::default(); classes], confused: BTreeMap::new() }
    }

    /// Adds an image.
    ///
    /// * `predicted`: the predicted class; `None` if the network's output is not finite.
    /// * `rank`: rank of the true class, from 1.
    ///
    /// # Panics
    /// Panics if a class is out of range.
    pub fn add(&mut self, class: usize, predicted: Option<usize>, rank: usize) {
        let own = &mut self.classes[class];
        own.images += 1;
        own.top1 += usize::from(rank == 1);
        own.top5 += usize::from(rank <= TOP_K);
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

    /// Returns the top-1 accuracy; NaN if there are no images.
    pub fn top1(&self) -> f64 {
        self.classes.iter().map(|class| class.top1).sum::<usize>() as f64 / self.images() as f64
    }

    /// Returns the top-5 accuracy; NaN if there are no images.
    pub fn top5(&self) -> f64 {
        self.classes.iter().map(|class| class.top5).sum::<usize>() as f64 / self.images() as f64
    }

    /// Returns the results for each class, whose names are `names`.
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

    /// Returns the confusions between classes, whose names are `names`.
    pub fn confusion(&self, names: &[String]) -> Confusion {
        let mut pairs: Vec<_> = self.confused.iter().collect();
        // The sort is stable, so ties are ordered by label.
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
    fn recall_precision_and_confusions_of_each_class() {
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
    fn an_output_that_is_not_finite_is_an_error_without_a_predicted_class() {
        let mut tally = TestTally::new(2);
        tally.add(0, None, 2);
        assert_eq!((tally.top1(), tally.confusion(&names(2)).pairs), (0.0, 0));
        assert_eq!(tally.confusion(&names(2)).matrix, [[0, 0], [0, 0]]);
        assert!(TestTally::new(2).top1().is_nan());
    }

    #[test]
    fn many_classes_have_no_matrix_but_the_most_frequent_confusions() {
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
    fn reports_of_earlier_releases_can_be_read() {
        let text = br#"{"top1": 0.5, "top5": 1.0, "loss": 0.7, "images": 2, "skipped": 0,
            "classes": [{"name": "a", "images": 2, "top1": 0.5}, {"name": "b", "images": 0, "top1": null}]}"#;
        let report = TestReport::from_json(text).unwrap();
        assert!(report.confusion.is_none() && report.classes[0].precision.is_none());
        assert_eq!((report.classes[0].top1, report.classes[1].top1), (Some(0.5), None));
    }
}
