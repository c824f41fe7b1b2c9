//! One network of a space: its kept blocks, and the operation and width of each.

use std::fmt;

use serde::{Deserialize, Serialize};
use tfnas_random::Stream;

use crate::space::{Block, Space};
use crate::widths::{WidthError, check_width};

/// The choice of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// Index of the operation in the space's list.
    pub operation: usize,
    /// Number of channels of the depthwise convolution.
    pub width: usize,
}

/// The kept blocks of every group, at least one each, with their choices.
///
/// It serializes as nested lists. Deserializing does not validate it against a space: call
/// [`check`](Architecture::check).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Architecture {
    groups: Vec<Vec<Choice>>,
}

/// Why choices are not a network of a space.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArchitectureError {
    /// The number of groups is wrong.
    #[error("the architecture has {found} block groups, but the space has {expected}")]
    GroupCount {
        /// Number of groups of the architecture.
        found: usize,
        /// Number of groups of the space.
        expected: usize,
    },
    /// The number of blocks of a group is out of range.
    #[error("stage{} of the architecture has {found} blocks: it must have 1 to {max}", .group + 1)]
    Depth {
        /// The group, from 0.
        group: usize,
        /// Number of its blocks.
        found: usize,
        /// Number of blocks of that group in the space.
        max: usize,
    },
    /// The operation does not exist.
    #[error("{block}: operation {operation} is out of range: the space has {count} operations, counted from 0")]
    Operation {
        /// Name of the block.
        block: String,
        /// The operation.
        operation: usize,
        /// Number of operations of the space.
        count: usize,
    },
    /// The width is not allowed.
    #[error(transparent)]
    Width(#[from] WidthError),
}

impl Architecture {
    /// Validates the choices of the kept blocks, `[group][block]`.
    ///
    /// # Errors
    /// Returns [`ArchitectureError`] with the first choice that is not valid in the space.
    pub fn new(space: &Space, groups: Vec<Vec<Choice>>) -> Result<Self, ArchitectureError> {
        let architecture = Self { groups };
        architecture.check(space)?;
        Ok(architecture)
    }

    /// Checks that this is a network of `space`.
    ///
    /// # Errors
    /// Returns the errors of [`Architecture::new`].
    pub fn check(&self, space: &Space) -> Result<(), ArchitectureError> {
        if self.groups.len() != space.groups().len() {
            return Err(ArchitectureError::GroupCount { found: self.groups.len(), expected: space.groups().len() });
        }
        for (group, choices) in self.groups.iter().enumerate() {
            let blocks = space.blocks_of(group);
            if choices.is_empty() || choices.len() > blocks.len() {
                return Err(ArchitectureError::Depth { group, found: choices.len(), max: blocks.len() });
            }
            for (block, choice) in blocks.iter().zip(choices) {
                if choice.operation >= space.operations().len() {
                    return Err(ArchitectureError::Operation {
                        block: block.name(),
                        operation: choice.operation,
                        count: space.operations().len(),
                    });
                }
                check_width(space, block, choice.operation, choice.width)?;
            }
        }
        Ok(())
    }

    /// Draws a random network: a uniform number of blocks for every group, and a uniform operation and width for every
    /// kept block.
    pub fn random(space: &Space, stream: &mut Stream) -> Self {
        Self::drawn(space, stream, |block, operation, stream| {
            let widths = block.widths(&space.operations()[operation]);
            widths.at(stream.below(widths.count() as u64) as usize)
        })
    }

    /// Draws a network of random depths and operations; `width` sets the widths.
    pub(crate) fn drawn(
        space: &Space,
        stream: &mut Stream,
        mut width: impl FnMut(&Block, usize, &mut Stream) -> usize,
    ) -> Self {
        let mut groups = Vec::with_capacity(space.groups().len());
        for group in 0..space.groups().len() {
            let blocks = space.blocks_of(group);
            let depth = 1 + stream.below(blocks.len() as u64) as usize;
            let mut choices = Vec::with_capacity(depth);
            for block in &blocks[..depth] {
                let operation = stream.below(space.operations().len() as u64) as usize;
                let width = width(block, operation, stream);
                choices.push(Choice { operation, width });
            }
            groups.push(choices);
        }
        Self { groups }
    }

    /// The choices, `[group][kept block]`.
    pub fn groups(&self) -> &[Vec<Choice>] {
        &self.groups
    }

