use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::is_published;

/// How an architecture is fitted to the target latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// To at most the target, and within 0.1 % of it where widths allow; operations and depth change where they exceed it
    /// at all widths.
    Exact,
    /// By elasticity-scaling alone, as published: the target is missed where operations and depth exceed it at their
    /// smallest widths.
    Published,
}

impl Fit {
    /// Returns the default in a space: as published in the published one, whatever its classes; exact in all others.
    pub fn default_in(space: &SpaceDefinition) -> Self {
        if is_published(space) { Self::Published } else { Self::Exact }
    }
}

#[cfg(test)]
mod tests {
    use tfnas::Space;

    use super::*;

    #[test]
    fn the_published_space_alone_is_fitted_as_published() {
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
