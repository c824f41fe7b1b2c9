//! Proposes new candidates near known ones that the regression predicts to be good.

use std::collections::BTreeSet;

use tfnas_random::Stream;

use crate::draw::{Draw, uniform};
use crate::error::SelectError;
use crate::features::row;
use crate::fit::{Fitted, Fitter};
use crate::genes::Genes;
use crate::mutate::mutate;
use crate::ridge::Ridge;

/// Maximum number of genes changed by a mutation, unless proposals must be further apart.
const MUTATED_GENES: usize = 3;
/// Every fourth proposal is drawn uniformly.
const UNIFORM_EVERY: usize = 4;
/// Every second member of the pool is drawn uniformly. The others are mutations of leaders.
const POOL_UNIFORM_EVERY: usize = 2;
/// Maximum number of draws per requested architecture.
const ATTEMPTS: usize = 50;

/// The input of a round of proposals.
pub(crate) struct Proposer<'a> {
    pub(crate) fitter: &'a Fitter<'a>,
    pub(crate) seed: u64,
    pub(crate) round: usize,
    /// Genes of all candidates so far.
    pub(crate) known: &'a [Genes],
    /// Indices of the best candidates in `known`.
    pub(crate) leaders: &'a [usize],
    pub(crate) ridge: &'a Ridge,
    pub(crate) pool: usize,
    pub(crate) min_distance: usize,
}

/// A proposed candidate.
pub(crate) struct Proposed {
    pub(crate) genes: Genes,
    pub(crate) fitted: Fitted,
    pub(crate) is_uniform: bool,
}

impl Proposer<'_> {
    /// Returns `count` new candidates, or fewer if the space has no more, and whether some are closer to others than
    /// `min_distance`.
    pub(crate) fn propose(&self, count: usize) -> Result<(Vec<Proposed>, bool), SelectError> {
        let pool = self.pool()?;
        let mut proposed = Vec::new();
        let wanted = count - count / UNIFORM_EVERY;
        let mut distance = self.min_distance;
        let mut chosen = vec![false; pool.len()];
        while proposed.len() < wanted && distance > 0 {
            for (member, chosen) in pool.iter().zip(&mut chosen) {
                if proposed.len() < wanted
                    && !*chosen
                    && self.is_apart(&member.genes, &proposed, distance)
                    && let Some(fitted) = self.fitter.fit(&member.genes)?
                {
                    proposed.push(Proposed { genes: member.genes.clone(), fitted, is_uniform: false });
                    *chosen = true;
                }
            }
            distance -= 1;
        }
        let is_nearer = proposed.len() < wanted || distance + 1 < self.min_distance;
        self.add_uniform(count, &mut proposed)?;
        Ok((proposed, is_nearer))
    }

    /// Returns fitted architectures that are not candidates yet, best prediction first.
    fn pool(&self) -> Result<Vec<Member>, SelectError> {
        let mut seen: BTreeSet<Genes> = self.known.iter().cloned().collect();
        let mut pool = Vec::new();
        let uniform_count = if self.leaders.is_empty() { self.pool } else { self.pool / POOL_UNIFORM_EVERY };
        let space = self.fitter.space();
        let uniform = |_, stream: &mut Stream| uniform(space, stream);
        self.fill(&mut pool, uniform_count, Draw::Pool { round: self.round }, &mut seen, uniform)?;
        let most = MUTATED_GENES.max(self.min_distance);
        let mutation = |attempt: usize, stream: &mut Stream| {
            let parent = &self.known[self.leaders[attempt % self.leaders.len()]];
            let count = self.min_distance + stream.below((most - self.min_distance) as u64 + 1) as usize;
            mutate(space, parent, count, stream)
        };
        if !self.leaders.is_empty() {
            self.fill(&mut pool, self.pool, Draw::Mutation { round: self.round }, &mut seen, mutation)?;
        }
        pool.sort_by(|a, b| a.prediction.total_cmp(&b.prediction));
        Ok(pool)
    }

    /// Adds draws that fit the target and are new, until there are `size`.
    fn fill(
        &self,
        pool: &mut Vec<Member>,
        size: usize,
        draw: Draw,
        seen: &mut BTreeSet<Genes>,
        genes: impl Fn(usize, &mut Stream) -> Genes,
    ) -> Result<(), SelectError> {
        let attempts = ATTEMPTS.saturating_mul(size.saturating_sub(pool.len()));
        for attempt in 0..attempts {
            if pool.len() >= size {
                break;
            }
            let genes = genes(attempt, &mut draw.stream(self.seed, attempt as u32));
            if seen.contains(&genes) {
                continue;
            }
            if let Some(fitted) = self.fitter.rough(&genes)? {
                let features = row(self.fitter.space(), self.fitter.table(), &fitted.architecture)?;
                pool.push(Member { prediction: self.ridge.predict(&features), genes: genes.clone() });
                seen.insert(genes);
            }
        }
        Ok(())
    }

    /// Adds uniform draws that keep the minimum distance, up to `count` proposals.
    fn add_uniform(&self, count: usize, proposed: &mut Vec<Proposed>) -> Result<(), SelectError> {
        let draw = Draw::Proposal { round: self.round };
        for distance in [self.min_distance, 1] {
            let attempts = 20 * ATTEMPTS * (count - proposed.len());
            for attempt in 0..attempts {
                if proposed.len() == count {
                    break;
                }
                let genes = uniform(self.fitter.space(), &mut draw.stream(self.seed, attempt as u32));
                if self.is_apart(&genes, proposed, distance)
                    && let Some(fitted) = self.fitter.fit(&genes)?
                {
                    proposed.push(Proposed { genes, fitted, is_uniform: true });
                }
            }
        }
        Ok(())
    }

    fn is_apart(&self, genes: &Genes, proposed: &[Proposed], distance: usize) -> bool {
        let mut others = self.known.iter().chain(proposed.iter().map(|other| &other.genes));
        others.all(|other| genes.distance(other) >= distance)
    }
}

struct Member {
    prediction: f64,
    genes: Genes,
}
