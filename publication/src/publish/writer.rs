//! Writes a folder atomically: into a temporary folder, which is synced and renamed at the end.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tfnas_artifacts::Digest;
use tfnas_attestations::Sha256Digest;
use tfnas_attestations::dsse::Envelope;
use tfnas_attestations::keys::SigningKey;
use tfnas_attestations::model_signing::{Bundle, Manifest as SignedManifest, SignedFile};
use tfnas_attestations::statement::PAYLOAD_TYPE;
use tfnas_fs::TempDir;

use crate::PublicationError;
use crate::publish::gather::{Gathered, Source};
use crate::{FileEntry, Manifest, names, research_object, statement};

/// A folder that is being written.
pub struct FolderWriter {
    target: PathBuf,
    aside: TempDir,
}

/// The result of writing a publication.
pub struct Written {
    /// Number of files.
    pub files: usize,
    /// SHA-256 of the manifest, which contains the digests of the other files.
    pub manifest: Sha256Digest,
}

impl FolderWriter {
    /// Creates a temporary folder next to the target.
    ///
    /// # Errors
    /// Returns an error if the target is not empty, or if its parent folder does not exist or is not writable.
    pub fn to(target: &Path) -> Result<Self, PublicationError> {
        let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
        match fs::read_dir(&target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(PublicationError::usage(format!(
                        "--out {}: the folder is not empty",
                        target.display()
                    ))
                    .with_hint("choose a new folder"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(PublicationError::usage(format!("--out {}: {error}", target.display()))),
        }
        let parent = target.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            return Err(PublicationError::usage(format!("--out: there is no folder {}", parent.display()))
                .with_hint("create the folder first"));
        }
        let aside = tfnas_fs::new_folder_in(parent, ".publish-");
        let aside = aside.map_err(|error| cannot_write(&target, &error))?;
        Ok(Self { target, aside })
    }

    /// Writes all files and moves the folder to the target.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written, or if an artifact changes while it is copied.
    pub fn write(
        self,
        gathered: &Gathered,
        name: &str,
        license: Option<&str>,
        key: Option<&SigningKey>,
    ) -> Result<Written, PublicationError> {
        let contents = &gathered.contents;
        let mut entries = Vec::new();
        for (file, source) in &gathered.files {
            entries.push(self.put(file, source)?);
        }
        let card = Source::Bytes(contents.card(name, license).into_bytes());
        entries.push(self.put(names::CARD, &card)?);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let described = research_object(name, license, &entries, &contents.records, contents.weights());
        let described = described.map_err(|error| PublicationError::usage(error.to_string()))?;
        entries.push(self.put(names::CRATE, &Source::Bytes(described.into_bytes()))?);

        let signatures = match key {
            None => Vec::new(),
            Some(_) => vec![names::SIGNATURE.to_owned(), names::ENVELOPE.to_owned()],
        };
        let manifest = Manifest::new(entries, signatures);
        let own = self.put(names::MANIFEST, &Source::Bytes(manifest.to_text().into_bytes()))?;
        let manifest_sha256 = own.sha256;
        let mut subjects = manifest.files;
        subjects.push(own);
        let text = statement(&subjects, &contents.records, &contents.config, &contents.data).to_json();
        subjects.push(self.put(names::STATEMENT, &Source::Bytes(text.clone().into_bytes()))?);
        if let Some(key) = key {
            let envelope = Envelope::sign(PAYLOAD_TYPE, text.into_bytes(), key).to_json();
            subjects.push(self.put(names::ENVELOPE, &Source::Bytes(envelope.into_bytes()))?);
            let bundle = bundle(name, &subjects, key)?.to_json();
            subjects.push(self.put(names::SIGNATURE, &Source::Bytes(bundle.into_bytes()))?);
        }
        let written = Written { files: subjects.len(), manifest: manifest_sha256 };
        self.finish()?;
        Ok(written)
    }

    /// Writes and syncs one file.
    fn put(&self, name: &str, source: &Source) -> Result<FileEntry, PublicationError> {
        let path = self.aside.path().join(name);
        let wrong = |error: io::Error| cannot_write(&self.target.join(name), &error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(wrong)?;
        }
        match source {
            Source::Bytes(bytes) => fs::write(&path, bytes).map_err(wrong)?,
            Source::Artifact { path: from, .. } => {
                let mut to = File::create(&path).map_err(wrong)?;
                io::copy(&mut File::open(from).map_err(wrong)?, &mut to).map_err(wrong)?;
            }
        }
        let mut file = File::open(&path).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        let (sha256, bytes) = Sha256Digest::of_reader(&mut file).map_err(wrong)?;
        let (blake3, _) = Digest::of_file(&path)?;
        match source {
            Source::Artifact { digest, .. } if *digest != blake3 => {
                Err(PublicationError::failed(format!("{name}: the artifact changed while it was copied")))
            }
            _ => Ok(FileEntry { name: name.to_owned(), bytes, sha256, blake3 }),
        }
    }

    fn finish(self) -> Result<(), PublicationError> {
        let wrong = |error: io::Error| cannot_write(&self.target, &error);
        let mut open = vec![self.aside.path().to_owned()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).map_err(wrong)? {
                let path = entry.map_err(wrong)?.path();
                if path.is_dir() {
                    open.push(path);
                }
            }
            File::open(&folder).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        }
        // This replaces an empty folder at the target.
        fs::rename(self.aside.path(), &self.target).map_err(wrong)?;
        if let Some(parent) = self.target.parent() {
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(wrong)?;
        }
        Ok(())
    }
}

/// Signs all other files with an OpenSSF bundle.
fn bundle(name: &str, files: &[FileEntry], key: &SigningKey) -> Result<Bundle, PublicationError> {
    let files = files.iter().map(|file| SignedFile { name: file.name.clone(), sha256: file.sha256 }).collect();
    let manifest = SignedManifest::new(name, files, vec![names::SIGNATURE.to_owned()]);
    let manifest = manifest.map_err(|error| PublicationError::usage(error.to_string()))?;
    Ok(Bundle::sign(&manifest, key))
}

fn cannot_write(path: &Path, error: &io::Error) -> PublicationError {
    PublicationError::failed(format!("cannot write {}: {error}", path.display()))
}
