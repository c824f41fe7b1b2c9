//! Finds the network of a space that a `model.config` describes.

use std::fmt::Display;

use crate::architecture::{Architecture, Choice};
use crate::config::{ConvConfig, MbConvConfig, ModelConfig};
use crate::space::{Block, Space};

/// The first difference between a network and a space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place} has {found}, but {expected} in this space: the network is of another space")]
pub struct SpaceMismatch {
    /// The part of the network.
    pub place: String,
    /// The value in the network.
    pub found: String,
    /// The value in the space.
    pub expected: String,
}

impl Architecture {
    /// Returns the architecture of a configuration in a space. The number of classes may differ.
    ///
    /// # Errors
    /// Returns [`SpaceMismatch`] with the first part that no network of the space has.
    pub fn of_config(space: &Space, config: &ModelConfig) -> Result<Self, SpaceMismatch> {
        same("the network", "stages", config.groups.len(), space.groups().len())?;
        let mut groups = Vec::with_capacity(config.groups.len());
        for (group, found) in config.groups.iter().enumerate() {
            let blocks = space.blocks_of(group);
            if found.len() > blocks.len() {
                let place = format!("stage{}", group + 1);
                return Err(other(&place, format!("{} blocks", found.len()), format!("1 to {}", blocks.len())));
            }
            let choices = blocks.iter().zip(found).map(|(block, found)| choice(space, block, found));
            groups.push(choices.collect::<Result<_, _>>()?);
        }
        let nothing =
            |error: crate::ArchitectureError| other("the network", error.to_string(), "not allowed".to_owned());
        let architecture = Self::new(space, groups).map_err(nothing)?;
        let classes = config.classifier.out_features;
        let expected = ModelConfig::from_architecture(space, &architecture, classes).map_err(nothing)?;
        convolution("first_stem", &config.first_stem, &expected.first_stem)?;
        fixed_block("second_stem", &config.second_stem, &expected.second_stem)?;
        convolution("feature_mix_layer", &config.feature_mix, &expected.feature_mix)?;
        same("classifier", "input features", config.classifier.in_features, expected.classifier.in_features)?;
        Ok(architecture)
    }
}

/// The operation and width of a block.
fn choice(space: &Space, block: &Block, found: &MbConvConfig) -> Result<Choice, SpaceMismatch> {
    let place = block.name();
    same(&place, "input channels", found.in_channels, block.in_channels)?;
    same(&place, "output channels", found.out_channels, block.out_channels)?;
    same(&place, "as its stride", found.stride, block.stride)?;
    same(&place, "as its activation", found.activation, block.activation)?;
    let fits = |operation: &crate::Operation| {
        let widths = block.widths(operation);
        operation.kernel == found.kernel
            && block.se_channels(operation) == found.se_channels
            && widths.contains(found.mid_channels)
    };
    let operation = space.operations().iter().position(fits);
    let operation = operation.ok_or_else(|| {
        let (kernel, width, se) = (found.kernel, found.mid_channels, found.se_channels);
        let allowed = space.operations().iter().map(|operation| {
            let widths = block.widths(operation);
            let se = block.se_channels(operation);
            format!("kernel {}, {widths} channels, squeeze-excite {se}", operation.kernel)
        });
        let allowed: Vec<String> = allowed.collect();
        other(&place, format!("kernel {kernel}, {width} channels, squeeze-excite {se}"), allowed.join("; "))
    })?;
    Ok(Choice { operation, width: found.mid_channels })
}

fn convolution(place: &str, found: &ConvConfig, expected: &ConvConfig) -> Result<(), SpaceMismatch> {
    same(place, "input channels", found.in_channels, expected.in_channels)?;
    same(place, "output channels", found.out_channels, expected.out_channels)?;
    same(place, "as its kernel size", found.kernel, expected.kernel)?;
    same(place, "as its stride", found.stride, expected.stride)?;
    same(place, "as its activation", found.activation, expected.activation)
}

fn fixed_block(place: &str, found: &MbConvConfig, expected: &MbConvConfig) -> Result<(), SpaceMismatch> {
    same(place, "input channels", found.in_channels, expected.in_channels)?;
    same(place, "channels", found.mid_channels, expected.mid_channels)?;
    same(place, "squeeze-excite channels", found.se_channels, expected.se_channels)?;
    same(place, "output channels", found.out_channels, expected.out_channels)?;
    same(place, "as its kernel size", found.kernel, expected.kernel)?;
    same(place, "as its stride", found.stride, expected.stride)?;
    same(place, "as its activation", found.activation, expected.activation)
}

fn same<T: PartialEq + Display>(place: &str, what: &str, found: T, expected: T) -> Result<(), SpaceMismatch> {
    if found == expected {
        return Ok(());
    }
    Err(other(place, format!("{found} {what}"), expected.to_string()))
}

fn other(place: &str, found: String, expected: String) -> SpaceMismatch {
    SpaceMismatch { place: place.to_owned(), found, expected }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tfnas_random::{Stream, StreamId};

    #[test]
    fn a_network_of_a_space_is_converted_to_its_architecture() {
        for space in [Space::imagenet(), Space::cifar(), Space::small()] {
            for index in 0..50 {
                let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, index);
                let architecture = Architecture::random(&space, &mut stream);
                let config = ModelConfig::from_architecture(&space, &architecture, 7).unwrap();
                let found = Architecture::of_config(&space, &config).unwrap();
                let again = ModelConfig::from_architecture(&space, &found, 7).unwrap();
                assert_eq!(again, config);
            }
        }
    }

    #[test]
    fn a_network_of_another_space_is_rejected_with_the_mismatch() {
        let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, 0);
        let cifar = Architecture::random(&Space::cifar(), &mut stream);
        let config = ModelConfig::from_architecture(&Space::cifar(), &cifar, 10).unwrap();
        let error = Architecture::of_config(&Space::imagenet(), &config).unwrap_err();
        assert_eq!(error.place, "stage1.block1");
        assert!(error.to_string().contains("8 input channels, but 16 in this space"), "{error}");
        let error = Architecture::of_config(&Space::small(), &config).unwrap_err();
        assert!(error.to_string().starts_with("the network has 6 stages, but 3 in this space"), "{error}");
    }
}
