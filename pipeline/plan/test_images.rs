//! Checks of the test images against the training images, made from the digests of both before anything runs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;
use tfnas_artifacts::Digest;
use tfnas_images::{class_folders, class_names, imagenet100_classes, is_class_image, parse_classes};
use tfnas_stages::{Config, Protocol, Stage};

use crate::bounded;
use crate::plan::{External, From, IdentifiedImages, Planner};
use crate::report::human;

/// How many pairs of equal images are named.
const NAMED_PAIRS: usize = 5;
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
        shortened(pairs.iter().map(ToString::to_string))
    )]
    Spelling {
        /// Each name in the test images, and in the training images.
        pairs: Vec<OtherSpelling>,
    },
    /// No class in common.
    #[error(
        "data.test: {} has no images of the {} training classes ({}); its classes are {}",
        path.display(),
        training.len(),
        shortened(training.iter().map(quoted)),
        if test.is_empty() { "none".to_owned() } else { shortened(test.iter().map(quoted)) }
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
            Self::NoClass { .. } => {
                "name the folder of class folders, or the list file, of these classes with `data.test`"
            }
            Self::Label { .. } => "number the classes of both lists alike",
        }
    }
}

/// A class with two names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSpelling {
    test: String,
    training: String,
}

impl std::fmt::Display for OtherSpelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { test, training } = self;
        let difference =
            if test.to_lowercase() == training.to_lowercase() { "case" } else { "spaces, hyphens or underscores" };
        write!(f, "`{test}` is `{training}` in the training images (they differ in {difference})")
    }
}

/// Test images whose content is also that of training images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// How many test images.
    count: usize,
    /// Of how many.
    total: usize,
    /// The first test images, and a training image of the same content for each.
    first: Vec<(PathBuf, PathBuf)>,
}

impl std::fmt::Display for Overlap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, total, first } = self;
        let pairs: Vec<String> =
            first.iter().map(|(test, train)| format!("{} = {}", test.display(), train.display())).collect();
        let more = if *count > first.len() { ", …" } else { "" };
        write!(f, "{count} of {total} test images have the same content as training images: {}{more}", pairs.join(", "))
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
                let is_list = matches!(read_by(planner, at, "train_images"), Some(External::List { .. }));
                let message = human::drawn_test_images(share, config.seed, is_list);
                Remarks { notes: vec![Remark { kind: "test_images_drawn", message }], ..Remarks::default() }
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
    let feed = planner.graph.instances[at].feeds.iter().find(|feed| feed.port == port)?;
    match &feed.from {
        From::External(external) => Some(external),
        From::Instance(..) => None,
    }
}

fn of_instance(planner: &Planner<'_>, at: usize, config: &Config) -> Result<Remarks, TestImagesError> {
    let graph = planner.graph;
    let split = graph.closure([at]).into_iter().find(|at| graph.instances[*at].stage == Stage::Split);
    let train = split.and_then(|split| read_by(planner, split, "train_images"));
    let side = |external: Option<&External>| {
        let external = external?;
        Some(Side {
            path: external.path().to_owned(),
            images: planner.externals.images(external)?,
            external: external.clone(),
        })
    };
    let (Some(train), Some(test)) = (side(train), side(read_by(planner, at, "test_images"))) else {
        return Ok(Remarks::default());
    };
    let all = train.classes();
    let Some(known) = known_classes(planner, config, &all) else { return Ok(Remarks::default()) };
    let mut remarks = compare_classes(&test, &known, &all)?;
    if let Some(overlap) = overlap(&train, &test, &known) {
        if !config.data.allow_overlap {
            return Err(TestImagesError::Overlap(overlap));
        }
        remarks.warn("overlap", format!("{overlap} (data.allow_overlap)"));
    }
    Ok(remarks)
}

/// Training or test images.
struct Side<'a> {
    path: PathBuf,
    external: External,
    images: &'a IdentifiedImages,
}

impl Side<'_> {
    /// The names of the classes, in the order of their labels.
    fn classes(&self) -> Vec<String> {
        match &self.images.list {
            Some(list) => class_names(list),
            None => self.folders().into_iter().map(str::to_owned).collect(),
        }
    }

    /// The class folders that hold images.
    fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        let mut last = "";
        for entry in self.images.manifest.entries().iter().filter(|entry| is_class_image(&entry.path)) {
            let folder = class_of(&entry.path);
            // The files of a folder stand together.
            if folder != last {
                folders.insert(folder);
                last = folder;
            }
        }
        folders
    }

    /// The images with their digests, those of classes that are not in `known` left out.
    fn images<'a>(&'a self, known: Option<&'a [String]>) -> impl Iterator<Item = (&'a str, &'a Digest)> {
        let names: Option<HashSet<&str>> = known.map(|known| known.iter().map(String::as_str).collect());
        let labels = known.map_or(usize::MAX, <[String]>::len);
        let left_out: HashSet<&str> = match &self.images.list {
            Some(list) => {
                let left_out = list.entries().iter().filter(|entry| entry.label as usize >= labels);
                left_out.map(|entry| entry.path.as_str()).collect()
            }
            None => HashSet::new(),
        };
        let is_list = self.images.list.is_some();
        let entries = self.images.manifest.entries().iter().filter(move |entry| {
            let path = &*entry.path;
            let counts = if is_list {
                !left_out.contains(path)
            } else {
                is_class_image(path) && names.as_ref().is_none_or(|names| names.contains(class_of(path)))
            };
            // Empty files are not images, and all alike.
            counts && entry.bytes > 0
        });
        entries.map(|entry| (&*entry.path, &entry.digest))
    }

    /// Where an image is.
    fn path_of(&self, image: &str) -> PathBuf {
        match &self.external {
            External::List { root, .. } => root.join(image),
            _ => self.path.join(image),
        }
    }
}