    /// The number of kept blocks.
    pub fn block_count(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// Returns the kept blocks of `space`, in order, with their choices. The network must belong to `space`.
    pub fn choices<'a>(&'a self, space: &'a Space) -> impl Iterator<Item = (&'a Block, Choice)> + 'a {
        let groups = self.groups.iter().enumerate();
        groups.flat_map(|(group, choices)| space.blocks_of(group).iter().zip(choices.iter().copied()))
    }

    /// Returns a description of the network for display, one line per block.
    pub fn describe<'a>(&'a self, space: &'a Space) -> Description<'a> {
        Description { architecture: self, space }
    }

    /// Returns the same blocks and operations with other widths, `[kept block]` in order.
    pub(crate) fn with_widths(&self, widths: &[usize]) -> Self {
        let mut widths = widths.iter();
        let mut groups = self.groups.clone();
        for choice in groups.iter_mut().flatten() {
            if let Some(&width) = widths.next() {
                choice.width = width;
            }
        }
        Self { groups }
    }
}

/// Displays an architecture block by block. Created by [`Architecture::describe`].
pub struct Description<'a> {
    architecture: &'a Architecture,
    space: &'a Space,
}

impl fmt::Display for Description<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (block, choice) in self.architecture.choices(self.space) {
            let Some(operation) = self.space.operations().get(choice.operation) else {
                continue;
            };
            writeln!(
                f,
                "{:<15} {:>3}x{:<3} {:>4} -> {:<4} s{}  {:<5}  {:<9} width {:>4} of {}",
                block.name(),
                block.input_size,
                block.input_size,
                block.in_channels,
                block.out_channels,
                block.stride,
                block.activation.to_string(),
                operation.name(),
                choice.width,
                block.max_width(operation),
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tfnas_random::StreamId;

    fn random(index: u32) -> Architecture {
        let mut stream = Stream::new(0, StreamId::RandomArchitecture, 0, index);
        Architecture::random(&Space::small(), &mut stream)
    }

    #[test]
    fn random_architectures_are_valid_and_cover_the_space() {
        let space = Space::small();
        let mut depths = [false; 3];
        let mut operations = [false; 4];
        for index in 0..200 {
            let architecture = random(index);
            architecture.check(&space).unwrap();
            depths[architecture.groups()[2].len() - 1] = true;
            operations[architecture.groups()[0][0].operation] = true;
        }
        assert_eq!(depths, [true; 3]);
        assert_eq!(operations, [true; 4]);
        assert_eq!(random(7), random(7));
    }

    #[test]
    fn invalid_choices_are_named() {
        let space = Space::small();
        let good = random(0).groups().to_vec();
        let error_after = |change: &dyn Fn(&mut Vec<Vec<Choice>>)| {
            let mut groups = good.clone();
            change(&mut groups);
            Architecture::new(&space, groups).unwrap_err().to_string()
        };
        let error = error_after(&|groups| groups.truncate(2));
        assert_eq!(error, "the architecture has 2 block groups, but the space has 3");
        let error = error_after(&|groups| groups[1].clear());
        assert_eq!(error, "stage2 of the architecture has 0 blocks: it must have 1 to 2");
        let error = error_after(&|groups| groups[0] = vec![groups[0][0]; 2]);
        assert_eq!(error, "stage1 of the architecture has 2 blocks: it must have 1 to 1");
        let error = error_after(&|groups| groups[0][0].operation = 4);
        assert_eq!(error, "stage1.block1: operation 4 is out of range: the space has 4 operations, counted from 0");
        let error = error_after(&|groups| groups[0][0].width = 1);
        assert!(error.starts_with("stage1.block1: width 1 of"), "{error}");
    }

    #[test]
    fn choices_round_trip_through_json() {
        let architecture = random(3);
        let text = serde_json::to_string(&architecture).unwrap();
        assert!(text.starts_with("[[{\"operation\":"), "{text}");
        let groups: Vec<Vec<Choice>> = serde_json::from_str(&text).unwrap();
        assert_eq!(Architecture::new(&Space::small(), groups).unwrap(), architecture);
    }

    #[test]
    fn the_description_has_a_line_for_each_kept_block() {
        let space = Space::small();
        let groups = [(2, 40), (0, 25), (1, 33)].map(|(operation, width)| vec![Choice { operation, width }]);
        let architecture = Architecture::new(&space, groups.to_vec()).unwrap();
        let expected = "\
stage1.block1    16x16     8 -> 12   s1  relu   k3_e6_se  width   40 of 64
stage2.block1    16x16    12 -> 16   s2  swish  k3_e3     width   25 of 48
stage3.block1     8x8     16 -> 32   s2  swish  k5_e3     width   33 of 64
";
        assert_eq!(architecture.describe(&space).to_string(), expected);
    }
}
