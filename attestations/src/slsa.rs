//! SLSA provenance v1, the predicate of an in-toto statement: what was built, from what, by whom and when.
//!
//! It implements <https://slsa.dev/spec/v1.0/provenance>.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::Timestamp;
use crate::statement::{ResourceDescriptor, Statement};

/// The predicate type of a statement with a [`Provenance`].
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";

/// Where the subjects of a statement come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The inputs of the build.
    pub build_definition: BuildDefinition,
    /// How that went.
    pub run_details: RunDetails,
}

/// The inputs of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// The meaning of the parameters, as a URI.
    pub build_type: String,
    /// The parameters chosen by the user.
    pub external_parameters: Map<String, Value>,
    /// The parameters chosen by the builder.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub internal_parameters: Map<String, Value>,
    /// The artifacts used by the build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// How a build went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// The builder.
    pub builder: Builder,
    /// Which build it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BuildMetadata>,
    /// Outputs other than the subjects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<ResourceDescriptor>,
}

/// The builder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// The trusted identity of the builder, as a URI.
    pub id: String,
    /// The versions of its parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
    /// The components of the builder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<ResourceDescriptor>,
}

/// Which build it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildMetadata {
    /// Its name among the builder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When it started, as [`Timestamp`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<String>,
    /// When it ended, as [`Timestamp`] writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<String>,
}

impl BuildMetadata {
    /// Names a build, and when it was.
    pub fn new(invocation_id: impl Into<String>, started: Option<Timestamp>, finished: Option<Timestamp>) -> Self {
        Self {
            invocation_id: Some(invocation_id.into()),
            started_on: started.map(|moment| moment.to_string()),
            finished_on: finished.map(|moment| moment.to_string()),
        }
    }
}

impl Provenance {
    /// Returns the statement that these files have this provenance.
    pub fn of(self, subject: Vec<ResourceDescriptor>) -> Statement {
        let predicate = serde_json::to_value(&self).expect("these are plain structs, and maps with text keys");
        Statement::new(subject, PREDICATE_TYPE, predicate)
    }
}
