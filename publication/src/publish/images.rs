//! The images of a run: where the configuration says they are, and as the run read them.

use std::path::{Path, PathBuf};

use tfnas_artifacts::{Digest, FolderManifest, identify_folder, identify_list};
use tfnas_images::{ImageList, parse_classes, scan_known_classes};
use tfnas_planner::config::Configuration;
use tfnas_planner::plan::IMAGE_FOLDER;
use tfnas_stages::DataSection;

use crate::PublicationError;
use crate::{Images, public_path};

/// Images as a run read them.
pub struct Found {
    /// What is published of them.
    pub images: Images,
    /// The digest of each.
    pub manifest: FolderManifest,
    folder: PathBuf,
    list: Option<PathBuf>,
}

/// Which images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that train.
    Train,
    /// Those that test.
    Test,
}

impl Which {
    fn key(self) -> &'static str {
        match self {
            Self::Train => "data.train",
            Self::Test => "data.test",
        }
    }
}

/// Finds images, which must be those of the digest.
///
/// * `memos`: where digests of files are remembered.
///
/// # Errors
/// Images that are not there, cannot be read, or are others.
pub fn find(
    configuration: &Configuration,
    data: &DataSection,
    which: Which,
    wanted: Digest,
    memos: Option<&Path>,
) -> Result<Found, PublicationError> {
    let key = which.key();
    let hint = "name the images of that run: --set data.root=FOLDER, or its --config";
    let root = configuration.resolve(&data.root);
    let named = match which {
        Which::Train => data.train.as_path(),
        Which::Test => data.test.as_deref().unwrap_or(Path::new(DataSection::TEST)),
    };
    let path = root.join(named);
    let wrong = |error: String| PublicationError::usage(format!("{key}: {error}")).with_hint(hint);
    if !path.exists() {
        return Err(wrong(format!("{} does not exist", path.display())));
    }
    let is_list = path.is_file();
    let identity = if is_list {
        let images = ImageList::read(&path, &root).map_err(|error| wrong(error.to_string()))?;
        identify_list(&path, &root, images.entries().iter().map(|entry| entry.path.as_str()), memos)
    } else {
        identify_folder(&path, &IMAGE_FOLDER, memos)
    };
    let identity = identity.map_err(|error| wrong(error.to_string()))?;
    if identity.digest != wanted {
        return Err(wrong(format!(
            "the images in {} are not those that the run read: their digest is {}, and it read {}",
            path.display(),
            identity.digest.short(),
            wanted.short()
        )));
    }
    let name = public_path(named).to_string_lossy().into_owned();
    let images = Images { name, is_list, files: identity.files, bytes: identity.bytes, blake3: identity.digest };
    let (folder, list) = if is_list { (root, Some(path)) } else { (path, None) };
    Ok(Found { images, manifest: identity.manifest, folder, list })
}

impl Found {
    /// Returns the list of these images as text: the list file itself, or what a stage makes of class folders.
    ///
    /// * `classes`: names of the classes, a line each.
    ///
    /// # Errors
    /// What is wrong with the list, the names or the folders.
    pub fn list(&self, classes: &str) -> Result<Vec<u8>, PublicationError> {
        if let Some(list) = &self.list {
            return std::fs::read(list)
                .map_err(|error| PublicationError::usage(format!("cannot read {}: {error}", list.display())));
        }
        let names = parse_classes(classes, "the names of the classes");
        let names = names.map_err(|error| PublicationError::usage(error.to_string()))?;
        // As the stages do: a class without test images is not tested.
        let list =
            scan_known_classes(&self.folder, &names).map_err(|error| PublicationError::usage(error.to_string()))?;
        Ok(list.to_text().into_bytes())
    }
}
