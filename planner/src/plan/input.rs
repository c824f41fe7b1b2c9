use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tfnas_artifacts::{
    Digest, FolderError, FolderManifest, FolderRules, InputIdentity, identify_file, identify_folder, identify_list,
};
use tfnas_images::{ImageList, UnreadFormats, is_ignored, is_newly_read};
use tfnas_stages::Input;

use crate::plan::{External, Graph, InputSource};

/// The files of an image folder that are hashed: all except hidden and system files.
pub const IMAGE_FOLDER: FolderRules = FolderRules { is_ignored, is_new: is_newly_read };

/// Input data that is not made by a stage, identified by its content. Each input is read once.
#[derive(Default)]
pub struct ExternalInputs {
    known: BTreeMap<External, Option<Resolved>>,
    /// Individual images of each input; `None` if they are not needed.
    images: Option<BTreeMap<External, IdentifiedImages>>,
}

/// The individual images of an input, with their digests.
#[derive(Debug)]
pub struct IdentifiedImages {
    /// All files.
    pub manifest: FolderManifest,
    /// The list file, if the input is one.
    pub list: Option<ImageList>,
}

/// An input whose content is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The input as passed to a worker.
    pub input: Input,
    /// Digest of the content.
    pub digest: Digest,
    /// Number of files.
    pub files: u64,
    /// Total size of the files.
    pub bytes: u64,
    /// Number of classes of images: folders directly below the root, or labels of a list.
    pub classes: u64,
    /// Files of an image folder that are not used.
    pub left_out: LeftOut,
}

/// Files of an image folder that are not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Number of hidden and system files and folders.
    pub ignored: u64,
    /// Photos in unsupported formats.
    pub unread: UnreadFormats,
}

impl LeftOut {
    /// Counts the unused files of a folder.
    fn of(identity: &InputIdentity) -> Self {
        let mut unread = UnreadFormats::default();
        for entry in identity.manifest.entries() {
            unread.count(entry.path.rsplit('/').next().unwrap_or(&entry.path).as_bytes());
        }
        Self { ignored: identity.ignored, unread }
    }
}

/// An input does not exist or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder does not exist.
    #[error("{key}: {} does not exist", path.display())]
    Missing {
        /// The configuration key that specifies the path.
        key: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A file was given instead of a folder, or the reverse.
    #[error("{key}: {} is not {expected}", path.display())]
    Kind {
        /// The configuration key that specifies the path.
        key: &'static str,
        /// The path.
        path: PathBuf,
        /// The expected kind.
        expected: &'static str,
    },
    /// The images cannot be hashed.
    #[error("{key}: {source}")]
    Content {
        /// The configuration key that specifies the images.
        key: &'static str,
        /// What is wrong.
        source: FolderError,
    },
    /// The list file is invalid.
    #[error("{key}: {source}")]
    List {
        /// The configuration key that specifies the list.
        key: &'static str,
        /// What is wrong.
        source: tfnas_images::ListError,
    },
}

impl InputError {
    /// Returns the configuration key that specifies the input.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Missing { key, .. } | Self::Kind { key, .. } | Self::Content { key, .. } | Self::List { key, .. } => {
                key
            }
        }
    }
}

impl ExternalInputs {
    /// Identifies all external inputs of the instances. Inputs for which `generated` is true may be missing; they stay
    /// unknown until they are generated.
    ///
    /// # Errors
    /// Returns [`InputError`] for the first input that does not exist or cannot be read.
    pub fn identify(
        &mut self,
        graph: &Graph,
        instances: impl IntoIterator<Item = usize>,
        memos: Option<&Path>,
        generated: &dyn Fn(&Path) -> bool,
    ) -> Result<(), InputError> {
        for instance in instances {
            for input in &graph.instances[instance].inputs {
                if let InputSource::External(external) = &input.source
                    && !matches!(self.known.get(external), Some(Some(_)))
                {
                    let resolved = match resolve(external, memos, generated)? {
                        None => None,
                        Some((resolved, images)) => {
                            if let (Some(kept), Some(images)) = (&mut self.images, images) {
                                kept.insert(external.clone(), images);
                            }
                            Some(resolved)
                        }
                    };
                    self.known.insert(external.clone(), resolved);
                }
            }
        }
        Ok(())
    }

    /// Returns an input, or `None` if it has not been generated yet.
    pub fn get(&self, external: &External) -> Option<&Resolved> {
        self.known.get(external)?.as_ref()
    }

    /// Logs which files of image folders are not used.
    pub fn log_ignored_files(&self) {
        for (external, resolved) in &self.known {
            let Some(Resolved { left_out: LeftOut { ignored, unread }, .. }) = resolved else { continue };
            let key = external.key();
            match ignored {
                0 => {}
                1 => tracing::info!("{key}: ignored 1 hidden or system file or folder"),
                _ => tracing::info!("{key}: ignored {ignored} hidden or system files and folders"),
            }
            if !unread.is_empty() {
                tracing::warn!("{key}: {unread}");
            }
        }
    }

    /// From now on, keeps the digest of each image, until [`forget_images`](Self::forget_images).
    pub fn keep_images(&mut self) {
        self.images.get_or_insert_default();
    }