fn class_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path)
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
            let text = bounded::read_text(&planner.configuration.resolve(file), MAX_CLASSES_BYTES).ok()?;
            parse_classes(&text, "split.classes").ok()
        }
    }
}

/// Compares the classes of the test images with those of the network, and with `all` classes of the training images.
fn compare_classes(test: &Side<'_>, known: &[String], all: &[String]) -> Result<Remarks, TestImagesError> {
    let mut remarks = Remarks::default();
    let (untested, left_out): (Vec<String>, Vec<String>) = match &test.images.list {
        Some(list) => {
            check_labels(&class_folders(list), known)?;
            let labels: BTreeSet<usize> = list.entries().iter().map(|entry| entry.label as usize).collect();
            let without = known.iter().enumerate().filter(|(label, _)| !labels.contains(label));
            let beyond = labels.range(known.len()..).map(|label| format!("label {label}"));
            (without.map(|(_, name)| name.clone()).collect(), beyond.collect())
        }
        None => {
            let folders = test.folders();
            check_spelling(&folders, known)?;
            let is_known: HashSet<&str> = known.iter().chain(all).map(String::as_str).collect();
            let without = known.iter().filter(|name| !folders.contains(name.as_str())).cloned();
            let beyond = folders.iter().filter(|name| !is_known.contains(*name)).map(|name| (*name).to_owned());
            (without.collect(), beyond.collect())
        }
    };
    if untested.len() == known.len() {
        let test_classes = match &test.images.list {
            Some(_) => left_out,
            None => test.folders().into_iter().map(str::to_owned).collect(),
        };
        return Err(TestImagesError::NoClass { path: test.path.clone(), training: known.to_vec(), test: test_classes });
    }
    if !untested.is_empty() {
        let message = format!(
            "{} of {} training classes have no test images and are not tested: {}",
            untested.len(),
            known.len(),
            shortened(untested.iter().map(quoted))
        );
        remarks.warn("untested_classes", message);
    }
    if !left_out.is_empty() {
        let message = format!(
            "{} of the test images are not among the training classes, and their images are left out: {}",
            if left_out.len() == 1 { "1 class".to_owned() } else { format!("{} classes", left_out.len()) },
            shortened(left_out.iter().map(quoted))
        );
        remarks.warn("unknown_test_classes", message);
    }
    Ok(remarks)
}

/// Refuses test folders that are probably meant to be a training class of nearly the same name.
fn check_spelling(folders: &BTreeSet<&str>, known: &[String]) -> Result<(), TestImagesError> {
    let names: HashSet<&str> = known.iter().map(String::as_str).collect();
    let folded: HashMap<String, &String> = known.iter().map(|name| (folded(name), name)).collect();
    let pairs: Vec<OtherSpelling> = folders
        .iter()
        .filter(|folder| !names.contains(*folder))
        .filter_map(|folder| {
            let training = (*folded.get(&self::folded(folder))?).clone();
            Some(OtherSpelling { test: (*folder).to_owned(), training })
        })
        .collect();
    if pairs.is_empty() { Ok(()) } else { Err(TestImagesError::Spelling { pairs }) }
}

/// A name without what people write in different ways.
fn folded(name: &str) -> String {
    name.to_lowercase().chars().filter(|character| !matches!(character, ' ' | '-' | '_')).collect()
}

/// Refuses a list whose folders are training classes of other labels.
fn check_labels(folders: &std::collections::BTreeMap<u32, &str>, known: &[String]) -> Result<(), TestImagesError> {
    let labels: HashMap<&str, usize> = known.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
    // Without a folder of its own for each label, the names of the folders do not tell classes.
    let distinct: HashSet<&str> = folders.values().copied().collect();
    if distinct.len() != folders.len() {
        return Ok(());
    }
    for (&label, &test) in folders {
        let label = label as usize;
        if let (Some(training), Some(&other)) = (known.get(label), labels.get(test))
            && other != label
        {
            return Err(TestImagesError::Label { label, training: training.clone(), test: test.to_owned(), other });
        }
    }
    Ok(())
}

/// Returns the test images whose content is that of training images; none if there are none.
fn overlap(train: &Side<'_>, test: &Side<'_>, known: &[String]) -> Option<Overlap> {
    let mut trained: HashMap<&Digest, Option<&str>> =
        test.images(Some(known)).map(|(_, digest)| (digest, None)).collect();
    for (path, digest) in train.images(None) {
        if let Some(first) = trained.get_mut(digest) {
            first.get_or_insert(path);
        }
    }
    let (mut count, mut total) = (0, 0);
    let mut first = Vec::new();
    for (path, digest) in test.images(Some(known)) {
        total += 1;
        if let Some(Some(trained)) = trained.get(digest) {
            count += 1;
            if first.len() < NAMED_PAIRS {
                first.push((test.path_of(path), train.path_of(trained)));
            }
        }
    }
    (count > 0).then_some(Overlap { count, total, first })
}

fn quoted(name: &String) -> String {
    format!("`{name}`")
}

/// The first of some words, and how many more there are.
fn shortened(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let more = words.len().saturating_sub(NAMED_CLASSES);
    let named = words[..words.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}
