//! The discrete choices of an architecture.

use tfnas::{Architecture, ArchitectureError, Choice, Space};

/// The choices of an architecture other than its widths: the operation of each kept block, `[group][kept block]`.
///
/// Two architectures with the same genes and latency differ only by the rounding of their widths, and count as equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Genes(pub(crate) Vec<Vec<usize>>);

impl Genes {
    pub(crate) fn of(architecture: &Architecture) -> Self {
        let groups = architecture.groups().iter();
        Self(groups.map(|choices| choices.iter().map(|choice| choice.operation).collect()).collect())
    }

    /// The number of differing genes: depths of groups, and operations of the blocks that both keep.
    pub(crate) fn distance(&self, other: &Self) -> usize {
        let groups = self.0.iter().zip(&other.0);
        groups.fold(0, |sum, (a, b)| {
            let operations = a.iter().zip(b).filter(|(a, b)| a != b).count();
            sum + operations + usize::from(a.len() != b.len())
        })
    }

    /// Returns the architecture with these genes and the initial widths of a search.
    pub(crate) fn architecture(&self, space: &Space) -> Result<Architecture, ArchitectureError> {
        let groups = self.0.iter().enumerate().map(|(group, operations)| {
            let blocks = space.blocks_of(group).iter().zip(operations);
            let choices = blocks.filter_map(|(block, &operation)| {
                let width = block.initial_width(space.operations().get(operation)?);
                Some(Choice { operation, width })
            });
            choices.collect()
        });
        Architecture::new(space, groups.collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn distance_counts_depths_and_operations_of_common_blocks() {
        let a = Genes(vec![vec![0], vec![1, 2], vec![3]]);
        let distance = |groups: [&[usize]; 3]| a.distance(&Genes(groups.map(<[usize]>::to_vec).to_vec()));
        assert_eq!(distance([&[0], &[1, 2], &[3]]), 0);
        assert_eq!(distance([&[1], &[1, 2], &[3]]), 1);
        assert_eq!(distance([&[0], &[1], &[3]]), 1, "a removed block is one change, of the depth");
        assert_eq!(distance([&[0], &[2], &[3, 0, 0]]), 3);
    }

    #[test]
    fn genes_round_trip_through_an_architecture() {
        let space = Space::small();
        let genes = Genes(vec![vec![3], vec![0, 1], vec![2]]);
        let architecture = genes.architecture(&space).unwrap();
        assert_eq!(Genes::of(&architecture), genes);
    }
}
