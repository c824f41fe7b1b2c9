//! The manifest: the names and digests of a model's files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BundleError, NameError, name};
use crate::Sha256Digest;
use crate::statement::{ResourceDescriptor, Statement};

pub(super) const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// The one way to list files, and the one hash, that are known here.
const METHOD: &str = "files";
const HASH: &str = "sha256";

/// A file of a model: its name below the model's folder, with `/` between folders, and the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedFile {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256Digest,
}

/// The files of a model, as they are or were signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    model: String,
    files: Vec<SignedFile>,
    ignored: Vec<String>,
    follows_symlinks: bool,
}

/// The predicate of the statement about a model.
#[derive(Serialize, Deserialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
struct Serialization {
    method: String,
    hash_type: String,
    allow_symlinks: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ignore_paths: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    algorithm: String,
    digest: String,
}

/// The differences between the files of a folder and a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The differences from the signed state. Empty if there are none.
    pub differences: Vec<Difference>,
    /// Files that exist and that the manifest ignores. The signature does not cover them.
    pub ignored: Vec<String>,
}

/// One file that is not as it was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It was signed, but does not exist.
    Missing(String),
    /// It exists, but was not signed.
    Extra(String),
    /// It has other bytes.
    Changed {
        /// Its name.
        name: String,
        /// The signed digest.
        signed: Sha256Digest,
        /// The digest found.
        found: Sha256Digest,
    },
    /// The file is given twice.
    Doubled(String),
    /// Its name is not that of a file in the model.
    Name(NameError),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name:?} was signed and is missing"),
            Self::Extra(name) => write!(f, "{name:?} exists but was not signed"),
            Self::Changed { name, signed, found } => {
                write!(f, "{name:?} was changed: its SHA-256 is {found}, but {signed} was signed")
            }
            Self::Doubled(name) => write!(f, "{name:?} is given twice"),
            Self::Name(error) => error.fmt(f),
        }
    }
}

impl Manifest {
    /// Lists the files of a model in order. `ignored` names files and folders that may exist and are not listed, such
    /// as the signature itself.
    ///
    /// # Errors
    /// Returns [`BundleError::Name`] for an invalid name, [`BundleError::Doubled`] for a duplicate name, and
    /// [`BundleError::Ignored`] for a file that is also ignored.
    pub fn new(model: &str, mut files: Vec<SignedFile>, mut ignored: Vec<String>) -> Result<Self, BundleError> {
        files.sort_by(|a, b| name::order(&a.name, &b.name));
        ignored.sort_by(|a, b| name::order(a, b));
        ignored.dedup();
        let manifest = Self { model: model.to_owned(), files, ignored, follows_symlinks: false };
        manifest.check()?;
        Ok(manifest)
    }

    /// Returns the model's name: the last part of the path that it was signed at.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns its files.
    pub fn files(&self) -> &[SignedFile] {
        &self.files
    }

    /// Returns the ignored files and folders.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Returns whether symbolic links were followed when it was listed.
    pub fn follows_symlinks(&self) -> bool {
        self.follows_symlinks
    }

    /// Returns the root digest: the SHA-256 of the concatenated digests of the files.
    pub fn root(&self) -> Sha256Digest {
        let digests: Vec<u8> = self.files.iter().flat_map(|file| *file.sha256.as_bytes()).collect();
        Sha256Digest::of_bytes(&digests)
    }

    /// Says how the files that were found differ, in order of their names.
    pub fn compare(&self, found: &[SignedFile]) -> Comparison {
        let mut comparison = Comparison::default();
        let mut unseen: BTreeMap<&str, Sha256Digest> =
            self.files.iter().map(|file| (file.name.as_str(), file.sha256)).collect();
        let mut seen = BTreeSet::new();
        for file in found {
            let name = file.name.as_str();
            if let Err(error) = name::check(name) {
                comparison.differences.push(Difference::Name(error));
            } else if !seen.insert(name) {
                comparison.differences.push(Difference::Doubled(name.to_owned()));
            } else if let Some(signed) = unseen.remove(name) {
                if signed != file.sha256 {
                    let name = name.to_owned();
                    comparison.differences.push(Difference::Changed { name, signed, found: file.sha256 });
                }
            } else if self.covering(name).is_some() {
                comparison.ignored.push(name.to_owned());
            } else {
                comparison.differences.push(Difference::Extra(name.to_owned()));
            }
        }
        comparison.differences.extend(unseen.into_keys().map(|name| Difference::Missing(name.to_owned())));
        comparison.differences.sort_by(|a, b| name::order(a.name(), b.name()));
        comparison.ignored.sort_by(|a, b| name::order(a, b));
        comparison
    }

    fn covering(&self, name: &str) -> Option<&str> {
        self.ignored.iter().map(String::as_str).find(|path| *path == "." || name::is_below(name, path))
    }

    fn check(&self) -> Result<(), BundleError> {
        let mut seen = BTreeSet::new();
        for SignedFile { name, .. } in &self.files {
            name::check(name)?;
            if !seen.insert(name) {
                return Err(BundleError::Doubled { name: name.clone() });
            }
            if let Some(path) = self.covering(name) {
                return Err(BundleError::Ignored { name: name.clone(), path: path.to_owned() });
            }
        }
        Ok(())
    }

    pub(super) fn to_statement(&self) -> Statement {
        let resource = |file: &SignedFile| Resource {
            name: file.name.clone(),
            algorithm: HASH.to_owned(),
            digest: file.sha256.to_string(),
        };
        let predicate = Predicate {
            serialization: Serialization {
                method: METHOD.to_owned(),
                hash_type: HASH.to_owned(),
                allow_symlinks: self.follows_symlinks,
                ignore_paths: self.ignored.clone(),
            },
            resources: self.files.iter().map(resource).collect(),
        };
        let predicate = serde_json::to_value(&predicate).expect("these are plain structs of texts");
        Statement::new(vec![ResourceDescriptor::file(&self.model, &self.root())], PREDICATE_TYPE, predicate)
    }

    pub(super) fn from_statement(statement: &Statement) -> Result<Self, BundleError> {
        let Predicate { serialization, resources } = statement.predicate(PREDICATE_TYPE)?;
        let known = |field, found: &str, wanted| match found == wanted {
            true => Ok(()),
            false => Err(BundleError::Serialization { field, found: found.to_owned(), wanted }),
        };
        known("method", &serialization.method, METHOD)?;
        known("hash_type", &serialization.hash_type, HASH)?;
        let [subject] = &statement.subject[..] else {
            return Err(BundleError::Subjects { found: statement.subject.len() });
        };
        let file = |Resource { name, algorithm, digest }: Resource| {
            known("algorithm", &algorithm, HASH)?;
            let wrong = |_| BundleError::Serialization { field: "digest", found: digest.clone(), wanted: "a SHA-256" };
            Ok(SignedFile { name, sha256: digest.parse().map_err(wrong)? })
        };
        let manifest = Self {
            model: subject.name.clone().unwrap_or_default(),
            files: resources.into_iter().map(file).collect::<Result<_, BundleError>>()?,
            ignored: serialization.ignore_paths,
            follows_symlinks: serialization.allow_symlinks,
        };
        if subject.sha256() != Some(manifest.root()) {
            return Err(BundleError::Root);
        }
        manifest.check()?;
        Ok(manifest)
    }
}

impl Difference {
    /// Returns the name of the file.
    pub fn name(&self) -> &str {
        match self {
            Self::Missing(name) | Self::Extra(name) | Self::Doubled(name) | Self::Changed { name, .. } => name,
            Self::Name(error) => &error.name,
        }
    }
}
