use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use tfnas_images::class_folders;

use crate::plan::test_images::side::Side;
use crate::plan::test_images::{Remarks, TestImagesError, named, quoted};

/// A class whose name is spelled differently in the test and training images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSpelling {
    /// Name in the test images.
    pub test: String,
    /// Name in the training images.
    pub training: String,
}

impl fmt::Display for OtherSpelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { test, training } = self;
        let difference =
            if test.to_lowercase() == training.to_lowercase() { "case" } else { "spaces, hyphens or underscores" };
        write!(f, "`{test}` is `{training}` in the training images (they differ in {difference})")
    }
}

/// Compares the classes of the test images with those of the network (`known`) and with all training classes (`all`).
pub fn compare_classes(test: &Side<'_>, known: &[String], all: &[String]) -> Result<Remarks, TestImagesError> {
    let mut remarks = Remarks::default();
    if known.is_empty() {
        return Err(TestImagesError::NoTrainingClass);
    }
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
            named(untested.iter().map(quoted))
        );
        remarks.warn("untested_classes", message);
    }
    if !left_out.is_empty() {
        let message = format!(
            "{} of the test images are not among the training classes, and their images are skipped: {}",
            if left_out.len() == 1 { "1 class".to_owned() } else { format!("{} classes", left_out.len()) },
            named(left_out.iter().map(quoted))
        );
        remarks.warn("unknown_test_classes", message);
    }
    Ok(remarks)
}

/// Returns an error if test folders probably mean a training class with a slightly different name.
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

/// Normalizes the name of a class, so that names that differ only in spelling are equal.
fn folded(name: &str) -> String {
    name.to_lowercase().chars().filter(|character| !matches!(character, ' ' | '-' | '_')).collect()
}

/// Returns an error if folders of a list are training classes with other labels.
fn check_labels(folders: &BTreeMap<u32, &str>, known: &[String]) -> Result<(), TestImagesError> {
    let labels: HashMap<&str, usize> = known.iter().enumerate().map(|(label, name)| (name.as_str(), label)).collect();
    // If labels share a folder, the names of the folders are not classes.
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
