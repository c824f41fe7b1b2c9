//! The parts of a crate: files, the program, its runs, parameters and agents.

use serde_json::Value;

use crate::{Sha256Digest, Timestamp};

/// A file of the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name below the folder, with `/` between folders.
    pub name: String,
    /// The content of the file, for display.
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
    /// The purpose of the program, for display.
    pub description: String,
}

/// One thing that the program did.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOfTool {
    /// The id of the run in the file, such as `train`.
    pub id: String,
    /// Its title.
    pub name: String,
    /// The action, for display.
    pub description: String,
    /// When it started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The agent who ran it.
    pub agent: Option<Agent>,
    /// The names of the files in the folder that it read.
    pub read: Vec<String>,
    /// The names of the files in the folder that it made.
    pub made: Vec<String>,
    /// The parameters, and inputs from outside the folder.
    pub parameters: Vec<Parameter>,
}

/// A named value that a run was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The value: a string, a number or a boolean. Other values are written as JSON text.
    pub value: Value,
}

/// The person or organization that ran a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// An address that names the person, such as an ORCID.
    pub id: String,
    /// The person's name.
    pub name: String,
}
