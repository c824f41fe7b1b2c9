//! Published networks: folders that anybody can verify, written by [`publish`] and checked by [`audit`]. Also checks
//! published numbers of models: [`claims`].
//!
//! ```text
//! README.md                   model card with Hugging Face's front matter
//! weights.safetensors         the weights that were tested
//! model.config                the network, in the original's format
//! architecture.json           its blocks, parameters, multiply-adds, latency by the table
//! latency.table  lookup.json  the table and its description
//! configuration.json          the configuration of the run; passed to `--config`, it gives the same keys
//! data.json                   digests of the data, its lists and their overlaps, how often the test images were used
//! lists/                      image lists, class names, and the digest of every image (`*.manifest`)
//! metrics/                    results of the test, the prediction for each test image, epochs of the training, measured latency
//! search/                     result of the search, and its epochs
//! select/                     candidates of select and the selected one, if the stage ran
//! provenance/<stage>.json     key manifest and record of a stage's attempt
//! ro-crate-metadata.json      the same in the format Process Run Crate
//! manifest.json               name, size, SHA-256 and BLAKE3 of every file above
//! provenance/statement.json   in-toto Statement with SLSA provenance: its subjects are the files above and manifest.json
//! provenance/statement.dsse.json   if signed: the Statement in a DSSE envelope
//! model.sig                   if signed: an OpenSSF Model Signing bundle of all other files
//! ```
//!
//! All JSON files are in a canonical format, so that every changed byte is detected. A publication contains no date of
//! its own, no absolute paths, and neither user nor machine names. The same run gives the same bytes.
//!
//! Nothing here starts a process or prints: the program runs stages again for a replay, and decides how to show checks.
//!
//! ```
//! use tfnas_publication::claims::Claims;
//!
//! let claims = Claims::read("tf-nas")?;
//! assert_eq!(claims.models["TF-NAS-A"].tables()?.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod audit;
mod card;
pub mod claims;
mod configuration;
mod contents;
mod data;
mod error;
mod facts;
mod front_matter;
mod json;
mod lists;
mod manifest;
pub mod names;
pub mod publish;
mod research_object;
mod stage_record;
mod statement;

pub use card::Card;
pub use configuration::{configuration, public as public_path, unflattened};
pub use contents::{Contents, lists, weights};
pub use data::{Data, Images, ListDigest, Overlap, TestImageUses};
pub use error::{ErrorKind, PublicationError};
pub use facts::{Measured, measured};
pub use front_matter::{FrontMatter, front_matter};
pub use json::{canonical, parse_canonical};
pub use lists::{ImageLists, NamedList};
pub use manifest::{FileEntry, Manifest};
pub use research_object::research_object;
pub use stage_record::{Origin, PublishedInput, StageRecord};
pub use statement::statement;
