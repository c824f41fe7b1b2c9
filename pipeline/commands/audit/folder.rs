//! `audit DIR`: verifies a published network and lists what was not verified.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use indicatif::MultiProgress;
use tfnas_publication::audit::{Checks, Folder, Level, check_folder, read_key};

use super::{exit, replay};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::options::Options;
use crate::report::{print, print_json};

/// Options for auditing a folder.
#[derive(Args, Debug)]
pub struct FolderOptions {
    /// The public key that must have signed a published folder; take it from its owner, never from the folder
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<PathBuf>,

    /// Rerun a part of a publication and compare: the test, the training and test, the search, or all stages
    #[arg(long, value_enum, value_name = "PART")]
    pub(super) replay: Option<Replay>,

    /// The folder of the images to replay with (data.root); set data.train and data.test with --set if they differ
    #[arg(long, value_name = "DIR", requires = "replay")]
    pub(super) data: Option<PathBuf>,
}

/// The arguments of an audit of a folder.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Options that only apply to folders.
    pub folder: &'a FolderOptions,
    /// Path of the worker for a replay, if it is not next to this program.
    pub worker: Option<&'a Path>,
    pub options: &'a Options,
}

/// The part to rerun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Replay {
    /// The test.
    Test,
    /// The training and the test.
    Train,
    /// The search, and the parsing of what it found.
    Search,
    /// Every stage that can repeat.
    All,
}

/// Verifies a published folder, level by level, and prints the result.
pub fn audit(path: &Path, asked: &Asked<'_>, bars: MultiProgress) -> Result<Exit, CommandError> {
    let key = read_key(asked.folder.key.as_deref())?;
    let mut checks = Checks::default();
    let found = Folder::open(path, &mut checks)?;
    if let Some(contents) = check_folder(&found, key.as_ref(), &mut checks) {
        if checks.failed(Level::L2) || checks.failed(Level::L3) {
            for level in [Level::L4, Level::L5] {
                checks.skip(level, "replay", "its reference is invalid");
            }
        } else {
            replay::check(&found, &contents, asked, bars, &mut checks);
        }
    }
    checks.sort();
    if asked.options.json {
        print_json(&checks.to_json());
    } else {
        print(&checks.to_string());
    }
    Ok(exit(checks.verdict()))
}
