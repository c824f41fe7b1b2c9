use serde::{Deserialize, Serialize};
use tfnas_artifacts::Digest;
use tfnas_stages::Protocol;

/// The data of a run, as written to `data.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The training images.
    pub train: Images,
    /// The test images.
    pub test: Images,
    /// The image lists.
    pub lists: Vec<ListDigest>,
    /// Images that are in two lists.
    pub overlaps: Vec<Overlap>,
    /// How often the test images were used.
    pub test_images_looked_at: TestImageUses,
}

/// A set of images that is an input of the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Path relative to the data root, as in the configuration.
    pub name: String,
    /// Whether the path is a list file instead of a folder of class folders.
    pub is_list: bool,
    /// Number of files.
    pub files: u64,
    /// Total size of the files.
    pub bytes: u64,
    /// Digest of the images, which is also the digest of their published manifest.
    pub blake3: Digest,
}

/// An image list and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListDigest {
    /// Name of the file.
    pub file: String,
    /// Number of images in the list.
    pub images: u64,
    /// Digest of the file.
    pub blake3: Digest,
}

/// Images that are in two lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// Name of one list.
    pub a: String,
    /// Name of the other list.
    pub b: String,
    /// Number of images of `b` whose names are in `a`.
    pub by_name: u64,
    /// Number of images of `b` whose contents are in `a`.
    pub by_content: u64,
    /// The names of the first of these images.
    pub first: Vec<String>,
}

impl Overlap {
    /// Returns whether the lists are disjoint.
    pub fn is_none(&self) -> bool {
        self.by_name == 0 && self.by_content == 0
    }
}

/// How often the test images were used. Each use can leak information about them into a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestImageUses {
    /// Number of epochs of this training that were compared on the test images.
    pub training_epochs: u64,
    /// Number of tests in this run.
    pub tests: u64,
    /// Number of trainings in the store that read the test images, until the end of this run and including it.
    pub store_trainings: u64,
    /// Number of tests in the store, likewise.
    pub store_tests: u64,
}

impl TestImageUses {
    /// Returns the number of epochs of a training that are compared on the test images.
    pub fn training_epochs(protocol: Protocol, epochs: u64) -> u64 {
        match protocol {
            Protocol::Published => epochs,
            Protocol::HeldOut => 0,
        }
    }
}
