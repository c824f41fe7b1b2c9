//! What a search did, epoch by epoch: so that the choice can be judged afterwards.

use tfnas::Choice;
use tfnas_stages::SearchEpoch;

/// Mean entropy of the operations, as a share of its maximum, above which a search has not chosen anything.
const UNDECIDED: f64 = 0.98;

/// Returns the mean entropy of the operations over the blocks, as a share of its maximum.
///
/// * `log_alphas`: `[block][K]` log probabilities.
pub fn operation_entropy(log_alphas: &[Vec<f32>]) -> f64 {
    let entropy = |block: &Vec<f32>| -> f64 {
        let terms = block.iter().map(|&log| f64::from(log).exp() * f64::from(log));
        let most = (block.len() as f64).ln();
        if most == 0.0 { 0.0 } else { -terms.sum::<f64>() / most }
    };
    log_alphas.iter().map(entropy).sum::<f64>() / log_alphas.len() as f64
}

/// Returns the share of blocks that two architectures of one space treat alike, whatever their widths.
///
/// * `depths`: the blocks of each group of the space.
pub fn agreement(one: &[Vec<Choice>], other: &[Vec<Choice>], depths: &[usize]) -> f64 {
    let operation = |groups: &[Vec<Choice>], group: usize, block: usize| {
        groups.get(group).and_then(|group| group.get(block)).map(|choice| choice.operation)
    };
    let blocks = depths.iter().enumerate().flat_map(|(group, &depth)| (0..depth).map(move |block| (group, block)));
    let alike = blocks.filter(|&(group, block)| operation(one, group, block) == operation(other, group, block)).count();
    alike as f64 / depths.iter().sum::<usize>() as f64
}

/// Returns what the fit of the last epoch changed, in words, where it changed anything.
pub fn what_gave_way(last: &SearchEpoch, target_lat_ms: f64) -> Option<String> {
    let changes: Vec<String> = last.changes.iter().map(ToString::to_string).collect();
    (!changes.is_empty()).then(|| {
        format!(
            "the architecture that the search prefers exceeds the target of {target_lat_ms:.4} ms even at its smallest \
             widths; it was changed to meet it: {}. Search longer, or with a larger search.lambda_lat",
            changes.join(", ")
        )
    })
}

/// Returns what a person must know of a search that ended undecided, where it did.
pub fn undecided_warning(last: &SearchEpoch) -> Option<String> {
    (last.operation_entropy > UNDECIDED).then(|| {
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
    fn entropy_is_one_where_all_operations_are_equal_and_zero_where_one_is_certain() {
        let uniform = vec![vec![-(8f32.ln()); 8]; 3];
        assert!((operation_entropy(&uniform) - 1.0).abs() < 1e-6);
        let certain = vec![vec![0.0, -100.0, -100.0]];
        assert!(operation_entropy(&certain) < 1e-9);
        assert!(operation_entropy(&[vec![0.0]]).abs() < 1e-9, "one operation leaves nothing to choose");
    }

    #[test]
    fn what_the_fit_changed_is_said_in_words() {
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
        assert_eq!(what_gave_way(&record, 1.0), None);
        record.changes = vec![Change::Depth { group: 3, from: 4, to: 3 }];
        let said = what_gave_way(&record, 1.0).unwrap_or_default();
        assert!(said.contains("it was changed to meet it: stage4: 4 -> 3 blocks."), "{said}");
    }

    #[test]
    fn agreement_counts_blocks_that_are_dropped_alike() {
        let one = [vec![choice(1), choice(2)], vec![choice(3)]];
        let other = [vec![choice(1)], vec![choice(4)]];
        // Of five blocks: the first is alike, the second is dropped in one, the third differs, two are dropped in both.
        assert!((agreement(&one, &other, &[2, 3]) - 3.0 / 5.0).abs() < 1e-9);
    }
}
