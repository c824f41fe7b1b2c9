//! The audit of a published folder, level by level, and of a weights file alone.
//!
//! | level | module | checks |
//! |---|---|---|
//! | L0 | `folder` | the files are those of the manifest |
//! | L1 | `signature` | a key that the auditor brings has signed them |
//! | L2 | `lineage` | every input of a stage is the output of another, or named data |
//! | L3 | `facts`, `selection` | what follows from the files is as they say |
//!
//! L4 and L5, which run stages again, belong to the program: nothing here starts a process.

mod checks;
mod facts;
mod folder;
mod lineage;
mod selection;
mod signature;
mod weights;

pub use checks::{Check, Checks, Level, Outcome, Verdict};
pub use folder::Folder;
pub use signature::read_key;
use tfnas_attestations::keys::PublicKey;
pub use weights::check_weights;

use crate::Contents;

/// Checks an opened folder up to L3, and returns what it says; `None` if that cannot be read, which a check says.
pub fn check_folder(folder: &Folder, key: Option<&PublicKey>, checks: &mut Checks) -> Option<Contents> {
    signature::check(folder, key, checks);
    if !folder.sound {
        for level in [Level::L2, Level::L3, Level::L4, Level::L5] {
            checks.skip(level, "everything", "the files are not those of the manifest");
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
