//! Statistics and warnings from the history of a search.

use tfnas::Choice;
use tfnas_stages::SearchEpoch;

/// Relative entropy of the operation probabilities above which a search has not converged.
const MAX_ENTROPY: f64 = 0.98;

/// Returns the entropy of the operation probabilities, averaged over blocks and relative to its maximum.
///
/// * `log_alphas`: `[block][K]` log probabilities.
pub fn operation_entropy(log_alphas: &[Vec<f32>]) -> f64 {
    let entropy = |block: &Vec<f32>| -> f64 {
        let terms = block.iter().map(|&log| f64::from(log).exp() * f64::from(log));
        let max = (block.len() as f64).ln();
        if max == 0.0 { 0.0 } else { -terms.sum::<f64>() / max }
    };
    log_alphas.iter().map(entropy).sum::<f64>() / log_alphas.len() as f64
}

/// Returns the share of blocks that have the same operation, or are dropped, in both architectures. Widths are ignored.
///
/// * `depths`: the number of blocks of each group of the space.
pub fn agreement(one: &[Vec<Choice>], other: &[Vec<Choice>], depths: &[usize]) -> f64 {
    let operation = |groups: &[Vec<Choice>], group: usize, block: usize| {
        groups.get(group).and_then(|group| group.get(block)).map(|choice| choice.operation)
    };
    let blocks = depths.iter().enumerate().flat_map(|(group, &depth)| (0..depth).map(move |block| (group, block)));
    let equal = blocks.filter(|&(group, block)| operation(one, group, block) == operation(other, group, block)).count();
    equal as f64 / depths.iter().sum::<usize>() as f64
}

/// Returns a warning if the fit of the last epoch changed operations or depths.
pub fn fit_changes_warning(last: &SearchEpoch, target_lat_ms: f64) -> Option<String> {
    let changes: Vec<String> = last.changes.iter().map(ToString::to_string).collect();
    (!changes.is_empty()).then(|| {
        format!(
            "the architecture that the search prefers exceeds the target of {target_lat_ms:.4} ms even at its smallest \
             widths; it was changed to meet the target: {}. Search longer, or raise search.lambda_lat",
            changes.join(", ")
        )
    })
}

/// Returns a warning if the search did not converge.
pub fn undecided_warning(last: &SearchEpoch) -> Option<String> {
    (last.operation_entropy > MAX_ENTROPY).then(|| {
        format!(
            "the search did not converge: operation probabilities are still close to uniform (mean entropy {:.2} of the \
             maximum). A short search needs a faster temperature decay, a higher search.architecture.lr or more \
             architecture steps; `select` does not depend on it",
            last.operation_entropy
        )
    })
}

#[cfg(test)]
mod tests {
    use tfnas::exact_fit::Change;

    use super::*;

    fn choice(operation: usize) -> Choice {
        Choice { operation, width: 8 }
    }

    #[test]
    fn entropy_is_one_for_uniform_probabilities_and_zero_for_a_certain_choice() {
        let uniform = vec![vec![-(8f32.ln()); 8]; 3];
        assert!((operation_entropy(&uniform) - 1.0).abs() < 1e-6);
        let certain = vec![vec![0.0, -100.0, -100.0]];
        assert!(operation_entropy(&certain) < 1e-9);
        assert!(operation_entropy(&[vec![0.0]]).abs() < 1e-9, "a single operation has no entropy");
    }

    #[test]
    fn the_warning_lists_the_changes_of_the_fit() {
        let mut record = SearchEpoch {
            epoch: 0,
            lr: 0.1,
            temperature: 1.0,
            train_loss: 1.0,
            train_top1: 0.5,
            architecture_loss: None,
            expected_lat_ms: None,
            val_top1: None,
            operation_entropy: 0.5,
            operations: Vec::new(),
            depths: Vec::new(),
            architecture: vec![vec![choice(0)]],
            before_lat_ms: 2.0,
            after_lat_ms: 1.0,
            changes: Vec::new(),
            skipped: 0,
            agreement: None,
        };
        assert_eq!(fit_changes_warning(&record, 1.0), None);
        record.changes = vec![Change::Depth { group: 3, from: 4, to: 3 }];
        let warning = fit_changes_warning(&record, 1.0).unwrap_or_default();
        assert!(warning.contains("it was changed to meet the target: stage4: 4 -> 3 blocks."), "{warning}");
    }

    #[test]
    fn agreement_counts_blocks_that_both_architectures_drop() {
        let one = [vec![choice(1), choice(2)], vec![choice(3)]];
        let other = [vec![choice(1)], vec![choice(4)]];
        // Five blocks: the first is equal, the second is dropped in one, the third differs, two are dropped in both.
        assert!((agreement(&one, &other, &[2, 3]) - 3.0 / 5.0).abs() < 1e-9);
    }
}
