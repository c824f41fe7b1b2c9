//! L0: checks that the folder contains exactly the files of its manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use tfnas_artifacts::Digest;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::statement::Statement;

use crate::PublicationError;
use crate::audit::checks::{Checks, Level};
use crate::{FileEntry, Manifest, names};

/// Maximum size of a manifest.
const MAX_MANIFEST_BYTES: u64 = 16 << 20;
/// Maximum size of a Statement or a signature.
const MAX_STATEMENT_BYTES: u64 = 16 << 20;
/// Maximum size of any file.
const MAX_BYTES: u64 = 64 << 30;
/// Maximum number of files.
const MAX_FILES: usize = 20_000;
/// Maximum depth of nested folders.
const MAX_DEPTH: usize = 16;

/// A folder with a publication.
pub struct Folder {
    root: PathBuf,
    /// The manifest; empty if it cannot be read.
    pub manifest: Manifest,
    /// All files that were found, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// Whether the folder contains exactly the files of the manifest.
    pub sound: bool,
}

/// The contents of a folder: the sizes of regular files by name, and everything else by name.
#[derive(Default)]
struct Found {
    files: BTreeMap<String, u64>,
    odd: BTreeMap<String, &'static str>,
}

impl Folder {
    /// Reads a folder and compares it with its manifest.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be read, or if it contains no files of a publication.
    pub fn open(path: &Path, checks: &mut Checks) -> Result<Self, PublicationError> {
        let root = fs::canonicalize(path)
            .map_err(|error| PublicationError::usage(format!("cannot open {}: {error}", path.display())))?;
        let found = walk(&root).map_err(|error| PublicationError::usage(format!("{}: {error}", path.display())))?;
        if !found.files.keys().any(|name| is_telling(name)) {
            return Err(PublicationError::usage(format!("{} is not a published network", path.display()))
                .with_hint("create one with `publish`, or check a single file with `audit FILE`"));
        }
        for (name, what) in &found.odd {
            checks.fail(Level::L0, name, format!("it is {what}"));
        }
        let mut files = BTreeMap::new();
        for (name, bytes) in &found.files {
            match hash(&root, name, *bytes) {
                Ok(entry) => {
                    files.insert(name.clone(), entry);
                }
                Err(why) => checks.fail(Level::L0, name, why),
            }
        }
        let manifest = match read_manifest(&root, &files) {
            Ok(manifest) => {
                compare(&manifest, &files, checks);
                if let Some(why) = other_manifest(&root, &files) {
                    checks.fail(Level::L0, names::MANIFEST, why);
                }
                manifest
            }
            Err(why) => {
                checks.fail(Level::L0, names::MANIFEST, why);
                let signatures =
                    [names::SIGNATURE, names::ENVELOPE].into_iter().filter(|name| files.contains_key(*name));
                Manifest::new(Vec::new(), signatures.map(str::to_owned).collect())
            }
        };
        let sound = !checks.failed(Level::L0);
        if sound {
            let found = format!("{} files match the manifest, and there are no other files", files.len());
            checks.pass(Level::L0, "files", found);
        }
        Ok(Self { root, manifest, files, sound })
    }

