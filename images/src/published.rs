//! The data split published by the authors.

use std::io::Read;

use crate::{ImageList, ListError, Split};

/// A list as its authors published it, shipped compressed.
struct PublishedList {
    name: &'static str,
    compressed: &'static [u8],
    /// Of the text, in bytes.
    size: u64,
    /// BLAKE3 of the text.
    digest: &'static str,
}

const IMAGENET100_TRAIN: PublishedList = PublishedList {
    name: "imagenet100 train",
    compressed: include_bytes!("../../dataset_lists/imagenet100.train.txt.gz"),
    size: 3_394_453,
    digest: "78b04bd31a423ca9f057593ffbfa1b639216a8ef8ccdcf1a5e67f863f6eee026",
};

const IMAGENET100_VAL: PublishedList = PublishedList {
    name: "imagenet100 val",
    compressed: include_bytes!("../../dataset_lists/imagenet100.val.txt.gz"),
    size: 848_831,
    digest: "da374286ea5bb588f28b8f7347627edf584671cc8de4efb71532c9e85b673abf",
};

/// Returns the ImageNet folders of the 100 classes that TF-NAS searches on, in the order of their labels.
pub fn imagenet100_classes() -> Vec<String> {
    include_str!("../../dataset_lists/imagenet100.classes").lines().map(str::to_owned).collect()
}

/// Returns the authors' published split of ImageNet-100: 102,170 images for weight training and 25,550 for architecture
/// training, relative to ImageNet's `train` folder.
///
/// # Errors
/// Returns [`ListError::Damaged`] if the lists compiled into this program differ from the published ones.
pub fn imagenet100() -> Result<Split, ListError> {
    Ok(Split { train: IMAGENET100_TRAIN.read()?, val: IMAGENET100_VAL.read()? })
}

/// Returns the name of the published list that this text is, byte for byte.
pub fn published_list_name(text: &str) -> Option<&'static str> {
    let mut lists = [IMAGENET100_TRAIN, IMAGENET100_VAL].into_iter();
    lists.find(|list| list.is(text.as_bytes())).map(|list| list.name)
}

impl PublishedList {
    fn read(&self) -> Result<ImageList, ListError> {
        let damaged = ListError::Damaged { name: self.name };
        let mut text = String::new();
        let decoder = flate2::read::GzDecoder::new(self.compressed);
        match decoder.take(self.size + 1).read_to_string(&mut text) {
            Ok(_) if self.is(text.as_bytes()) => ImageList::parse(&text, self.name),
            _ => Err(damaged),
        }
    }

    fn is(&self, text: &[u8]) -> bool {
        text.len() as u64 == self.size && blake3::hash(text).to_hex().as_str() == self.digest
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{Entry, split};

    #[test]
    fn published_split_has_100_classes_in_label_order() {
        let classes = imagenet100_classes();
        let published = imagenet100().unwrap();
        assert_eq!((classes.len(), published.train.classes(), published.val.classes()), (100, 100, 100));
        assert_eq!((published.train.len(), published.val.len()), (102_170, 25_550));
        for Entry { path, label } in published.train.entries().iter().chain(published.val.entries()) {
            assert_eq!(path.split('/').next().unwrap(), classes[*label as usize]);
        }
    }

    #[test]
    fn only_the_published_lists_are_recognized() {
        let published = imagenet100().unwrap();
        let train = published.train.to_text();
        assert_eq!(published_list_name(&train), Some("imagenet100 train"));
        assert_eq!(published_list_name(&published.val.to_text()), Some("imagenet100 val"));
        assert_eq!(published_list_name(&train.replacen('0', "1", 1)), None);
        assert_eq!(published_list_name(""), None);
    }

    #[test]
    fn our_split_has_the_published_class_counts() {
        let published = imagenet100().unwrap();
        let images = published.train.entries().iter().chain(published.val.entries()).cloned().collect();
        let ours = split(&ImageList::new(images).unwrap(), 0.8, None, 1).unwrap();
        let sizes = |list: &ImageList| {
            let mut sizes = [0; 100];
            list.entries().iter().for_each(|entry| sizes[entry.label as usize] += 1);
            sizes
        };
        assert_eq!(sizes(&ours.train), sizes(&published.train));
    }

    #[test]
    fn altered_lists_are_rejected() {
        let truncated = PublishedList { compressed: &IMAGENET100_VAL.compressed[..1000], ..IMAGENET100_VAL };
        assert!(matches!(truncated.read(), Err(ListError::Damaged { .. })));
        let another = PublishedList { compressed: IMAGENET100_TRAIN.compressed, ..IMAGENET100_VAL };
        assert!(matches!(another.read(), Err(ListError::Damaged { .. })));
    }
}
