//! The input of a selection, and its candidates.

use serde::{Deserialize, Serialize};
use tfnas::{Architecture, LatencyTable, Space};

/// The architecture parameters of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchResult {
    /// Per block, log-probabilities of its operations.
    pub log_alphas: Vec<Vec<f32>>,
    /// Per block group, one value per block. Their `softmax` gives the probabilities of the depths.
    pub betas: Vec<Vec<f32>>,
    /// The parsed architecture, fitted to the target.
    pub architecture: Architecture,
}

/// The input of a selection.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The search space.
    pub space: Space,
    /// The latencies of its blocks.
    pub table: LatencyTable,
    /// The target latency in milliseconds. Every candidate meets it.
    pub target_ms: f64,
    /// Seed of all draws.
    pub seed: u64,
    /// The search before the selection, if there was one.
    pub search: Option<SearchResult>,
}

/// The origin of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// Uniformly drawn depths and operations.
    Uniform,
    /// Created by a rule.
    Rule,
    /// Found by the search.
    SearchParse,
    /// Sampled from the search's probabilities.
    SearchSample,
    /// Proposed by the regression.
    Proposal {
        /// The round, from 0.
        round: usize,
    },
    /// Drawn uniformly during a round of proposals.
    ProposalUniform {
        /// The round, from 0.
        round: usize,
    },
}

impl Origin {
    /// Whether the architecture was drawn uniformly, independent of earlier results.
    pub fn is_uniform(self) -> bool {
        matches!(self, Self::Uniform | Self::ProposalUniform { .. })
    }

    /// Whether the architecture comes from the search.
    pub fn is_from_search(self) -> bool {
        matches!(self, Self::SearchParse | Self::SearchSample)
    }
}

/// A candidate architecture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Index, in the order of creation.
    pub id: usize,
    /// How the candidate was created.
    pub origin: Origin,
    /// Display name: the rule, or the origin with a number.
    pub name: String,
    /// Its latency is at most the target.
    pub architecture: Architecture,
    /// Predicted latency, in milliseconds.
    pub predicted_ms: f64,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn origins_are_serialized_in_snake_case_with_a_kind() {
        let text = serde_json::to_string(&Origin::ProposalUniform { round: 2 }).unwrap();
        assert_eq!(text, "{\"kind\":\"proposal_uniform\",\"round\":2}");
        assert_eq!(serde_json::to_string(&Origin::SearchParse).unwrap(), "{\"kind\":\"search_parse\"}");
        let read: Origin = serde_json::from_str(&text).unwrap();
        assert!(read.is_uniform() && !read.is_from_search());
    }
}
