//! RO-Crate: a machine-readable description of a folder in one file, `ro-crate-metadata.json`.
//!
//! It is RO-Crate 1.1 with the profile Process Run Crate 0.5, which records which program made which files of the
//! folder, from which other files, and when. See <https://www.researchobject.org/ro-crate/specification/1.1/> and
//! <https://w3id.org/ro/wfrun/process/0.5>. Entities have relative URIs. The same description gives the same bytes.
//!
//! PyPI's `roc-validator` accepts the result: it meets all requirements of both specifications and all recommendations
//! except an author and a publisher, which are optional here. The validator needs both contexts from the network or
//! from its cache.

mod graph;
mod part;

pub use part::{Agent, File, Parameter, RunOfTool, Tool};

use serde::Serialize;
use serde_json::Value;

use crate::{Timestamp, json};

/// The file's name.
pub const FILE_NAME: &str = "ro-crate-metadata.json";

/// The contexts of the file: RO-Crate's, and the profile's, which defines `sha256`.
const CONTEXT: [&str; 2] = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"];

/// A folder, its files, and the runs that made them.
#[derive(Debug, Clone, PartialEq)]
pub struct Crate {
    /// The folder's title.
    pub name: String,
    /// The content of the folder, for display.
    pub description: String,
    /// When it was published.
    pub published: Timestamp,
    /// The address of its licence, such as one of <https://spdx.org/licenses/>.
    pub license: String,
    /// Its files.
    pub files: Vec<File>,
    /// The program.
    pub tool: Tool,
    /// The runs of the program, in order.
    pub runs: Vec<RunOfTool>,
}

/// A description that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrateError {
    /// A file, a parameter or a run is described twice.
    #[error("{name:?} is described twice")]
    Doubled {
        /// Its name.
        name: String,
    },
    /// A run reads or makes a file that is not described.
    #[error("the run {run:?} reads or writes {name:?}, which is not described")]
    Unknown {
        /// The run's name.
        run: String,
        /// The name.
        name: String,
    },
    /// A name is not a valid path of a file below the folder.
    #[error(transparent)]
    Name(#[from] crate::model_signing::NameError),
}

impl Crate {
    /// Returns the text of `ro-crate-metadata.json`.
    ///
    /// # Errors
    /// Returns [`CrateError`] if the description is not consistent.
    pub fn to_json(&self) -> Result<String, CrateError> {
        #[derive(Serialize)]
        struct Document {
            #[serde(rename = "@context")]
            context: [&'static str; 2],
            #[serde(rename = "@graph")]
            graph: Vec<Value>,
        }
        Ok(json::to_text(&Document { context: CONTEXT, graph: graph::graph(self)? }))
    }
}
