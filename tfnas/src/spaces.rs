//! The built-in spaces: the published one, one for 32x32 images, and one for smoke tests.

use crate::definition::Activation::{Relu, Swish};
use crate::definition::{Activation, FeatureMix, FirstStem, Group, Operation, SecondStem, SpaceDefinition};
use crate::space::Space;

impl Space {
    /// The published space, for images of 224x224 (arXiv 2008.05314).
    pub fn imagenet() -> Self {
        shipped(SpaceDefinition {
            resolution: 224,
            classes: None,
            first_stem: first_stem(32, 2, Relu),
            second_stem: second_stem(16, 8, Relu),
            operations: published_operations(),
            groups: vec![
                group(24, 2, 2, Relu),
                group(40, 3, 2, Swish),
                group(80, 4, 2, Swish),
                group(112, 4, 1, Swish),
                group(192, 4, 2, Swish),
                group(320, 1, 1, Swish),
            ],
            feature_mix: feature_mix(1280, Swish),
            width_step: 1,
        })
    }

    /// The published space scaled to images of 32x32: the same operations and 18 blocks, fewer strides and channels.
    pub fn cifar() -> Self {
        shipped(SpaceDefinition {
            resolution: 32,
            classes: None,
            first_stem: first_stem(16, 1, Relu),
            second_stem: second_stem(8, 4, Relu),
            operations: published_operations(),
            groups: vec![
                group(12, 2, 2, Relu),
                group(20, 3, 1, Swish),
                group(32, 4, 2, Swish),
                group(48, 4, 1, Swish),
                group(80, 4, 2, Swish),
                group(128, 1, 1, Swish),
            ],
            feature_mix: feature_mix(512, Swish),
            width_step: 1,
        })
    }

    /// A space for smoke tests: images of 32x32, four operations, six blocks in three groups.
    pub fn small() -> Self {
        shipped(SpaceDefinition {
            resolution: 32,
            classes: None,
            first_stem: first_stem(12, 2, Relu),
            second_stem: second_stem(8, 4, Relu),
            operations: vec![
                operation(3, 3, 4, 0),
                operation(5, 3, 4, 0),
                operation(3, 6, 8, 2),
                operation(5, 6, 8, 2),
            ],
            groups: vec![group(12, 1, 1, Relu), group(16, 2, 2, Swish), group(32, 3, 2, Swish)],
            feature_mix: feature_mix(96, Swish),
            width_step: 1,
        })
    }

    /// Returns the built-in space of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "imagenet" => Some(Self::imagenet()),
            "cifar" => Some(Self::cifar()),
            "small" => Some(Self::small()),
            _ => None,
        }
    }

    /// The names of the built-in spaces.
    pub fn names() -> &'static [&'static str] {
        &["imagenet", "cifar", "small"]
    }
}

/// The eight operations of the paper, in its order.
fn published_operations() -> Vec<Operation> {
    vec![
        operation(3, 3, 4, 0),
        operation(3, 6, 8, 0),
        operation(5, 3, 4, 0),
        operation(5, 6, 8, 0),
        operation(3, 3, 4, 1),
        operation(3, 6, 8, 2),
        operation(5, 3, 4, 1),
        operation(5, 6, 8, 2),
    ]
}

fn shipped(definition: SpaceDefinition) -> Space {
    Space::new(definition).expect("the built-in spaces are checked by a test")
}

fn first_stem(channels: usize, stride: usize, activation: Activation) -> FirstStem {
    FirstStem { channels, stride, activation }
}

fn second_stem(channels: usize, se_channels: usize, activation: Activation) -> SecondStem {
    SecondStem { channels, se_channels, activation }
}

fn operation(kernel: usize, expand: usize, max_expand: usize, se_expand: usize) -> Operation {
    Operation { kernel, expand, max_expand, se_expand }
}

fn group(channels: usize, blocks: usize, stride: usize, activation: Activation) -> Group {
    Group { channels, blocks, stride, activation }
}

fn feature_mix(channels: usize, activation: Activation) -> FeatureMix {
    FeatureMix { channels, activation }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Architecture, Choice, ModelConfig, cost};

    #[test]
    fn every_built_in_space_is_valid() {
        for name in Space::names() {
            assert!(Space::by_name(name).is_some(), "{name}");
        }
        assert_eq!(Space::by_name("other"), None);
    }

    #[test]
    fn spaces_round_trip() {
        for name in Space::names() {
            let space = Space::by_name(name).unwrap();
            let text = serde_json::to_string(space.definition()).unwrap();
            let read: SpaceDefinition = serde_json::from_str(&text).unwrap();
            assert_eq!(Space::new(read).unwrap(), space);
        }
    }

    #[test]
    fn unknown_fields_of_a_space_are_rejected() {
        let text = serde_json::to_string(Space::small().definition()).unwrap();
        let misspelt = text.replacen("\"channels\"", "\"chanels\"", 1);
        let error = serde_json::from_str::<SpaceDefinition>(&misspelt).unwrap_err();
        assert!(error.to_string().contains("chanels"), "{error}");
    }

    #[test]
    fn networks_for_32x32_images_stay_small() {
        let space = Space::cifar();
        assert_eq!(space.blocks().len(), 18);
        assert_eq!(space.final_size(), 4);
        let whole = |operation: usize| {
            let groups = (0..space.groups().len()).map(|group| {
                let blocks = space.blocks_of(group).iter();
                let width = |block: &crate::Block| block.initial_width(&space.operations()[operation]);
                blocks.map(|block| Choice { operation, width: width(block) }).collect()
            });
            let architecture = Architecture::new(&space, groups.collect()).unwrap();
            let config = ModelConfig::from_architecture(&space, &architecture, 10).unwrap();
            cost::flops(&config, 32) / 1_000_000
        };
        assert_eq!(whole(0), 12);
        assert_eq!(whole(7), 29);
    }
}