    /// Returns the contents of a file, and verifies that they have not changed since the folder was opened.
    ///
    /// # Errors
    /// Returns a message with the name of the file if it is missing, cannot be read or has changed.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        let wrong = |why: &str| format!("{name}: {why}");
        let entry = self.files.get(name).ok_or_else(|| wrong("it is missing"))?;
        let bytes = fs::read(self.path(name)).map_err(|error| wrong(&error.to_string()))?;
        if Digest::of_bytes(&bytes) == entry.blake3 { Ok(bytes) } else { Err(wrong("it changed while it was read")) }
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Returns whether a file of this name is a sign of a publication, complete or not.
fn is_telling(name: &str) -> bool {
    [names::MANIFEST, names::STATEMENT, names::CONFIGURATION, names::DATA, names::SIGNATURE].contains(&name)
}

fn read_manifest(root: &Path, files: &BTreeMap<String, FileEntry>) -> Result<Manifest, String> {
    let entry = files.get(names::MANIFEST).ok_or("it is missing")?;
    if entry.bytes > MAX_MANIFEST_BYTES {
        return Err("it is far too large".to_owned());
    }
    let bytes = fs::read(root.join(names::MANIFEST)).map_err(|error| error.to_string())?;
    Manifest::parse(&bytes).map_err(|error| error.to_string())
}

/// Compares the files in the folder with the manifest.
fn compare(manifest: &Manifest, files: &BTreeMap<String, FileEntry>, checks: &mut Checks) {
    for expected in &manifest.files {
        let why = match files.get(&expected.name) {
            None => "it is missing".to_owned(),
            Some(found) if found.bytes != expected.bytes => {
                format!("it has {} bytes, but the manifest has {}", found.bytes, expected.bytes)
            }
            Some(found) if found.sha256 != expected.sha256 => {
                format!("its SHA-256 is {}, but the manifest has {}", found.sha256, expected.sha256)
            }
            Some(found) if found.blake3 != expected.blake3 => {
                format!("its BLAKE3 is {}, but the manifest has {}", found.blake3, expected.blake3)
            }
            Some(_) => continue,
        };
        checks.fail(Level::L0, &expected.name, why);
    }
    let own = [names::MANIFEST, names::STATEMENT].into_iter().chain(manifest.signatures.iter().map(String::as_str));
    for name in own.clone().filter(|name| !files.contains_key(*name)) {
        checks.fail(Level::L0, name, "it is missing");
    }
    let expected: BTreeSet<&str> = own.chain(manifest.files.iter().map(|file| file.name.as_str())).collect();
    for name in files.keys().filter(|name| !expected.contains(name.as_str())) {
        checks.fail(Level::L0, name, "it is not in the manifest");
    }
}

/// Returns an error message if the Statement refers to another manifest.
fn other_manifest(root: &Path, files: &BTreeMap<String, FileEntry>) -> Option<String> {
    let found = files.get(names::MANIFEST)?;
    files.get(names::STATEMENT).filter(|file| file.bytes <= MAX_STATEMENT_BYTES)?;
    let claimed = Statement::from_json(&fs::read(root.join(names::STATEMENT)).ok()?).ok()?;
    let subject = claimed.subject.iter().find(|subject| subject.name.as_deref() == Some(names::MANIFEST))?;
    let same = subject.sha256() == Some(found.sha256);
    (!same).then(|| format!("it is not the one that {} is about", names::STATEMENT))
}

fn hash(root: &Path, name: &str, length: u64) -> Result<FileEntry, String> {
    if length > MAX_BYTES {
        return Err("it is far too large".to_owned());
    }
    let path = root.join(name);
    let wrong = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(&path).map_err(wrong)?;
    // A small file is read once; a large file is read twice in blocks.
    if length <= SMALL_BYTES {
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(wrong)?;
        return Ok(FileEntry {
            name: name.to_owned(),
            bytes: bytes.len() as u64,
            sha256: Sha256Digest::of_bytes(&bytes),
            blake3: Digest::of_bytes(&bytes),
        });
    }
    let (sha256, bytes) = Sha256Digest::of_reader(&mut file.take(MAX_BYTES)).map_err(wrong)?;
    let (blake3, _) = Digest::of_file(&path).map_err(|error| error.to_string())?;
    Ok(FileEntry { name: name.to_owned(), bytes, sha256, blake3 })
}

/// Maximum size of a file that is hashed in memory.
const SMALL_BYTES: u64 = 1 << 20;

/// Lists everything below a folder, without following links.
fn walk(root: &Path) -> Result<Found, String> {
    let mut found = Found::default();
    let mut open = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        let wrong = |error: std::io::Error| format!("cannot list {}: {error}", folder.display());
        let mut empty = true;
        for entry in fs::read_dir(&folder).map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            empty = false;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type().map_err(wrong)?;
            if entry.file_name().to_str().is_none() {
                found.odd.insert(name, "named by no text");
            } else if kind.is_symlink() {
                found.odd.insert(name, "a symbolic link");
            } else if kind.is_dir() && depth == MAX_DEPTH {
                found.odd.insert(name, "a folder deeper than those of publications");
            } else if kind.is_dir() {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else if kind.is_file() {
                found.files.insert(name, entry.metadata().map_err(wrong)?.len());
            } else {
                found.odd.insert(name, "neither a file nor a folder");
            }
            if found.files.len() + found.odd.len() > MAX_FILES {
                return Err(format!("more than {MAX_FILES} files: this is not a published network"));
            }
        }
        if empty && !prefix.is_empty() {
            found.odd.insert(prefix, "an empty folder");
        }
    }
    Ok(found)
}
