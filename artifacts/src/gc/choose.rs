//! Which attempts to remove: a decision on plain values.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::Retention;
use crate::ledger::Candidate;
use crate::{Digest, Outcome, Purpose};

/// Returns the rows of the attempts to remove. Pinned attempts, attempts in use, and everything that kept attempts were
/// made from are kept.
///
/// * `candidates`: all attempts, oldest first.
/// * `in_use`: whether a process is working on an attempt, or on a run that made or used it.
pub(super) fn choose(
    candidates: &[Candidate],
    retention: &Retention,
    in_use: impl Fn(&Candidate) -> bool,
) -> HashSet<i64> {
    let makers = Makers::new(candidates);
    let mut protected: Vec<bool> = candidates.iter().map(|candidate| candidate.pinned || in_use(candidate)).collect();
    makers.close(candidates, &mut protected);
    let mut kept = match retention.keep_last {
        Some(count) => keep_last(candidates, count),
        None => vec![true; candidates.len()],
    };
    for (kept, protected) in kept.iter_mut().zip(&protected) {
        *kept |= protected;
    }
    makers.close(candidates, &mut kept);
    if let Some(most) = retention.max_bytes {
        evict(candidates, &makers, &protected, &mut kept, most);
    }
    candidates.iter().zip(kept).filter(|(_, kept)| !kept).map(|(candidate, _)| candidate.row).collect()
}

/// Returns the total size of the objects made by these attempts, counting each object once.
pub(super) fn bytes_of<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> u64 {
    let sizes: HashMap<Digest, u64> = candidates.flat_map(|candidate| candidate.outputs.iter().copied()).collect();
    sizes.values().fold(0, |sum, bytes| sum.saturating_add(*bytes))
}

/// The `count` most recently used results of each instance, as many of its attempts without a result, and as many of
/// its checks. Checks are counted separately so that they do not displace the results they were compared with.
fn keep_last(candidates: &[Candidate], count: usize) -> Vec<bool> {
    let mut groups: HashMap<(&str, bool, bool), Vec<usize>> = HashMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let is_result = candidate.outcome == Some(Outcome::Done);
        let is_check = candidate.purpose == Purpose::Check;
        groups.entry((&candidate.instance, is_result, is_check)).or_default().push(index);
    }
    let mut kept = vec![false; candidates.len()];
    for mut group in groups.into_values() {
        group.sort_by_key(|&index| Reverse((candidates[index].used_ms, candidates[index].row)));
        for index in group.into_iter().take(count) {
            kept[index] = true;
        }
    }
    kept
}

/// Removes the least recently used results until the rest fits, but never a result that a kept one was made from.
fn evict(candidates: &[Candidate], makers: &Makers, protected: &[bool], kept: &mut [bool], most: u64) {
    let mut users: HashMap<Digest, usize> = HashMap::new();
    let mut made: HashMap<Digest, (usize, u64)> = HashMap::new();
    for candidate in candidates.iter().zip(&*kept).filter(|(_, kept)| **kept).map(|(candidate, _)| candidate) {
        for digest in &candidate.inputs {
            *users.entry(*digest).or_default() += 1;
        }
        for (digest, bytes) in &candidate.outputs {
            made.entry(*digest).or_insert((0, *bytes)).0 += 1;
        }
    }
    // Wider than a size: the sizes of damaged records can be anything.
    let mut total: u128 = made.values().map(|(_, bytes)| u128::from(*bytes)).sum();
    let is_free = |index: usize, users: &HashMap<Digest, usize>, made: &HashMap<Digest, (usize, u64)>| {
        let unused = |digest: &Digest| users.get(digest).is_none_or(|count| *count == 0);
        let made_elsewhere = |digest: &Digest| made.get(digest).is_some_and(|(count, _)| *count > 1);
        candidates[index].outcome == Some(Outcome::Done)
            && !protected[index]
            && candidates[index].outputs.iter().all(|(digest, _)| unused(digest) || made_elsewhere(digest))
    };
    let age = |index: usize| Reverse((candidates[index].used_ms, candidates[index].row, index));
    let mut queue: BinaryHeap<_> =
        (0..candidates.len()).filter(|&index| kept[index] && is_free(index, &users, &made)).map(age).collect();
    while total > u128::from(most)
        && let Some(Reverse((_, _, index))) = queue.pop()
    {
        if !kept[index] || !is_free(index, &users, &made) {
            continue;
        }
        kept[index] = false;
        for (digest, bytes) in &candidates[index].outputs {
            if let Some((count, _)) = made.get_mut(digest) {
                *count -= 1;
                total -= if *count == 0 { u128::from(*bytes) } else { 0 };
            }
        }
        for digest in &candidates[index].inputs {
            if let Some(count) = users.get_mut(digest) {
                *count -= 1;
            }
            queue.extend(makers.of(digest).iter().copied().filter(|&maker| kept[maker]).map(age));
        }
    }
}

/// The attempts that made each artifact, as positions among the candidates, oldest first.
struct Makers(HashMap<Digest, Vec<usize>>);

impl Makers {
    fn new(candidates: &[Candidate]) -> Self {
        let mut makers: HashMap<Digest, Vec<usize>> = HashMap::new();
        for (index, candidate) in candidates.iter().enumerate() {
            for (digest, _) in &candidate.outputs {
                makers.entry(*digest).or_default().push(index);
            }
        }
        Self(makers)
    }

