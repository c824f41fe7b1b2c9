//! Compares the test images with the training images before anything runs, using the digests of both.

mod classes;
mod overlap;
mod side;

use std::collections::BTreeSet;
use std::path::PathBuf;

use classes::{OtherSpelling, compare_classes};
use overlap::{Overlap, overlap, overlap_of_drawn};
use serde::Serialize;
use side::Side;
use tfnas_fs::read_text_limited;
use tfnas_images::{imagenet100_classes, parse_classes};
use tfnas_stages::{Config, Protocol, SplitSection, Stage};

use crate::plan::{External, InputSource, Planner};

/// Kind of a remark about images with the same content.
const OVERLAP: &str = "overlap";
/// Maximum number of classes in a message.
const NAMED_CLASSES: usize = 10;
/// Maximum size of a file with classes.
const MAX_CLASSES_BYTES: u64 = 16 << 20;

/// Remarks about the test images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// Explanations of the results.
    pub notes: Vec<Remark>,
    /// Possible mistakes.
    pub warnings: Vec<Remark>,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Machine-readable kind.
    pub kind: &'static str,
    /// Text for display.
    pub message: String,
}

/// The test images do not match the training images.
#[derive(Debug, thiserror::Error)]
pub enum TestImagesError {
    /// Test and training images have the same content.
    #[error("data.test: {0}")]
    Overlap(Overlap),
    /// Names of classes differ only in spelling.
    #[error(
        "data.test: the classes of the test images have different names than the training classes: {}",
        named(pairs.iter().map(ToString::to_string))
    )]
    Spelling {
        /// The pairs of names.
        pairs: Vec<OtherSpelling>,
    },
    /// The space has another number of classes than the training images.
    #[error("space.classes: the space has {space} classes, but the training images have {images}")]
    ClassCount {
        /// Number of classes of the space.
        space: usize,
        /// Number of classes of the training images.
        images: usize,
    },
    /// The training images have no classes.
    #[error("data.train: the training images have no class folders")]
    NoTrainingClass,
    /// The test images have no class in common with the training images.
    #[error(
        "data.test: {} has no images of the {} training classes ({}); its classes are {}",
        path.display(),
        training.len(),
        named(training.iter().map(quoted)),
        if test.is_empty() { "none".to_owned() } else { named(test.iter().map(quoted)) }
    )]
    NoClass {
        /// Path of the test images.
        path: PathBuf,
        /// Classes of the network.
        training: Vec<String>,
        /// Classes of the test images.
        test: Vec<String>,
    },
    /// A label of the list of test images means another class than in the training images.
    #[error(
        "data.test: label {label} is class `{training}` in the training images, and its test images are in the folder \
         `{test}`, which is label {other} of the training images"
    )]
    Label {
        /// The label.
        label: usize,
        /// Its class in the training images.
        training: String,
        /// Folder of its test images.
        test: String,
        /// Label of the class with the name of that folder.
        other: usize,
    },
}

impl TestImagesError {
    /// Returns the configuration key of the images.
    pub fn key(&self) -> &'static str {
        match self {
            Self::NoTrainingClass => "data.train",
            Self::ClassCount { .. } => "space.classes",
            _ => "data.test",
        }
    }

    /// Returns how to fix the error.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Overlap(_) => {
                "remove them from one of the two, or set `data.allow_overlap: true` to run anyway (the accuracy will \
                 be too high)"
            }
            Self::Spelling { .. } => "rename the class folders of one side, so that a class has the same name on both",
            Self::ClassCount { .. } => {
                "set `space.classes` to the number of classes of the training images, or remove it"
            }
            Self::NoTrainingClass => {
                "put the images of each class in a separate folder, and set the parent folder of these folders with \
                 `data.train`"
            }
            Self::NoClass { .. } => {
                "set the folder of class folders, or the list file, of these classes with `data.test`"
            }
            Self::Label { .. } => "use the same class numbers in both lists",
        }
    }
}

