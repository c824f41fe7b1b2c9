//! Draws test images from a list that has none.

use std::collections::HashSet;

use tfnas_random::{Stream, StreamId};

use crate::{Entry, ImageList, ListError};

/// Minimum size of a class with test images: the split needs one image for each of its sides.
pub const FEWEST_WITH_TEST: usize = 3;

/// Images kept for the test, and all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestDraw {
    /// The test images.
    pub test: ImageList,
    /// The remaining images for training, in the order of the list.
    pub rest: ImageList,
    /// Labels of the classes that are too small for a test image, in order.
    pub untested: Vec<u32>,
}

/// A list from which no test images can be drawn.
#[derive(Debug, thiserror::Error)]
pub enum TestDrawError {
    /// A share that leaves one side empty.
    #[error("the fraction of test images must be between 0 and 1, not {0}")]
    Share(f64),
    /// No class is large enough.
    #[error(
        "no class has {FEWEST_WITH_TEST} images or more, so no test images can be drawn; add images, or set data.test \
         to a folder of test images"
    )]
    TooFew,
    /// A side that is not a list.
    #[error(transparent)]
    List(#[from] ListError),
}

/// Draws test images class by class.
///
/// The images of each class are shuffled, and `share` of them, rounded to the nearest number, become test images: at
/// least one, and at most all but two, which the split needs. A class with one or two images has none. The result
/// depends on the images and the seed, not on the order of the list. The test images are sorted by label and path.
///
/// # Errors
/// Returns [`TestDrawError`] if the share is not between 0 and 1, or no class is large enough.
pub fn draw_test(list: &ImageList, share: f64, seed: u64) -> Result<TestDraw, TestDrawError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(TestDrawError::Share(share));
    }
    let mut sorted: Vec<&Entry> = list.entries().iter().collect();
    sorted.sort_unstable_by_key(|entry| (entry.label, &entry.path));
    let mut test: Vec<Entry> = Vec::new();
    let mut untested = Vec::new();
    for class in sorted.chunk_by_mut(|first, second| first.label == second.label) {
        let label = class[0].label;
        if class.len() < FEWEST_WITH_TEST {
            untested.push(label);
            continue;
        }
        Stream::new(seed, StreamId::TestDraw, 0, label).shuffle(class);
        let count = ((share * class.len() as f64).round() as usize).clamp(1, class.len() - 2);
        let drawn = &mut class[..count];
        drawn.sort_unstable_by_key(|entry| &entry.path);
        test.extend(drawn.iter().map(|&entry| entry.clone()));
    }
    if test.is_empty() {
        return Err(TestDrawError::TooFew);
    }
    let drawn: HashSet<&str> = test.iter().map(|entry| entry.path.as_str()).collect();
    let rest = list.entries().iter().filter(|entry| !drawn.contains(entry.path.as_str())).cloned().collect();
    Ok(TestDraw { rest: ImageList::new(rest)?, test: ImageList::new(test)?, untested })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Returns a list with `counts[label]` images per class.
    fn list(counts: &[usize]) -> ImageList {
        let classes = counts.iter().enumerate();
        let entries = classes.flat_map(|(label, &count)| {
            (0..count).map(move |image| Entry { path: format!("{label}/{image:03}.jpg"), label: label as u32 })
        });
        ImageList::new(entries.collect()).unwrap()
    }

    fn count(list: &ImageList, label: u32) -> usize {
        list.entries().iter().filter(|entry| entry.label == label).count()
    }

    #[test]
    fn share_of_each_class_is_drawn_and_two_images_are_kept() {
        let drawn = draw_test(&list(&[100, 20, 10, 4, 3]), 0.15, 1).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|label| count(&drawn.test, label)), [15, 3, 2, 1, 1]);
        assert!(drawn.untested.is_empty());
        let drawn = draw_test(&list(&[10]), 0.99, 1).unwrap();
        assert_eq!((drawn.test.len(), drawn.rest.len()), (8, 2));
    }

    #[test]
    fn classes_with_one_or_two_images_are_not_drawn_from() {
        let drawn = draw_test(&list(&[2, 5, 1]), 0.15, 1).unwrap();
        assert_eq!(drawn.untested, [0, 2]);
        assert_eq!([0, 1, 2].map(|label| count(&drawn.test, label)), [0, 1, 0]);
        assert!(matches!(draw_test(&list(&[2, 1]), 0.15, 1), Err(TestDrawError::TooFew)));
    }

    #[test]
    fn every_image_is_in_exactly_one_part() {
        let list = list(&[50, 3, 2]);
        let drawn = draw_test(&list, 0.3, 9).unwrap();
        let images: HashSet<&Entry> = drawn.test.entries().iter().chain(drawn.rest.entries()).collect();
        assert_eq!(images.len(), drawn.test.len() + drawn.rest.len());
        assert_eq!(images, list.entries().iter().collect());
    }

    #[test]
    fn draw_is_independent_of_list_order_and_other_classes() {
        let full = list(&[12, 30]);
        let reversed = ImageList::new(full.entries().iter().rev().cloned().collect()).unwrap();
        let drawn = draw_test(&full, 0.5, 4).unwrap();
        assert_eq!(draw_test(&reversed, 0.5, 4).unwrap().test, drawn.test);
        let alone = draw_test(&list(&[12]), 0.5, 4).unwrap();
        assert!(alone.test.entries().iter().eq(drawn.test.entries().iter().take(6)));
        assert!(drawn.test.entries().is_sorted_by_key(|entry| (entry.label, entry.path.clone())));
    }

    #[test]
    fn draw_depends_on_the_seed() {
        let test = |seed| draw_test(&list(&[20]), 0.15, seed).unwrap().test.to_text();
        assert_ne!(test(1), test(2));
        assert_eq!(test(1), "0/001.jpg 0\n0/003.jpg 0\n0/005.jpg 0\n");
    }

    #[test]
    fn share_that_leaves_a_part_empty_is_rejected() {
        for share in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(draw_test(&list(&[5]), share, 1), Err(TestDrawError::Share(_))));
        }
    }
}
