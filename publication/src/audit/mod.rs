//! Audits a published folder, level by level, or a single weights file.
//!
//! | level | module | checks |
//! |---|---|---|
//! | L0 | `folder` | the files match the manifest |
//! | L1 | `signature` | the files are signed with the key that the auditor supplied |
//! | L2 | `lineage` | every input of a stage is an output of another stage, or named data |
//! | L3 | `facts`, `derivation`, `selection`, `tested` | everything that can be recomputed from the files matches |
//!
//! L4 and L5, which rerun stages, are implemented in the binary: this module starts no processes.

mod checks;
mod derivation;
mod facts;
mod folder;
mod lineage;
mod selection;
mod signature;
mod tested;
mod weights;

pub use checks::{Check, Checks, Level, Outcome, Verdict, Verified};
pub use folder::Folder;
pub use signature::read_key;
use tfnas_attestations::keys::PublicKey;
pub use weights::check_weights;

use crate::Contents;

/// Checks a folder up to L3 and returns its contents. Returns `None` if they cannot be read, which is recorded as a
/// failed check.
pub fn check_folder(folder: &Folder, key: Option<&PublicKey>, checks: &mut Checks) -> Option<Contents> {
    signature::check(folder, key, checks);
    if !folder.sound {
        for level in [Level::L2, Level::L3, Level::L4, Level::L5] {
            checks.skip(level, "everything", "the files do not match the manifest");
        }
        return None;
    }
    match Contents::read(&|name| folder.read(name)) {
        Ok(contents) => {
            lineage::check(folder, &contents, checks);
            facts::check(folder, &contents, checks);
            Some(contents)
        }
        Err(error) => {
            checks.fail(Level::L2, "provenance", error);
            None
        }
    }
}
