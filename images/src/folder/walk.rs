//! Walks through folders of images.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::FolderError;
use crate::{UnreadFormats, has_image_extension, is_ignored};

/// Collects the images in a folder and below as (folder relative to the root, name).
pub(super) fn collect(
    root: &Path,
    class: String,
    visited: &mut HashSet<PathBuf>,
    images: &mut Vec<(String, String)>,
    unread: &mut UnreadFormats,
) -> Result<(), FolderError> {
    let mut folders = vec![class];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let real = path.canonicalize().map_err(|source| FolderError::Read { path: path.clone(), source })?;
        // Cyclic links would never end.
        if !visited.insert(real) {
            return Err(FolderError::ReachedTwice(path));
        }
        for found in read(&path, unread)? {
            match found.kind {
                Kind::Folder => folders.push(format!("{folder}/{}", found.name)),
                Kind::Image => images.push((folder.clone(), found.name)),
            }
        }
    }
    Ok(())
}

/// A folder or image.
pub(super) struct Found {
    pub name: String,
    pub kind: Kind,
}

#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Image,
}

/// Returns the folders and images in a folder, unordered, and counts the files in unsupported formats.
pub(super) fn read(folder: &Path, unread: &mut UnreadFormats) -> Result<Vec<Found>, FolderError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Read { path, source }
    };
    let mut found = Vec::new();
    for item in fs::read_dir(folder).map_err(failed(folder))? {
        let item = item.map_err(failed(folder))?;
        let name = item.file_name();
        if is_ignored(name.as_encoded_bytes()) {
            continue;
        }
        let path = item.path();
        let is_image = has_image_extension(name.as_encoded_bytes());
        let mut file_type = item.file_type().map_err(failed(&path))?;
        if file_type.is_symlink() {
            match fs::metadata(&path) {
                Ok(target) => file_type = target.file_type(),
                Err(source) if is_image => return Err(FolderError::Read { path, source }),
                Err(_) => continue,
            }
        }
        let kind = match (file_type.is_dir(), is_image) {
            (true, _) => Kind::Folder,
            (false, true) if file_type.is_file() => Kind::Image,
            (false, true) => return Err(FolderError::NotAFile(path)),
            (false, false) => {
                unread.count(name.as_encoded_bytes());
                continue;
            }
        };
        let name = name.into_string().map_err(|_| FolderError::NotUnicode(path))?;
        found.push(Found { name, kind });
    }
    Ok(found)
}
