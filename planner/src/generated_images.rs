//! The generated image set, which is written by the first run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tfnas_images::generated::{self, GeneratedError, GeneratedSet};
use tfnas_stages::GenerateSection;

use crate::config::Configuration;

/// The file in the folder of a generated set that contains its parameters.
const MARKER: &str = "generated.json";

/// Returns whether `path` is part of a set that the configuration generates.
pub fn makes(configuration: &Configuration, path: &Path) -> bool {
    let folders =
        sets(configuration).into_iter().flat_map(|(root, _)| generated::FOLDERS.map(|folder| root.join(folder)));
    folders.into_iter().any(|folder| path.starts_with(folder))
}

/// Writes the image sets that the configuration generates and that do not exist yet.
///
/// # Errors
/// Returns [`GeneratedError`] if a folder contains something else or cannot be written.
pub fn ensure(configuration: &Configuration) -> Result<(), GeneratedError> {
    for (root, set) in sets(configuration) {
        // `write` verifies an existing set by reading all images. Their manifest finds changes faster.
        if !is_marked(&root, &set) {
            if !root.exists() {
                tracing::info!("generating images in {}", root.display());
            }
            generated::write(&root, &set)?;
        }
    }
    Ok(())
}

/// Returns the folders of the generated sets with their parameters.
fn sets(configuration: &Configuration) -> BTreeSet<(PathBuf, GeneratedSet)> {
    let variants = configuration.variants.iter().map(|variant| &variant.config.data);
    variants
        .filter_map(|data| {
            let set = set_of(data.generate.as_ref()?);
            Some((configuration.resolve(&data.root), set))
        })
        .collect()
}

fn set_of(section: &GenerateSection) -> GeneratedSet {
    let GenerateSection { size, train_per_class, test_per_class, seed } = *section;
    GeneratedSet { size, train_per_class, test_per_class, seed }
}

/// Checks the parameters of a generated set. Returns the name of the first invalid one, and what is wrong with it.
pub(crate) fn check(section: &GenerateSection) -> Result<(), (&'static str, String)> {
    set_of(section).check().map_err(|error| match error {
        GeneratedError::Parameter { field, least, most, found, .. } => {
            (field, format!("must be between {least} and {most}, not {found}"))
        }
        other => ("", other.to_string()),
    })
}

/// Returns whether the marker file of a folder has these parameters.
fn is_marked(root: &Path, set: &GeneratedSet) -> bool {
    let marker: Option<GeneratedSet> =
        std::fs::read(root.join(MARKER)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    marker.as_ref() == Some(set)
}
