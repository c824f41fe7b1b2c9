use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tfnas_artifacts::{
    Digest, FolderError, FolderManifest, FolderRules, InputIdentity, identify_file, identify_folder, identify_list,
};
use tfnas_images::{ImageList, UnreadFormats, is_ignored, is_newly_read};
use tfnas_stages::Input;

use crate::plan::{External, Graph, InputSource};

/// Which files of an image folder count: all but hidden and system ones.
pub const IMAGE_FOLDER: FolderRules = FolderRules { is_ignored, is_new: is_newly_read };

/// The data that no stage made, identified by its content, each read once.
#[derive(Default)]
pub struct ExternalInputs {
    known: BTreeMap<External, Option<Resolved>>,
    /// Image by image; none where nobody wants that.
    images: Option<BTreeMap<External, IdentifiedImages>>,
}

/// Images whose content is known, one by one.
#[derive(Debug)]
pub struct IdentifiedImages {
    /// All files.
    pub manifest: FolderManifest,
    /// The list that names them, where there is one.
    pub list: Option<ImageList>,
}

/// Data whose content is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// What a worker is told.
    pub input: Input,
    /// Its digest.
    pub digest: Digest,
    /// How many files it is.
    pub files: u64,
    /// Their size together.
    pub bytes: u64,
    /// What an image folder holds beside images.
    pub left_out: LeftOut,
}

/// What is left out of a folder of images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Hidden and system files and folders.
    pub ignored: u64,
    /// Photos in formats that are not read.
    pub unread: UnreadFormats,
}

impl LeftOut {
    /// Counts what a folder holds.
    fn of(identity: &InputIdentity) -> Self {
        let mut unread = UnreadFormats::default();
        for entry in identity.manifest.entries() {
            unread.count(entry.path.rsplit('/').next().unwrap_or(&entry.path).as_bytes());
        }
        Self { ignored: identity.ignored, unread }
    }
}

/// Data that is not there, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder that does not exist.
    #[error("{key}: {} does not exist", path.display())]
    Missing {
        /// The key of the configuration that names it.
        key: &'static str,
        /// What it names.
        path: PathBuf,
    },
    /// A file where a folder should be, or the reverse.
    #[error("{key}: {} is no {expected}", path.display())]
    Kind {
        /// The key of the configuration that names it.
        key: &'static str,
        /// What it names.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The images cannot be identified.
    #[error("{key}: {source}")]
    Content {
        /// The key of the configuration that names them.
        key: &'static str,
        /// What is wrong.
        source: FolderError,
    },
    /// A list that names no images.
    #[error("{key}: {source}")]
    List {
        /// The key of the configuration that names it.
        key: &'static str,
        /// What is wrong.
        source: tfnas_images::ListError,
    },
}

impl ExternalInputs {
    /// Identifies everything that these instances read and no stage made. What does not exist yet because it will be
    /// generated under `generated` stays unknown.
    ///
    /// # Errors
    /// [`InputError`] for the first that is not there or cannot be read.
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

    /// Returns what is known of an input; none for what is not generated yet.
    pub fn get(&self, external: &External) -> Option<&Resolved> {
        self.known.get(external)?.as_ref()
    }
}

impl ExternalInputs {
    /// Says on standard error what is left out of folders of images.
    pub fn tell_left_out(&self) {
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

    /// Keeps the digest of each image that is identified from now on, until [`forget_images`](Self::forget_images).
    pub fn keep_images(&mut self) {
        self.images.get_or_insert_default();
    }

    /// Frees the memory of the digests of images.
    pub fn forget_images(&mut self) {
        self.images = None;
    }

    /// Returns the images of an input, if they are kept.
    pub fn images(&self, external: &External) -> Option<&IdentifiedImages> {
        self.images.as_ref()?.get(external)
    }

    /// Returns all that was asked about.
    pub fn known(&self) -> impl Iterator<Item = &External> {
        self.known.keys()
    }
}

impl External {
    /// Returns the file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder { path, .. } | Self::List { path, .. } | Self::File { path, .. } => path,
        }
    }

    /// Returns the key of the configuration that names it.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Folder { key, .. } | Self::List { key, .. } | Self::File { key, .. } => key,
        }
    }
}

/// Checks that everything these instances read, and no stage makes, is there; nothing is read yet.
///
/// # Errors
/// [`InputError`] for the first that is not there.
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

/// Returns whether it is there; false for what will be generated.
fn check_one(external: &External, generated: &dyn Fn(&Path) -> bool) -> Result<bool, InputError> {
    let (key, path) = (external.key(), external.path());
    if !path.exists() {
        return if generated(path) { Ok(false) } else { Err(InputError::Missing { key, path: path.to_owned() }) };
    }
    let wrong_kind = |expected| Err(InputError::Kind { key, path: path.to_owned(), expected });
    match external {
        External::Folder { .. } if !path.is_dir() => wrong_kind("folder"),
        External::File { .. } if !path.is_file() => wrong_kind("file"),
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
    let path = match external {
        External::List { root, .. } => root.clone(),
        _ => path.to_owned(),
    };
    // A worker may run in another folder.
    let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
    let input = Input { path: absolute(path), list: list.map(absolute), digest: digest.to_string() };
    Ok(Some((Resolved { input, digest, files, bytes, left_out }, images)))
}

/// A list's content is the list and the images that it names, not what else lies in their folder.
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
