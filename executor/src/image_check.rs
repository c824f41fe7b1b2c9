//! Determines which images have not been checked yet, so that unreadable images are found before hours of computation.
//!
//! The first worker of a run that reads images, or that runs before a stage that reads them, is asked to check them. If
//! all are readable, this is remembered by the digest of the folder or list, next to the digests of folders.

use std::fs;
use std::path::{Path, PathBuf};

use tfnas_artifacts::Digest;
use tfnas_planner::plan::{External, InputSource, Planner};
use tfnas_stages::{CheckedSet, ImageCheck, OnBadImage, Stage};

/// Images that have not been checked yet.
pub struct Unchecked {
    /// The check that the worker is asked to do.
    pub check: ImageCheck,
    /// Digests of the folders and lists whose images are all readable if the worker succeeds.
    pub digests: Vec<Digest>,
}

impl Unchecked {
    /// Returns the images that the worker of an instance must check: those that this instance or one that depends on it
    /// reads. Returns `None` if all of them have been checked already.
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
            // Inputs that have not been identified are not needed in this run.
            let Some(resolved) = planner.externals.get(external) else { continue };
            if marker(memos, &resolved.digest).exists() {
                continue;
            }
            sets.push(CheckedSet {
                key: external.key().to_owned(),
                input: resolved.input.clone(),
                report: absolute(&memos.join(format!("{}.unreadable.txt", resolved.digest))),
            });
            // If bad images may be skipped, a successful check does not mean that all are readable.
            if on_bad_image == OnBadImage::Error {
                digests.push(resolved.digest);
            }
        }
        (!sets.is_empty()).then_some(Self { check: ImageCheck { on_bad_image, sets }, digests })
    }
}

/// Remembers that all images are readable. This only saves another check, so errors are ignored.
pub fn note(memos: &Path, complete: &[Digest]) {
    for digest in complete {
        let _ = fs::write(marker(memos, digest), "");
    }
}

/// Returns the path of the marker file for checked images. Its name contains the digest of the folder or list.
fn marker(memos: &Path, digest: &Digest) -> PathBuf {
    memos.join(format!("{digest}.headers-v1"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