    fn of(&self, digest: &Digest) -> &[usize] {
        self.0.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Adds everything that the kept attempts were made from.
    fn close(&self, candidates: &[Candidate], kept: &mut [bool]) {
        let mut open: Vec<usize> = (0..candidates.len()).filter(|&index| kept[index]).collect();
        while let Some(index) = open.pop() {
            for digest in &candidates[index].inputs {
                let makers = self.of(digest);
                // The newest maker that existed before the user, otherwise the oldest.
                let before = makers.partition_point(|&maker| maker < index);
                if let Some(&maker) = makers.get(before.saturating_sub(1))
                    && !kept[maker]
                {
                    kept[maker] = true;
                    open.push(maker);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::AttemptId;

    fn digest(name: &str) -> Digest {
        Digest::of_bytes(name.as_bytes())
    }

    /// Returns a result with ten bytes per output, last used at time `row`.
    fn result(row: i64, instance: &str, inputs: &[&str], outputs: &[&str]) -> Candidate {
        Candidate {
            row,
            id: AttemptId::of(&digest(&row.to_string())),
            key: digest(instance).into(),
            instance: instance.to_owned(),
            purpose: Purpose::Run,
            outcome: Some(Outcome::Done),
            used_ms: row,
            pinned: false,
            open_runs: Vec::new(),
            inputs: inputs.iter().map(|name| digest(name)).collect(),
            outputs: outputs.iter().map(|name| (digest(name), 10)).collect(),
        }
    }

    /// Returns two generations of a chain of three results.
    fn chain() -> Vec<Candidate> {
        vec![
            result(1, "split", &[], &["list1"]),
            result(2, "search", &["list1"], &["arch1"]),
            result(3, "train", &["arch1", "list1"], &["net1"]),
            result(4, "split", &[], &["list2"]),
            result(5, "search", &["list2"], &["arch2"]),
            result(6, "train", &["arch2", "list2"], &["net2"]),
        ]
    }

    fn removed(candidates: &[Candidate], keep_last: Option<usize>, max_bytes: Option<u64>) -> Vec<i64> {
        let chosen = choose(candidates, &Retention { keep_last, max_bytes }, |_| false);
        let mut rows: Vec<i64> = chosen.into_iter().collect();
        rows.sort_unstable();
        rows
    }

    #[test]
    fn last_results_of_each_instance_are_kept() {
        assert_eq!(removed(&chain(), Some(1), None), [1, 2, 3]);
        assert_eq!(removed(&chain(), Some(2), None), [] as [i64; 0]);
        assert_eq!(removed(&chain(), Some(0), None), [1, 2, 3, 4, 5, 6]);
        assert_eq!(removed(&chain(), None, None), [] as [i64; 0]);
    }

    #[test]
    fn last_result_is_the_most_recently_used() {
        let mut candidates = chain();
        for candidate in &mut candidates[..3] {
            candidate.used_ms = 10;
        }
        assert_eq!(removed(&candidates, Some(1), None), [4, 5, 6]);
    }

    #[test]
    fn pin_keeps_the_lineage_of_the_result() {
        let mut candidates = chain();
        candidates[2].pinned = true;
        assert_eq!(removed(&candidates, Some(1), None), [] as [i64; 0]);
        assert_eq!(removed(&candidates, Some(0), Some(0)), [4, 5, 6]);
    }

    #[test]
    fn results_in_use_are_kept() {
        let candidates = chain();
        let retention = Retention { keep_last: Some(0), max_bytes: Some(0) };
        let chosen = choose(&candidates, &retention, |candidate| candidate.row == 2);
        assert!(!chosen.contains(&1) && !chosen.contains(&2) && chosen.contains(&3));
    }

    #[test]
    fn least_recently_used_results_are_removed_until_the_rest_fits() {
        assert_eq!(removed(&chain(), None, Some(60)), [] as [i64; 0]);
        assert_eq!(removed(&chain(), None, Some(50)), [3]);
        assert_eq!(removed(&chain(), None, Some(35)), [1, 2, 3], "a result is removed before its inputs");
        assert_eq!(removed(&chain(), None, Some(10)), [1, 2, 3, 5, 6]);
        assert_eq!(removed(&chain(), None, Some(0)), [1, 2, 3, 4, 5, 6]);
        assert_eq!(removed(&chain(), Some(1), Some(20)), [1, 2, 3, 6]);
    }

    #[test]
    fn shared_bytes_are_freed_with_the_last_result_that_has_them() {
        let candidates = vec![result(1, "a", &[], &["same"]), result(2, "b", &[], &["same"])];
        assert_eq!(bytes_of(candidates.iter()), 10);
        assert_eq!(removed(&candidates, None, Some(9)), [1, 2]);
        assert_eq!(removed(&candidates, None, Some(10)), [] as [i64; 0]);
    }

    #[test]
    fn sizes_may_exceed_their_type_together() {
        let mut candidates = vec![result(1, "a", &[], &["x", "y"]), result(2, "b", &[], &["z"])];
        for (_, bytes) in &mut candidates[0].outputs {
            *bytes = u64::MAX;
        }
        assert_eq!(bytes_of(candidates.iter()), u64::MAX);
        assert_eq!(removed(&candidates, None, Some(10)), [1]);
    }

    #[test]
    fn check_does_not_displace_the_result_that_it_checked() {
        let mut candidates =
            vec![result(1, "a", &[], &["x"]), result(2, "a", &[], &["y"]), result(3, "a", &[], &["y"])];
        candidates[1].purpose = Purpose::Check;
        candidates[2].purpose = Purpose::Check;
        assert_eq!(removed(&candidates, Some(1), None), [2]);
    }

    #[test]
    fn failed_attempts_beyond_keep_last_are_removed() {
        let mut candidates = vec![result(1, "a", &[], &["x"]), result(2, "a", &[], &[]), result(3, "a", &[], &[])];
        candidates[1].outcome = Some(Outcome::Failed);
        candidates[2].outcome = Some(Outcome::Failed);
        assert_eq!(removed(&candidates, Some(1), None), [2]);
    }
}
