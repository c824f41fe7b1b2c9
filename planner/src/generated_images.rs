//! The generated image set, written at the first run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tfnas_images::generated::{self, GeneratedError, GeneratedSet};

use crate::config::Configuration;

/// What a written set says of itself, beside its images.
const MARKER: &str = "generated.json";

/// Whether the configuration generates what lies at `path`.
pub fn makes(configuration: &Configuration, path: &Path) -> bool {
    let folders =
        sets(configuration).into_iter().flat_map(|(root, _)| generated::FOLDERS.map(|folder| root.join(folder)));
    folders.into_iter().any(|folder| path.starts_with(folder))
}

/// Writes what the configuration generates, where it is not there yet.
///
/// # Errors
/// [`GeneratedError`] for a folder that holds something else or cannot be written.
pub fn ensure(configuration: &Configuration) -> Result<(), GeneratedError> {
    for (root, set) in sets(configuration) {
        let set = GeneratedSet {
            size: set.size,
            train_per_class: set.train_per_class,
            test_per_class: set.test_per_class,
            seed: set.seed,
        };
        // `write` reads a set that is there whole; whether its images are still the same, their manifest says sooner.
        if !is_marked(&root, &set) {
            if !root.exists() {
                tracing::info!("generating images in {}", root.display());
            }
            generated::write(&root, &set)?;
        }
    }
    Ok(())
}

/// Each folder that is generated, and with what.
fn sets(configuration: &Configuration) -> BTreeSet<(PathBuf, Parameters)> {
    let variants = configuration.variants.iter().map(|variant| &variant.config.data);
    variants
        .filter_map(|data| {
            let set = data.generate.as_ref()?;
            let parameters = Parameters {
                size: set.size,
                train_per_class: set.train_per_class,
                test_per_class: set.test_per_class,
                seed: set.seed,
            };
            Some((configuration.resolve(&data.root), parameters))
        })
        .collect()
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Parameters {
    size: usize,
    train_per_class: usize,
    test_per_class: usize,
    seed: u64,
}

/// Whether the folder says that it holds this set.
fn is_marked(root: &Path, set: &GeneratedSet) -> bool {
    let GeneratedSet { size, train_per_class, test_per_class, seed } = *set;
    let marker = std::fs::read(root.join(MARKER)).ok().and_then(|text| serde_json::from_slice(&text).ok());
    marker == Some(Parameters { size, train_per_class, test_per_class, seed })
}
