//! Publishes a run of the store: finds the attempts, collects their files, writes the folder.

mod choose;
mod gather;
mod images;
mod writer;

pub use choose::{Chosen, choose};
pub use gather::{Gathered, gather};
pub use writer::{FolderWriter, Written};
