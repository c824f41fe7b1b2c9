//! The search space: the common parts of its networks, and the choices of each block.
//!
//! The paper's *stages* are called block groups here, because a stage is a stage of the pipeline: group `g` (from 0) is
//! `stage{g+1}` in the authors' code, and its block `b` (from 0) is `block{b+1}`.

use std::collections::HashMap;

use crate::allowed_widths::AllowedWidths;
use crate::block_key::BlockKey;
use crate::definition::{Activation, Group, Operation, SpaceDefinition};
use crate::space_check::{SpaceError, check};

/// A validated search space.
///
/// [`Space::new`] guarantees that sizes are positive and bounded, and that every allowed width of an operation is
/// larger than its block's input channels (so that every block has its expand convolution).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    definition: SpaceDefinition,
    blocks: Vec<Block>,
    /// The index of each group's first block in `blocks`, followed by the number of blocks.
    starts: Vec<usize>,
}

impl Space {
    /// Validates a definition.
    ///
    /// # Errors
    /// Returns [`SpaceError`] with the first invalid field and its valid values.
    pub fn new(definition: SpaceDefinition) -> Result<Self, SpaceError> {
        check(&definition)?;
        let mut blocks = Vec::new();
        let mut starts = vec![0];
        let mut in_channels = definition.second_stem.channels;
        let mut size = halved(definition.resolution, definition.first_stem.stride);
        for (group, shape) in definition.groups.iter().enumerate() {
            for index in 0..shape.blocks {
                let stride = if index == 0 { shape.stride } else { 1 };
                blocks.push(Block {
                    group,
                    index,
                    in_channels,
                    out_channels: shape.channels,
                    stride,
                    activation: shape.activation,
                    input_size: size,
                    width_step: definition.width_step,
                });
                in_channels = shape.channels;
                size = halved(size, stride);
            }
            starts.push(blocks.len());
        }
        Ok(Self { definition, blocks, starts })
    }

    /// Returns the definition of the space.
    pub fn definition(&self) -> &SpaceDefinition {
        &self.definition
    }

    /// The candidate operations of every block, in order.
    pub fn operations(&self) -> &[Operation] {
        &self.definition.operations
    }

    /// The block groups, in order.
    pub fn groups(&self) -> &[Group] {
        &self.definition.groups
    }

    /// The blocks of all groups, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Returns the blocks of one group, in order. Empty if there is no such group.
    pub fn blocks_of(&self, group: usize) -> &[Block] {
        match (self.starts.get(group), self.starts.get(group + 1)) {
            (Some(&start), Some(&end)) => &self.blocks[start..end],
            _ => &[],
        }
    }

    /// Returns the index of a block among all blocks, given an existing group and index.
    pub fn position(&self, group: usize, index: usize) -> usize {
        self.starts[group] + index
    }

    /// Returns the rows that a latency table must have for this space, without duplicates, in the order of the blocks.
    pub fn needed_rows(&self) -> Vec<NeededRow> {
        let mut rows: Vec<NeededRow> = Vec::new();
        let mut places: HashMap<BlockKey, usize> = HashMap::new();
        for block in &self.blocks {
            for operation in self.operations() {
                let key = block.key(operation);
                let place = *places.entry(key).or_insert(rows.len());
                let widths = block.widths(operation);
                let (min_width, max_width) = (widths.min(), widths.max());
                match rows.get_mut(place) {
                    Some(row) => {
                        row.min_width = row.min_width.min(min_width);
                        row.max_width = row.max_width.max(max_width);
                    }
                    None => rows.push(NeededRow { key, min_width, max_width, width_step: block.width_step }),
                }
            }
        }
        rows
    }

    /// Side of the feature map between the two stems, in pixels.
    pub fn stem_size(&self) -> usize {
        halved(self.definition.resolution, self.definition.first_stem.stride)
    }

    /// Side of the feature map after the last block, in pixels.
    pub fn final_size(&self) -> usize {
        self.blocks.last().map_or(self.stem_size(), Block::output_size)
    }

    /// Channels after the last block.
    pub fn final_channels(&self) -> usize {
        self.blocks.last().map_or(self.definition.second_stem.channels, |block| block.out_channels)
    }
}

/// A row that a latency table must have for a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeededRow {
    /// The row.
    pub key: BlockKey,
    /// The smallest width of any operation of the space with this key.
    pub min_width: usize,
    /// The largest width.
    pub max_width: usize,
    /// The step of the widths.
    pub width_step: usize,
}

/// The position of a block in the space, with the properties that do not depend on the choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Index of its group.
    pub group: usize,
    /// Index in its group.
    pub index: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Stride of the depthwise convolution, 1 or 2.
    pub stride: usize,
    /// Activation.
    pub activation: Activation,
    /// Side of its input, in pixels.
    pub input_size: usize,
    /// The step of its widths.
    pub width_step: usize,
}

impl Block {
    /// Its name in the authors' code, such as `stage1.block2`.
    pub fn name(&self) -> String {
        format!("stage{}.block{}", self.group + 1, self.index + 1)
    }

    /// Side of its output, in pixels.
    pub fn output_size(&self) -> usize {
        halved(self.input_size, self.stride)
    }

    /// Whether the input is added to the output.
    pub fn has_residual(&self) -> bool {
        self.in_channels == self.out_channels && self.stride == 1
    }

    /// Number of squeeze-excite channels of an operation in this block; 0 without squeeze-excite.
    pub fn se_channels(&self, operation: &Operation) -> usize {
        operation.se_expand * self.in_channels
    }

