//! Checks of the test images against the training images, made from the digests of both before anything runs.

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

/// The kind of a remark about images of the same content.
const OVERLAP: &str = "overlap";
/// How many classes are named.
const NAMED_CLASSES: usize = 10;
/// More bytes than any list of classes has.
const MAX_CLASSES_BYTES: u64 = 16 << 20;

/// What is to be said of the test images before anything runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remarks {
    /// What the result means.
    pub notes: Vec<Remark>,
    /// What may be a mistake.
    pub warnings: Vec<Remark>,
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Its kind, for programs.
    pub kind: &'static str,
    /// For people.
    pub message: String,
}

/// Test images that do not fit the training images.
#[derive(Debug, thiserror::Error)]
pub enum TestImagesError {
    /// Images of the same content on both sides.
    #[error("data.test: {0}")]
    Overlap(Overlap),
    /// Classes whose names are nearly the same.
    #[error(
        "data.test: classes of the test images have other names than the training classes: {}",
        named(pairs.iter().map(ToString::to_string))
    )]
    Spelling {
        /// Each name in the test images, and in the training images.
        pairs: Vec<OtherSpelling>,
    },
    /// Training images without classes.
    #[error("data.train: the training images have no class folders")]
    NoTrainingClass,
    /// No class in common.
    #[error(
        "data.test: {} has no images of the {} training classes ({}); its classes are {}",
        path.display(),
        training.len(),
        named(training.iter().map(quoted)),
        if test.is_empty() { "none".to_owned() } else { named(test.iter().map(quoted)) }
    )]
    NoClass {
        /// The test images.
        path: PathBuf,
        /// The classes of the network.
        training: Vec<String>,
        /// The classes of the test images.
        test: Vec<String>,
    },
    /// A list whose labels count other classes.
    #[error(
        "data.test: label {label} is class `{training}` in the training images, and its test images are in the folder \
         `{test}`, which is label {other} of the training images"
    )]
    Label {
        /// The label.
        label: usize,
        /// Its class.
        training: String,
        /// The folder of its test images.
        test: String,
        /// The label of the class of that name.
        other: usize,
    },
}

impl TestImagesError {
    /// Returns the way out.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Overlap(_) => {
                "remove them from one of the two, or set `data.allow_overlap: true` to run nevertheless (the accuracy will \
                 be too high)"
            }
            Self::Spelling { .. } => "rename the class folders of one side, so that a class has the same name on both",
            Self::NoTrainingClass => {
                "put the images of each class in a folder of its own, and name the folder of these folders with `data.train`"
            }
            Self::NoClass { .. } => {
                "name the folder of class folders, or the list file, of these classes with `data.test`"
            }
            Self::Label { .. } => "number the classes of both lists alike",
        }
    }
}

/// Checks the test images that these instances read, as far as they and the training images are identified.
///
/// # Errors
/// Returns [`TestImagesError`] if training and test share images and `data.allow_overlap` is not set, or if their classes
/// have other names.
pub fn check_test_images(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<Remarks, TestImagesError> {
    let mut remarks = Remarks::default();
    for &at in instances {
        let config = &planner.variant(at).config;
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
    /// Returns a line for each remark.
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

/// What an instance reads at a port, where no stage makes it.
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

/// The classes that the network of this configuration knows, in the order of their labels; none if their file cannot be
/// read, which the split reports.
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

/// The first of some words, and how many more there are.
fn named(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let more = words.len().saturating_sub(NAMED_CLASSES);
    let named = words[..words.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
