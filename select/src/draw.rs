//! Draws architectures: uniformly, by rules, and from the probabilities of a search.

use tfnas::Space;
use tfnas_random::{Stream, StreamId};

use crate::genes::Genes;

/// The use of a drawn architecture. Each has separate random streams.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Draw {
    /// An initial candidate.
    Uniform,
    /// An initial candidate from the search's probabilities.
    Search,
    /// A uniform proposal of a round.
    Proposal { round: usize },
    /// A member of the pool of a round.
    Pool { round: usize },
    /// A mutation of a leader in a round.
    Mutation { round: usize },
}

impl Draw {
    /// The random stream of an attempt.
    pub(crate) fn stream(self, seed: u64, attempt: u32) -> Stream {
        let of_round = |round: usize, kind: u32| 8 + 4 * round as u32 + kind;
        let epoch = match self {
            Self::Uniform => 0,
            Self::Search => 1,
            Self::Proposal { round } => of_round(round, 0),
            Self::Pool { round } => of_round(round, 1),
            Self::Mutation { round } => of_round(round, 2),
        };
        Stream::new(seed, StreamId::Select, epoch, attempt)
    }
}

/// Draws a uniform number of blocks for every group, and a uniform operation for every kept block.
pub(crate) fn uniform(space: &Space, stream: &mut Stream) -> Genes {
    let mut below = |n: usize| stream.below(n.max(1) as u64) as usize;
    let groups = (0..space.groups().len()).map(|group| {
        let depth = 1 + below(space.blocks_of(group).len());
        (0..depth).map(|_| below(space.operations().len())).collect()
    });
    Genes(groups.collect())
}

/// Samples the probabilities of a search: operations with `exp(log_alphas)`, depths with `softmax(betas)`.
///
/// The vectors must belong to the space.
pub(crate) fn sample(space: &Space, log_alphas: &[Vec<f32>], betas: &[Vec<f32>], stream: &mut Stream) -> Genes {
    let groups = betas.iter().enumerate().map(|(group, betas)| {
        let depth = 1 + choose(betas, stream);
        (0..depth).map(|index| choose(&log_alphas[space.position(group, index)], stream)).collect()
    });
    Genes(groups.collect())
}

/// Returns an index with probability proportional to the exponential of its logit. Logits must be finite.
fn choose(logits: &[f32], stream: &mut Stream) -> usize {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&logit| f64::from(logit - largest).exp()).collect();
    let mut left = stream.uniform() * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        if left < *weight {
            return index;
        }
        left -= weight;
    }
    // Rounding may leave a remainder: the largest logit has a nonzero weight.
    weights.iter().position(|&weight| weight == 1.0).unwrap_or(0)
}

/// An architecture created by a rule.
pub(crate) struct Rule {
    /// Display name.
    pub(crate) name: String,
    pub(crate) genes: Genes,
}

/// Returns the rules: every block has the same operation and every group keeps the same fraction of its blocks, deepest
/// first.
pub(crate) fn rules(space: &Space) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for quarters in (1..=4).rev() {
        for (index, operation) in space.operations().iter().enumerate() {
            let groups = (0..space.groups().len()).map(|group| {
                let depth = (space.blocks_of(group).len() * quarters).div_ceil(4);
                vec![index; depth]
            });
            let genes = Genes(groups.collect());
            if rules.iter().all(|rule| rule.genes != genes) {
                let depth =
                    ["a quarter of the blocks", "half of the blocks", "three quarters of the blocks", "all blocks"];
                rules.push(Rule { name: format!("{} in {}", operation.name(), depth[quarters - 1]), genes });
            }
        }
    }
    rules
}

/// Returns `count` evenly spaced `items`, or all if there are fewer.
pub(crate) fn spread<T>(items: Vec<T>, count: usize) -> Vec<T> {
    let (all, count) = (items.len(), count.min(items.len()));
    let mut next = 0;
    let mut chosen = Vec::with_capacity(count);
    for (index, item) in items.into_iter().enumerate() {
        // The middles of `count` equal parts.
        if next < count && index == (2 * next + 1) * all / (2 * count) {
            chosen.push(item);
            next += 1;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stream(attempt: u32) -> Stream {
        Draw::Uniform.stream(3, attempt)
    }

    #[test]
    fn uniform_draws_are_valid_and_cover_the_space() {
        let space = Space::small();
        let mut seen = [[false; 4]; 3];
        for attempt in 0..200 {
            let genes = uniform(&space, &mut stream(attempt));
            genes.architecture(&space).unwrap();
            seen[genes.0[2].len() - 1][genes.0[2][0]] = true;
        }
        assert_eq!(seen, [[true; 4]; 3]);
    }

    #[test]
    fn streams_of_different_draws_differ() {
        let draws = [
            Draw::Uniform,
            Draw::Search,
            Draw::Proposal { round: 0 },
            Draw::Pool { round: 0 },
            Draw::Mutation { round: 0 },
            Draw::Proposal { round: 1 },
        ];
        let mut first: Vec<u64> = draws.map(|draw| draw.stream(0, 0).next_u64()).to_vec();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), draws.len());
    }

    #[test]
    fn samples_follow_the_probabilities_of_the_search() {
        let space = Space::small();
        let certain = |n: usize| (0..n).map(|k| if k == 1 { 0.0 } else { -1e30 }).collect::<Vec<f32>>();
        let log_alphas: Vec<_> = space.blocks().iter().map(|_| certain(4)).collect();
        let betas = vec![vec![0.0], vec![-1e30, 5.0], vec![0.0, 0.0, 0.0]];
        let mut depths = [0; 3];
        for attempt in 0..300 {
            let genes = sample(&space, &log_alphas, &betas, &mut stream(attempt));
            assert!(genes.0.iter().flatten().all(|&operation| operation == 1));
            assert_eq!(genes.0[1].len(), 2);
            depths[genes.0[2].len() - 1] += 1;
        }
        assert!(depths.iter().all(|&count| (70..130).contains(&count)), "{depths:?}");
    }

    #[test]
    fn rules_are_distinct_and_valid() {
        for space in [Space::imagenet(), Space::small()] {
            let rules = rules(&space);
            assert!(rules.len() > 8);
            for (index, rule) in rules.iter().enumerate() {
                rule.genes.architecture(&space).unwrap();
                assert!(rules[..index].iter().all(|other| other.genes != rule.genes && other.name != rule.name));
            }
        }
        assert_eq!(self::rules(&Space::imagenet())[0].name, "k3_e3 in all blocks");
    }

    #[test]
    fn spread_returns_evenly_spaced_items() {
        assert_eq!(spread((0..10).collect(), 5), [1, 3, 5, 7, 9]);
        assert_eq!(spread((0..3).collect(), 5), [0, 1, 2]);
        assert_eq!(spread((0..7).collect(), 1), [3]);
        assert!(spread(vec![1, 2], 0).is_empty());
        for (all, count) in [(32, 5), (31, 30), (100, 7)] {
            assert_eq!(spread((0..all).collect(), count).len(), count);
        }
    }
}
