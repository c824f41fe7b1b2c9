//! Which images nobody has looked at yet, so that those that cannot be read are found before hours were computed.
//!
//! The first worker of a run that reads images, or comes before one that does, is told to look at them. What it found
//! whole is remembered by the digest of the folder or list, beside what else is remembered of folders.

use std::fs;
use std::path::{Path, PathBuf};

use tfnas_artifacts::Digest;
use tfnas_planner::plan::{External, InputSource, Planner};
use tfnas_stages::{CheckedSet, ImageCheck, OnBadImage, Stage};

/// Images that nobody has looked at.
pub struct Unchecked {
    /// What a worker is told.
    pub check: ImageCheck,
    /// The digests of what is whole once the worker has done its work.
    pub digests: Vec<Digest>,
}

impl Unchecked {
    /// Returns what the worker of an instance is to look at: the images that this instance or one after it reads; none
    /// where all are known to be whole.
    pub fn of(planner: &Planner<'_>, instance: usize, memos: &Path) -> Option<Self> {
        let graph = planner.graph;
        if !matches!(graph.instances[instance].stage, Stage::Split | Stage::Search | Stage::Train) {
            return None;
        }
        let after = (0..graph.instances.len()).filter(|&other| graph.closure([other]).contains(&instance));
        let feeds = after.flat_map(|other| &graph.instances[other].inputs);
        let mut images: Vec<&External> = feeds
            .filter_map(|input| match &input.source {
                InputSource::External(external @ (External::Folder { .. } | External::List { .. })) => Some(external),
                _ => None,
            })
            .collect();
        images.sort_unstable();
        images.dedup();
        let on_bad_image = planner.variant(instance).config.data.on_bad_image;
        let (mut sets, mut digests) = (Vec::new(), Vec::new());
        for external in images {
            // What is not identified is not needed in this run.
            let Some(resolved) = planner.externals.get(external) else { continue };
            if marker(memos, &resolved.digest).exists() {
                continue;
            }
            sets.push(CheckedSet {
                key: external.key().to_owned(),
                input: resolved.input.clone(),
                report: absolute(&memos.join(format!("{}.unreadable.txt", resolved.digest))),
            });
            // Images that may be skipped need not be whole.
            if on_bad_image == OnBadImage::Error {
                digests.push(resolved.digest);
            }
        }
        (!sets.is_empty()).then_some(Self { check: ImageCheck { on_bad_image, sets }, digests })
    }
}

/// Remembers that images are whole. It only saves looking again, so an error is ignored.
pub fn note(memos: &Path, whole: &[Digest]) {
    for digest in whole {
        let _ = fs::write(marker(memos, digest), "");
    }
}

/// The file that says that images are whole; its name says what was looked at.
fn marker(memos: &Path, digest: &Digest) -> PathBuf {
    memos.join(format!("{digest}.headers-v1"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
