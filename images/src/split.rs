//! Splits of a list into images for weight training and for architecture training.

use tfnas_random::{Stream, StreamId};

use crate::{Entry, ImageList, ListError};

/// The images for weight training and those for architecture training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Train the weights.
    pub train: ImageList,
    /// Train the architecture, and measure the super-network.
    pub val: ImageList,
}

/// A list that cannot be split so.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// A share that leaves one side empty.
    #[error("the share of the training side is above 0 and below 1, found {0}")]
    Share(f64),
    /// Too few images of each class are asked for.
    #[error("at most {0} images per class: a split needs 2, one for each side")]
    PerClass(usize),
    /// Classes that one side would have to do without.
    #[error("{}; a split needs 2, one for each side: add images or remove the class", single_images(.0))]
    SingleImage(
        /// The only image of each such class.
        Vec<Entry>,
    ),
    /// One side is not a valid list.
    #[error(transparent)]
    List(#[from] ListError),
}

/// How many classes with a single image are named.
const NAMED_CLASSES: usize = 50;

/// Names classes by their only images.
fn single_images(images: &[Entry]) -> String {
    if let [Entry { path, label }] = images {
        return format!("class {label} has a single image, {path:?}");
    }
    let named: Vec<String> =
        images.iter().take(NAMED_CLASSES).map(|Entry { path, label }| format!("{label} ({path:?})")).collect();
    let more = images.len().saturating_sub(NAMED_CLASSES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} classes have a single image: {}{more}", images.len(), named.join(", "))
}

/// Splits a list class by class.
///
/// The images of each class are shuffled and at most `per_class` of them are kept. Of these, `train_share`, rounded
/// down as in the original, are for weight training; each side has at least one. The result depends on the images and
/// the seed, not on the order of the list: both sides are sorted by label and path, and the images of one class do not
/// affect the split of another.
///
/// # Errors
/// Returns [`SplitError`] if the share is not between 0 and 1, `per_class` is below 2, or a class has a single image.
pub fn split(list: &ImageList, train_share: f64, per_class: Option<usize>, seed: u64) -> Result<Split, SplitError> {
    if !(train_share > 0.0 && train_share < 1.0) {
        return Err(SplitError::Share(train_share));
    }
    if let Some(few @ 0..2) = per_class {
        return Err(SplitError::PerClass(few));
    }
    let mut sorted: Vec<&Entry> = list.entries().iter().collect();
    sorted.sort_unstable_by_key(|entry| (entry.label, &entry.path));

    let mut train = Vec::new();
    let mut val = Vec::new();
    let mut single = Vec::new();
    for class in sorted.chunk_by_mut(|first, second| first.label == second.label) {
        let label = class[0].label;
        if class.len() < 2 {
            single.push(class[0].clone());
            continue;
        }
        Stream::new(seed, StreamId::Split, 0, label).shuffle(class);
        let kept = class.len().min(per_class.unwrap_or(usize::MAX));
        let for_train = ((train_share * kept as f64) as usize).clamp(1, kept - 1);
        train.extend(class[..for_train].iter().map(|&entry| entry.clone()));
        val.extend(class[for_train..kept].iter().map(|&entry| entry.clone()));
    }
    if !single.is_empty() {
        return Err(SplitError::SingleImage(single));
    }
    Ok(Split { train: sorted_list(train)?, val: sorted_list(val)? })
}

fn sorted_list(mut entries: Vec<Entry>) -> Result<ImageList, ListError> {
    entries.sort_unstable_by(|first, second| (first.label, &first.path).cmp(&(second.label, &second.path)));
    ImageList::new(entries)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

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
    fn share_of_each_class_is_rounded_down() {
        let split = split(&list(&[10, 14, 2]), 0.8, None, 1).unwrap();
        assert_eq!([0, 1, 2].map(|label| count(&split.train, label)), [8, 11, 1]);
        assert_eq!([0, 1, 2].map(|label| count(&split.val, label)), [2, 3, 1]);
    }

    #[test]
    fn every_image_is_in_exactly_one_part() {
        let list = list(&[50, 3]);
        let split = split(&list, 0.3, None, 9).unwrap();
        let images: HashSet<&Entry> = split.train.entries().iter().chain(split.val.entries()).collect();
        assert_eq!(images.len(), split.train.len() + split.val.len());
        assert_eq!(images, list.entries().iter().collect());
    }

    #[test]
    fn both_parts_are_sorted_by_label_and_path() {
        let list = list(&[12, 12]);
        let reversed = ImageList::new(list.entries().iter().rev().cloned().collect()).unwrap();
        let first = split(&list, 0.5, Some(8), 4).unwrap();
        assert_eq!(split(&reversed, 0.5, Some(8), 4).unwrap(), first);
        assert!(first.train.entries().is_sorted_by_key(|entry| (entry.label, entry.path.clone())));
    }

    #[test]
    fn split_of_a_class_is_independent_of_other_classes() {
        let alone = split(&list(&[20]), 0.5, None, 4).unwrap();
        let together = split(&list(&[20, 30]), 0.5, None, 4).unwrap();
        assert!(alone.train.entries().iter().eq(together.train.entries().iter().take(10)));
    }

    #[test]
    fn split_depends_on_the_seed() {
        let train = |seed| split(&list(&[10]), 0.5, None, seed).unwrap().train.to_text();
        assert_ne!(train(1), train(2));
        assert_eq!(train(1), "0/002.jpg 0\n0/003.jpg 0\n0/004.jpg 0\n0/006.jpg 0\n0/009.jpg 0\n");
    }

    #[test]
    fn images_per_class_are_limited() {
        let split = split(&list(&[100, 5]), 0.8, Some(10), 1).unwrap();
        assert_eq!((count(&split.train, 0), count(&split.val, 0)), (8, 2));
        assert_eq!((count(&split.train, 1), count(&split.val, 1)), (4, 1));
    }

    #[test]
    fn extreme_shares_keep_an_image_in_each_part() {
        for share in [1e-9, 1.0 - 1e-9] {
            let split = split(&list(&[5]), share, None, 1).unwrap();
            assert_eq!(split.train.len().min(split.val.len()), 1);
        }
    }

    #[test]
    fn errors_name_classes_that_cannot_be_split() {
        for share in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(matches!(split(&list(&[5]), share, None, 1), Err(SplitError::Share(_))));
        }
        assert!(matches!(split(&list(&[5]), 0.5, Some(1), 1), Err(SplitError::PerClass(1))));
        let text = split(&list(&[5, 1]), 0.5, None, 1).unwrap_err().to_string();
        assert!(text.starts_with("class 1 has a single image, \"1/000.jpg\""), "{text}");
        let text = split(&list(&[1, 5, 1]), 0.5, None, 1).unwrap_err().to_string();
        let both = "2 classes have a single image: 0 (\"0/000.jpg\"), 2 (\"2/000.jpg\")";
        assert!(text.starts_with(both), "{text}");
        let text = split(&list(&[1; 60]), 0.5, None, 1).unwrap_err().to_string();
        assert!(text.contains("49 (\"49/000.jpg\") and 10 more;"), "{text}");
    }

    #[test]
    fn labels_without_images_are_ignored() {
        let split = split(&list(&[4, 0, 4]), 0.5, None, 1).unwrap();
        assert_eq!((split.train.len(), split.train.classes()), (4, 3));
    }
}
