//! Finds the images of a run at the place given by the configuration, and verifies them.

use std::path::{Path, PathBuf};

use tfnas_artifacts::{Digest, FolderManifest, identify_folder, identify_list};
use tfnas_images::{ImageList, parse_classes, scan_known_classes};
use tfnas_planner::config::Configuration;
use tfnas_planner::plan::IMAGE_FOLDER;
use tfnas_stages::DataSection;

use crate::PublicationError;
use crate::{Images, public_path};

/// The verified images of a run.
pub struct Found {
    /// The description that is published.
    pub images: Images,
    /// The digests of the images.
    pub manifest: FolderManifest,
    folder: PathBuf,
    list: Option<PathBuf>,
}

/// The training or the test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The training images.
    Train,
    /// The test images.
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

/// Finds images and checks that they have the digest `wanted`.
///
/// * `memos`: folder in which digests of files are cached.
///
/// # Errors
/// Returns an error if the images do not exist, cannot be read, or have another digest.
pub fn find(
    configuration: &Configuration,
    data: &DataSection,
    which: Which,
    wanted: Digest,
    memos: Option<&Path>,
) -> Result<Found, PublicationError> {
    let key = which.key();
    let hint = "specify the images of that run: --set data.root=FOLDER, or its --config";
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
            "the images in {} differ from those of the run: their digest is {}, but the run read {}",
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
    /// Returns the images as a list: the list file, or a list of the images in the class folders.
    ///
    /// * `classes`: the names of the classes, one per line.
    ///
    /// # Errors
    /// Returns an error if the list, the names or the folders cannot be read.
    pub fn list(&self, classes: &str) -> Result<Vec<u8>, PublicationError> {
        if let Some(list) = &self.list {
            return std::fs::read(list)
                .map_err(|error| PublicationError::usage(format!("cannot read {}: {error}", list.display())));
        }
        let names = parse_classes(classes, "the names of the classes");
        let names = names.map_err(|error| PublicationError::usage(error.to_string()))?;
        // As in the stages, classes without test images are skipped.
        let list =
            scan_known_classes(&self.folder, &names).map_err(|error| PublicationError::usage(error.to_string()))?;
        Ok(list.to_text().into_bytes())
    }
}