    /// The initial width (channels of the depthwise convolution) of an operation in this block: its expansion of the
    /// input channels, rounded to the space's step.
    pub fn initial_width(&self, operation: &Operation) -> usize {
        self.widths(operation).nearest(operation.expand * self.in_channels)
    }

    /// The largest width of an operation in this block.
    pub fn max_width(&self, operation: &Operation) -> usize {
        self.widths(operation).max()
    }

    /// The smallest width of an operation in this block.
    pub fn min_width(&self, operation: &Operation) -> usize {
        self.widths(operation).min()
    }

    /// All widths of an operation in this block: the multiples of the space's step from half of its largest expansion,
    /// rounded down, to that expansion.
    pub fn widths(&self, operation: &Operation) -> AllowedWidths {
        allowed_widths(self.in_channels, operation, self.width_step)
            .expect("a validated space has a width for each operation")
    }

    /// The row of a latency table for an operation in this block.
    pub fn key(&self, operation: &Operation) -> BlockKey {
        BlockKey {
            input_size: self.input_size,
            in_channels: self.in_channels,
            se_channels: self.se_channels(operation),
            out_channels: self.out_channels,
            kernel: operation.kernel,
            stride: self.stride,
            activation: self.activation,
        }
    }
}

/// The widths of an operation in a block with this many input channels; `None` if no multiple of the step is within the
/// bounds.
pub(crate) fn allowed_widths(in_channels: usize, operation: &Operation, step: usize) -> Option<AllowedWidths> {
    let max = operation.max_expand * in_channels;
    AllowedWidths::new(max / 2, max, step)
}

/// Side of a feature map after a convolution with an odd kernel, padding of half the kernel and this stride.
pub(crate) fn halved(size: usize, stride: usize) -> usize {
    size.div_ceil(stride)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_follow_the_groups_with_channels_strides_and_sizes() {
        let space = Space::imagenet();
        let shapes: Vec<_> =
            space.blocks().iter().map(|b| (b.input_size, b.in_channels, b.out_channels, b.stride)).collect();
        let expected = [
            (112, 16, 24, 2),
            (56, 24, 24, 1),
            (56, 24, 40, 2),
            (28, 40, 40, 1),
            (28, 40, 40, 1),
            (28, 40, 80, 2),
            (14, 80, 80, 1),
            (14, 80, 80, 1),
            (14, 80, 80, 1),
            (14, 80, 112, 1),
            (14, 112, 112, 1),
            (14, 112, 112, 1),
            (14, 112, 112, 1),
            (14, 112, 192, 2),
            (7, 192, 192, 1),
            (7, 192, 192, 1),
            (7, 192, 192, 1),
            (7, 192, 320, 1),
        ];
        assert_eq!(shapes, expected);
        assert_eq!(space.stem_size(), 112);
        assert_eq!(space.final_size(), 7);
        assert_eq!(space.final_channels(), 320);
    }

    #[test]
    fn blocks_are_found_by_group_and_by_position() {
        let space = Space::imagenet();
        let third = space.blocks_of(2);
        assert_eq!(third.len(), 4);
        assert_eq!(third[1].name(), "stage3.block2");
        assert_eq!(space.blocks()[space.position(2, 1)], third[1]);
        assert!(space.blocks_of(6).is_empty());
    }

    #[test]
    fn a_residual_needs_equal_channels_and_stride_1() {
        let space = Space::imagenet();
        let residuals = space.blocks().iter().filter(|block| block.has_residual());
        assert_eq!(residuals.count(), 12);
        assert!(!space.blocks()[0].has_residual());
    }

    #[test]
    fn initial_and_smallest_widths_are_fractions_of_the_largest() {
        let space = Space::imagenet();
        let (block, operation) = (&space.blocks()[17], &space.operations()[5]);
        assert_eq!(operation.name(), "k3_e6_se");
        assert_eq!(block.min_width(operation), 768);
        assert_eq!(block.initial_width(operation), 1152);
        assert_eq!(block.max_width(operation), 1536);
        assert_eq!(block.se_channels(operation), 384);
        let key = block.key(operation).to_string();
        assert_eq!(key, "MBInvertedResBlock_7_192_384_320_k3_s1_swish");
    }

    #[test]
    fn widths_are_multiples_of_the_step_within_the_bounds() {
        let definition = SpaceDefinition { width_step: 8, ..Space::cifar().definition().clone() };
        let space = Space::new(definition).unwrap();
        for (block, plain) in space.blocks().iter().zip(Space::cifar().blocks()) {
            for operation in space.operations() {
                let (stepped, all) = (block.widths(operation), plain.widths(operation));
                assert!(stepped.iter().all(|width| width % 8 == 0 && all.contains(width)));
                assert_eq!(stepped.count(), all.iter().filter(|width| width % 8 == 0).count());
                assert!(block.initial_width(operation).abs_diff(plain.initial_width(operation)) <= 4);
            }
        }
        for row in space.needed_rows() {
            assert!(row.width_step == 8 && row.min_width % 8 == 0 && row.max_width % 8 == 0);
        }
    }

    #[test]
    fn needed_rows_are_unique_and_cover_all_widths() {
        let rows = Space::imagenet().needed_rows();
        assert_eq!(rows.len(), 66);
        let first = "MBInvertedResBlock_112_16_0_24_k3_s2_relu";
        assert_eq!(rows[0].key.to_string(), first);
        assert_eq!((rows[0].min_width, rows[0].max_width), (32, 128));
    }
}
