//! Published networks: a folder that anybody can check, written by [`publish`] and read by [`audit`]; and the audit of
//! published numbers, [`claims`].
//!
//! ```text
//! README.md                   model card, with Hugging Face's front matter
//! weights.safetensors         the weights that were tested
//! model.config                the network, in the original's format
//! architecture.json           its blocks, parameters, multiply-adds, latency by the table
//! latency.table  lookup.json  the table, and what is known of it
//! configuration.json          the configuration of the run; as the file of `--config` it makes the same keys again
//! data.json                   digests of the data, its lists and their overlaps, how often the test images were looked at
//! lists/                      lists of images, names of classes, and the digest of every image (`*.manifest`)
//! metrics/                    accuracy of the test, the training's epochs, measured latency
//! search/                     what the search ended with, and its history, epoch by epoch
//! provenance/<stage>.json     key manifest and record of the stage's attempt
//! ro-crate-metadata.json      the same for Process Run Crate readers
//! manifest.json               name, size, SHA-256 and BLAKE3 of every file above
//! provenance/statement.json   in-toto Statement with SLSA provenance: its subjects are the files above and manifest.json
//! provenance/statement.dsse.json   where somebody signed: the Statement in a DSSE envelope
//! model.sig                   and an OpenSSF Model Signing bundle over every file but itself
//! ```
//!
//! Every JSON file is written in one way, so that a changed byte shows even where it means nothing. No date is that of the
//! publication, no path is absolute, and neither the user nor the machine is named: the same run gives the same bytes.

pub mod audit;
mod card;
pub mod claims;
mod configuration;
mod contents;
mod data;
mod error;
mod facts;
mod json;
mod lists;
mod manifest;
pub mod names;
pub mod publish;
mod research_object;
mod stage_record;
mod statement;

pub use card::{Card, FrontMatter, front_matter};
pub use configuration::{configuration, public as public_path, unflattened};
pub use contents::{Contents, lists, weights};
pub use data::{Data, Images, ListDigest, Looks, Overlap};
pub use error::{ErrorKind, PublicationError};
pub use facts::{Measured, measured};
pub use json::{canonical, parse_canonical};
pub use lists::{ImageLists, NamedList};
pub use manifest::{FileEntry, Manifest};
pub use research_object::research_object;
pub use stage_record::{Origin, PublishedInput, StageRecord};
pub use statement::statement;