    /// Frees the memory used by digests of images.
    pub fn forget_images(&mut self) {
        self.images = None;
    }

    /// Returns the paths of at most `count` images, spread over all that have been kept.
    pub fn sample(&self, count: usize) -> Vec<PathBuf> {
        let Some(kept) = &self.images else { return Vec::new() };
        let all = kept.values().map(|images| images.manifest.entries().len()).sum::<usize>();
        let step = all.div_ceil(count).max(1);
        let folders = kept.iter().filter_map(|(external, images)| {
            let root = self.get(external)?.input.path.as_path();
            // Skipping entries before their paths are made keeps this fast for millions of images.
            Some(images.manifest.entries().iter().step_by(step).map(move |entry| root.join(&*entry.path)))
        });
        folders.flatten().take(count).collect()
    }

    /// Returns the images of an input, if they have been kept.
    pub fn images(&self, external: &External) -> Option<&IdentifiedImages> {
        self.images.as_ref()?.get(external)
    }

    /// Returns all inputs that have been looked up.
    pub fn known(&self) -> impl Iterator<Item = &External> {
        self.known.keys()
    }
}

impl External {
    /// Returns the path of the file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder { path, .. } | Self::List { path, .. } | Self::File { path, .. } => path,
        }
    }

    /// Returns the configuration key that specifies the input.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Folder { key, .. } | Self::List { key, .. } | Self::File { key, .. } => key,
        }
    }
}

/// Checks that all external inputs of the instances exist, without reading them.
///
/// # Errors
/// Returns [`InputError`] for the first input that does not exist.
pub fn check(
    graph: &Graph,
    instances: impl IntoIterator<Item = usize>,
    generated: &dyn Fn(&Path) -> bool,
) -> Result<(), InputError> {
    let inputs = instances.into_iter().flat_map(|instance| &graph.instances[instance].inputs);
    for input in inputs {
        if let InputSource::External(external) = &input.source {
            check_one(external, generated)?;
        }
    }
    Ok(())
}

/// Returns whether an input exists; false if it will be generated.
fn check_one(external: &External, generated: &dyn Fn(&Path) -> bool) -> Result<bool, InputError> {
    let (key, path) = (external.key(), external.path());
    if !path.exists() {
        return if generated(path) { Ok(false) } else { Err(InputError::Missing { key, path: path.to_owned() }) };
    }
    let wrong_kind = |expected| Err(InputError::Kind { key, path: path.to_owned(), expected });
    match external {
        External::Folder { .. } if !path.is_dir() => wrong_kind("a folder"),
        External::File { .. } if !path.is_file() => wrong_kind("a file"),
        _ => Ok(true),
    }
}

fn resolve(
    external: &External,
    memos: Option<&Path>,
    generated: &dyn Fn(&Path) -> bool,
) -> Result<Option<(Resolved, Option<IdentifiedImages>)>, InputError> {
    let (key, path) = (external.key(), external.path());
    if !check_one(external, generated)? {
        return Ok(None);
    }
    let content = |source| InputError::Content { key, source };
    let (identity, named) = match external {
        External::Folder { .. } => (identify_folder(path, &IMAGE_FOLDER, memos).map_err(content)?, None),
        External::File { .. } => (identify_file(path, memos).map_err(content)?, None),
        External::List { root, .. } => {
            let (identity, named) = identify_images(root, path, memos, key)?;
            (identity, Some(named))
        }
    };
    let left_out = match external {
        External::Folder { .. } => LeftOut::of(&identity),
        _ => LeftOut::default(),
    };
    let list = named.is_some().then(|| path.to_owned());
    let InputIdentity { digest, files, bytes, manifest, .. } = identity;
    let is_file = matches!(external, External::File { .. });
    let images = (!is_file).then_some(IdentifiedImages { manifest, list: named });
    let classes = match (&images, external) {
        (_, External::File { .. }) | (None, _) => 0,
        (Some(IdentifiedImages { list: Some(list), .. }), _) => {
            list.entries().iter().map(|entry| entry.label).collect::<BTreeSet<_>>().len() as u64
        }
        (Some(IdentifiedImages { manifest, .. }), _) => {
            let folders = manifest.entries().iter().filter_map(|entry| Some(entry.path.split_once('/')?.0));
            folders.collect::<BTreeSet<_>>().len() as u64
        }
    };
    let path = match external {
        External::List { root, .. } => root.clone(),
        _ => path.to_owned(),
    };
    // The worker may have another working directory.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let input = Input { path: absolute(path), list: list.map(absolute), digest: digest.to_string() };
    Ok(Some((Resolved { input, digest, files, bytes, classes, left_out }, images)))
}

/// Identifies a list and the images in it, but not other files in their folder.
fn identify_images(
    root: &Path,
    list: &Path,
    memos: Option<&Path>,
    key: &'static str,
) -> Result<(InputIdentity, ImageList), InputError> {
    let images = ImageList::read(list, root).map_err(|source| InputError::List { key, source })?;
    let paths = images.entries().iter().map(|entry| entry.path.as_str());
    let identity = identify_list(list, root, paths, memos).map_err(|source| InputError::Content { key, source })?;
    Ok((identity, images))
}