/// Checks the test images of the instances, as far as they and the training images are identified, and the number of classes
/// of the space.
///
/// # Errors
/// Returns [`TestImagesError`] if test and training images overlap and `data.allow_overlap` is not set, or if their
/// classes do not match.
pub fn check_test_images(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<Remarks, TestImagesError> {
    let mut remarks = Remarks::default();
    for &at in instances {
        let config = &planner.variant(at).config;
        if planner.graph.instances[at].stage == Stage::Split {
            check_class_count(planner, at)?;
        }
        let found = match (planner.graph.instances[at].stage, config.split.test_share) {
            (Stage::Split, Some(share)) => {
                let train = read_by(planner, at, "train_images");
                let message =
                    SplitSection::describe_drawn_test(share, config.seed, matches!(train, Some(External::List { .. })));
                let mut found = Remarks::default();
                found.notes.push(Remark { kind: "test_images_drawn", message });
                let overlap = side(planner, train).and_then(|train| overlap_of_drawn(&train, share, config.seed));
                if let Some(overlap) = overlap {
                    found.warn(OVERLAP, overlap.to_string());
                }
                found
            }
            (Stage::Train | Stage::Test, None) => of_instance(planner, at, config)?,
            _ => continue,
        };
        remarks.add(found);
    }
    Ok(remarks)
}

impl Remarks {
    /// Returns one line for each remark.
    pub fn text(&self) -> String {
        let notes = self.notes.iter().map(|note| format!("{}\n", note.message));
        notes.chain(self.warnings.iter().map(|warning| format!("warning: {}\n", warning.message))).collect()
    }

    fn add(&mut self, other: Self) {
        for (own, other) in [(&mut self.notes, other.notes), (&mut self.warnings, other.warnings)] {
            let new: Vec<Remark> = other.into_iter().filter(|remark| !own.contains(remark)).collect();
            own.extend(new);
        }
    }

    fn warn(&mut self, kind: &'static str, message: String) {
        self.warnings.push(Remark { kind, message });
    }
}

/// Checks that a space that sets its number of classes has that of the network. A network given by `train.from` has its own.
fn check_class_count(planner: &Planner<'_>, split: usize) -> Result<(), TestImagesError> {
    let variant = planner.variant(split);
    let Some(space) = variant.space.definition().classes else { return Ok(()) };
    if variant.config.train.from.is_some() {
        return Ok(());
    }
    let Some(train) = side(planner, read_by(planner, split, "train_images")) else { return Ok(()) };
    match known_classes(planner, &variant.config, &train.classes()) {
        Some(known) if known.len() != space => Err(TestImagesError::ClassCount { space, images: known.len() }),
        _ => Ok(()),
    }
}

/// Returns the external input of an instance at a port.
fn read_by<'a>(planner: &Planner<'a>, at: usize, port: &str) -> Option<&'a External> {
    let input = planner.graph.instances[at].inputs.iter().find(|input| input.port == port)?;
    match &input.source {
        InputSource::External(external) => Some(external),
        InputSource::Instance(..) => None,
    }
}

fn of_instance(planner: &Planner<'_>, at: usize, config: &Config) -> Result<Remarks, TestImagesError> {
    let graph = planner.graph;
    let split = graph.closure([at]).into_iter().find(|at| graph.instances[*at].stage == Stage::Split);
    let train = split.and_then(|split| read_by(planner, split, "train_images"));
    let (Some(train), Some(test)) = (side(planner, train), side(planner, read_by(planner, at, "test_images"))) else {
        return Ok(Remarks::default());
    };
    let all = train.classes();
    let Some(known) = known_classes(planner, config, &all) else { return Ok(Remarks::default()) };
    let mut remarks = compare_classes(&test, &known, &all)?;
    if let Some(overlap) = overlap(&train, &test, &known) {
        if !config.data.allow_overlap {
            return Err(TestImagesError::Overlap(overlap));
        }
        remarks.warn(OVERLAP, format!("{overlap} (data.allow_overlap)"));
    }
    Ok(remarks)
}

fn side<'a>(planner: &Planner<'a>, external: Option<&External>) -> Option<Side<'a>> {
    let external = external?;
    let images = planner.externals.images(external)?;
    Some(Side { path: external.path().to_owned(), external: external.clone(), images })
}

/// Returns the classes of the network in the order of their labels, or `None` if their file cannot be read, which the
/// split reports.
fn known_classes(planner: &Planner<'_>, config: &Config, all: &[String]) -> Option<Vec<String>> {
    let is_restricted = config.split.published.is_some() || config.split.classes.is_some();
    if config.train.protocol == Protocol::Published || !is_restricted {
        return Some(all.to_vec());
    }
    match config.split.classes_file() {
        None => Some(imagenet100_classes()),
        Some(file) => {
            let text = read_text_limited(&planner.configuration.resolve(file), MAX_CLASSES_BYTES).ok()?;
            parse_classes(&text, "split.classes").ok()
        }
    }
}

fn quoted(name: &String) -> String {
    format!("`{name}`")
}

/// Joins the first words and the number of the others.
fn named(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let more = words.len().saturating_sub(NAMED_CLASSES);
    let named = words[..words.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
