//! Random changes of an architecture's genes.

use tfnas::Space;
use tfnas_random::Stream;

use crate::genes::Genes;

/// Returns a copy of the genes with `count` uniformly drawn changes: the depth of a group, or the operation of a kept
/// block.
///
/// An added block gets a random operation. If the space has fewer variable genes than `count`, all of them change.
pub(crate) fn mutate(space: &Space, parent: &Genes, count: usize, stream: &mut Stream) -> Genes {
    let mut places = Vec::new();
    for (group, operations) in parent.0.iter().enumerate() {
        if space.blocks_of(group).len() > 1 {
            places.push((group, None));
        }
        if space.operations().len() > 1 {
            places.extend((0..operations.len()).map(|index| (group, Some(index))));
        }
    }
    stream.shuffle(&mut places);
    let mut child = parent.clone();
    // Change depths first: they may remove the block whose operation changes.
    places.truncate(count);
    places.sort_unstable();
    for (group, place) in places {
        let operations = space.operations().len();
        match place {
            None => {
                let depth = 1 + other(space.blocks_of(group).len(), parent.0[group].len() - 1, stream);
                child.0[group].truncate(depth);
                while child.0[group].len() < depth {
                    child.0[group].push(stream.below(operations as u64) as usize);
                }
            }
            Some(index) => {
                let changed = other(operations, parent.0[group][index], stream);
                if let Some(operation) = child.0[group].get_mut(index) {
                    *operation = changed;
                }
            }
        }
    }
    child
}

/// Returns a uniform draw from 0, 1, …, n-1 except `not`. `n` must be at least 2.
fn other(n: usize, not: usize, stream: &mut Stream) -> usize {
    let drawn = stream.below(n as u64 - 1) as usize;
    drawn + usize::from(drawn >= not)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::draw::{Draw, uniform};

    #[test]
    fn mutations_change_at_most_count_genes() {
        let space = Space::cifar();
        let mut full = 0;
        for attempt in 0..300 {
            let parent = uniform(&space, &mut Draw::Uniform.stream(0, attempt));
            for count in 1..=3 {
                let stream = &mut Draw::Mutation { round: 0 }.stream(count, attempt);
                let child = mutate(&space, &parent, count as usize, stream);
                child.architecture(&space).unwrap();
                let distance = parent.distance(&child);
                assert!((1..=count as usize).contains(&distance));
                full += usize::from(distance == count as usize);
            }
        }
        assert!(full > 750, "{full}");
    }

    #[test]
    fn a_space_with_few_genes_changes_all_of_them() {
        let mut definition = Space::small().definition().clone();
        definition.operations.truncate(1);
        let space = Space::new(definition).unwrap();
        let parent = uniform(&space, &mut Draw::Uniform.stream(0, 0));
        let child = mutate(&space, &parent, 10, &mut Draw::Mutation { round: 0 }.stream(0, 0));
        assert_eq!(parent.distance(&child), 2, "two groups have more than one block");
    }
}
