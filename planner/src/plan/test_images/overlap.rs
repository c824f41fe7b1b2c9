use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use tfnas_artifacts::Digest;
use tfnas_images::draw_test;

use crate::plan::test_images::side::Side;

/// Maximum number of pairs of equal images in the message.
const NAMED_PAIRS: usize = 5;

/// Test images with the same content as training images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Number of these test images.
    count: usize,
    /// Total number of test images.
    total: usize,
    /// The first of these test images, each with a training image of the same content.
    first: Vec<(PathBuf, PathBuf)>,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, total, first } = self;
        let pairs: Vec<String> =
            first.iter().map(|(test, train)| format!("{} = {}", test.display(), train.display())).collect();
        let more = if *count > first.len() { ", …" } else { "" };
        write!(f, "{count} of {total} test images have the same content as training images: {}{more}", pairs.join(", "))
    }
}

/// An image and its digest.
type Hashed<'a> = (&'a str, &'a Digest);

/// Returns the test images of the classes `known` with the same content as training images, or `None` if there are
/// none.
pub fn overlap(train: &Side<'_>, test: &Side<'_>, known: &[String]) -> Option<Overlap> {
    let test_images: Vec<Hashed<'_>> = test.images(Some(known)).collect();
    shared(&test_images, train.images(None), test, train)
}

/// Returns the test images that will be drawn from `train` and have the same content as images that remain.
pub fn overlap_of_drawn(train: &Side<'_>, share: f64, seed: u64) -> Option<Overlap> {
    let mut seen = HashSet::new();
    if train.images(None).all(|(_, digest)| seen.insert(digest)) {
        return None;
    }
    let drawn = draw_test(&train.list()?, share, seed).ok()?.test;
    let drawn: HashSet<&str> = drawn.entries().iter().map(|entry| entry.path.as_str()).collect();
    let (test, rest): (Vec<Hashed<'_>>, Vec<Hashed<'_>>) =
        train.images(None).partition(|(path, _)| drawn.contains(path));
    shared(&test, rest.into_iter(), train, train)
}

fn shared<'a>(
    test_images: &[Hashed<'a>],
    train_images: impl Iterator<Item = Hashed<'a>>,
    test: &Side<'_>,
    train: &Side<'_>,
) -> Option<Overlap> {
    // There are fewer test images, so these are kept in the map.
    let mut trained: HashMap<&Digest, Option<&str>> = test_images.iter().map(|(_, digest)| (*digest, None)).collect();
    for (path, digest) in train_images {
        if let Some(first) = trained.get_mut(digest) {
            first.get_or_insert(path);
        }
    }
    let pairs = || test_images.iter().filter_map(|(path, digest)| Some((*path, (*trained.get(digest)?)?)));
    let count = pairs().count();
    let first = pairs().take(NAMED_PAIRS).map(|(path, trained)| (test.path_of(path), train.path_of(trained)));
    (count > 0).then(|| Overlap { count, total: test_images.len(), first: first.collect() })
}
