//! How an architecture is fitted to the target latency: `search.fit` and `parse.fit` in the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::is_published;

/// How to fit an architecture to the target latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Fit to at most the target, and within 0.1 % of it if the widths allow. Operations and depth are changed if the
    /// architecture exceeds the target even at its smallest widths.
    Exact,
    /// Elasticity-scaling only, as published. Misses the target if the architecture exceeds it even at its smallest widths.
    Published,
}

impl Fit {
    /// Returns the default for a space: `Published` for the published space with any number of classes, `Exact` for others.
    pub fn default_in(space: &SpaceDefinition) -> Self {
        if is_published(space) { Self::Published } else { Self::Exact }
    }
}

#[cfg(test)]
mod tests {
    use tfnas::Space;

    use super::*;

    #[test]
    fn only_the_published_space_defaults_to_the_published_fit() {
        let imagenet = Space::imagenet().definition().clone();
        let classes = SpaceDefinition { classes: Some(1000), ..imagenet.clone() };
        for space in [&imagenet, &classes] {
            assert_eq!(Fit::default_in(space), Fit::Published);
        }
        let smaller = SpaceDefinition { resolution: 192, ..imagenet.clone() };
        let stepped = SpaceDefinition { width_step: 8, ..imagenet };
        for space in [&smaller, &stepped, Space::cifar().definition(), Space::small().definition()] {
            assert_eq!(Fit::default_in(space), Fit::Exact);
        }
    }
}
