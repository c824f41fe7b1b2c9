//! An RO-Crate: a folder described for people and catalogues in one file, `ro-crate-metadata.json`.
//!
//! RO-Crate 1.1 with the profile Process Run Crate 0.5: which program made which files of the folder, of which others, and
//! when. See <https://www.researchobject.org/ro-crate/specification/1.1/> and <https://w3id.org/ro/wfrun/process/0.5>.
//! Entities are named by relative addresses; the same description gives the same bytes.
//!
//! PyPI's `roc-validator` finds everything that both require, and all that they recommend but an author and a publisher,
//! which a folder need not have. It wants the two contexts from the network, or in its cache.

mod graph;
mod part;

pub use part::{Agent, File, Parameter, RunOfTool, Tool};

use serde::Serialize;
use serde_json::Value;

use crate::{Timestamp, json};

/// The file's name.
pub const FILE_NAME: &str = "ro-crate-metadata.json";

/// What the terms of the file mean: those of RO-Crate, and those of the profile, which `sha256` is one of.
const CONTEXT: [&str; 2] = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"];

/// A folder, what is in it, and what made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Crate {
    /// The folder's title.
    pub name: String,
    /// What is in it, for people.
    pub description: String,
    /// When it was published.
    pub published: Timestamp,
    /// The address of its licence, such as one of <https://spdx.org/licenses/>.
    pub license: String,
    /// Its files.
    pub files: Vec<File>,
    /// The program.
    pub tool: Tool,
    /// What the program did, in order.
    pub runs: Vec<RunOfTool>,
}

/// A description that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrateError {
    /// A file, a value or a run that is described twice.
    #[error("{name:?} is described twice")]
    Doubled {
        /// Its name.
        name: String,
    },
    /// A run that reads or makes what is described nowhere.
    #[error("the run {run:?} reads or makes {name:?}, which is described nowhere")]
    Unknown {
        /// The run's name.
        run: String,
        /// The name.
        name: String,
    },
    /// A name that is none of a file below the folder.
    #[error(transparent)]
    Name(#[from] crate::model_signing::NameError),
}

impl Crate {
    /// Returns the text of `ro-crate-metadata.json`.
    ///
    /// # Errors
    /// [`CrateError`].
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
