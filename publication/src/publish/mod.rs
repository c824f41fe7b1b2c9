//! From a run of the store to a published folder: choose the attempts, gather their files, write the folder.

mod choose;
mod gather;
mod images;
mod writer;

pub use choose::{Chosen, choose};
pub use gather::{Gathered, gather};
pub use writer::{FolderWriter, Written};
