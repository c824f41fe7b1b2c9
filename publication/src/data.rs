use serde::{Deserialize, Serialize};
use tfnas_artifacts::Digest;
use tfnas_stages::Protocol;

/// What is said of a run's data: `data.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The training images.
    pub train: Images,
    /// The test images.
    pub test: Images,
    /// The lists.
    pub lists: Vec<ListDigest>,
    /// Images that stand in two lists.
    pub overlaps: Vec<Overlap>,
    /// How often the test images were looked at.
    pub test_images_looked_at: Looks,
}

/// Images that no stage made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// How the configuration names them, below the data's root.
    pub name: String,
    /// Whether that is a list of images below the root, rather than a folder of class folders.
    pub is_list: bool,
    /// How many files they are.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// Their digest: that of the manifest beside the lists.
    pub blake3: Digest,
}

/// A list of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListDigest {
    /// Its file.
    pub file: String,
    /// How many images it names.
    pub images: u64,
    /// Its digest.
    pub blake3: Digest,
}

/// Images that stand in two lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overlap {
    /// One list.
    pub a: String,
    /// The other.
    pub b: String,
    /// Images of the other whose name the one has.
    pub by_name: u64,
    /// Images of the other whose bytes the one has.
    pub by_content: u64,
    /// The first of them.
    pub first: Vec<String>,
}

impl Overlap {
    /// Whether the lists are disjoint.
    pub fn is_none(&self) -> bool {
        self.by_name == 0 && self.by_content == 0
    }
}

/// How often the test images were looked at: each look can leak into a choice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Looks {
    /// Epochs of this training that were compared on them.
    pub training_epochs: u64,
    /// Tests of this run.
    pub tests: u64,
    /// Trainings that were compared on them, and tests, in the store of this run until its end: this run's among them.
    pub store_trainings: u64,
    /// Tests in the store.
    pub store_tests: u64,
}

impl Looks {
    /// Returns how many epochs of a training were compared on the test images.
    pub fn training_epochs(protocol: Protocol, epochs: u64) -> u64 {
        match protocol {
            Protocol::Published => epochs,
            Protocol::HeldOut => 0,
        }
    }
}
