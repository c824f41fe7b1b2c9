use serde_json::Value;

use crate::{Sha256Digest, Timestamp};

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name below the folder, with `/` between folders.
    pub name: String,
    /// What is in it, for people.
    pub description: String,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub sha256: Sha256Digest,
    /// Its media type, such as `application/json`.
    pub media_type: String,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where it can be had: an absolute address, which also names it.
    pub url: String,
    /// What it does, for people.
    pub description: String,
}

/// One thing that the program did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOfTool {
    /// What names it in the file, such as `train`.
    pub id: String,
    /// Its title.
    pub name: String,
    /// What was done, for people.
    pub description: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Who did it.
    pub agent: Option<Agent>,
    /// The names of the files that it read, among those of the folder.
    pub read: Vec<String>,
    /// The names of the files that it made, among those of the folder.
    pub made: Vec<String>,
    /// What it was told, or had from outside the folder.
    pub parameters: Vec<Parameter>,
}

/// A named value that a run was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value: a text, a number or a truth value; anything else is written as JSON text.
    pub value: Value,
}

/// Who ran a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// An address that names the person, such as an ORCID.
    pub id: String,
    /// The person's name.
    pub name: String,
}
