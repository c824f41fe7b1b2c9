//! The probabilities of a search as metrics: a series for each operation of a block and for each depth of a block group.

use tfnas::Space;

use crate::SearchEpoch;

const OPERATIONS: &str = "operations/";
const DEPTHS: &str = "depths/";

/// The names of the series of a space: `operations/stage1.block1/k3_e6` and `depths/stage2/3`.
///
/// The rows are those of [`SearchEpoch::operations`] and [`SearchEpoch::depths`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbabilityMetrics {
    /// `[block][K]`.
    pub operations: Vec<Vec<String>>,
    /// `[group][depth - 1]`.
    pub depths: Vec<Vec<String>>,
}

impl ProbabilityMetrics {
    /// Returns the names of a space.
    pub fn new(space: &Space) -> Self {
        let of_block = |block: &tfnas::Block| {
            let name = |operation: &tfnas::Operation| format!("{OPERATIONS}{}/{}", block.name(), operation.name());
            space.operations().iter().map(name).collect()
        };
        let of_group = |(index, group): (usize, &tfnas::Group)| {
            (1..=group.blocks).map(|depth| format!("{DEPTHS}stage{}/{depth}", index + 1)).collect()
        };
        Self {
            operations: space.blocks().iter().map(of_block).collect(),
            depths: space.groups().iter().enumerate().map(of_group).collect(),
        }
    }

    /// Returns the metrics of an epoch; none if the epoch has no probabilities. Values that are not finite have no entry.
    pub fn of<'a>(&'a self, epoch: &'a SearchEpoch) -> impl Iterator<Item = (&'a str, f64)> {
        let operations = self.operations.iter().zip(&epoch.operations);
        let depths = self.depths.iter().zip(&epoch.depths);
        let pairs = operations.chain(depths).flat_map(|(names, shares)| names.iter().zip(shares));
        pairs.map(|(name, share)| (name.as_str(), *share)).filter(|(_, share)| share.is_finite())
    }

    /// Returns the probabilities of operations and depths of an epoch from its metrics. Rows with a missing metric are empty,
    /// and without any metric there are no rows.
    pub fn rows(&self, metric: impl Fn(&str) -> Option<f64>) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let row =
            |names: &Vec<String>| names.iter().map(|name| metric(name)).collect::<Option<_>>().unwrap_or_default();
        let rows = |names: &[Vec<String>]| {
            let rows: Vec<Vec<f64>> = names.iter().map(row).collect();
            if rows.iter().all(Vec::is_empty) { Vec::new() } else { rows }
        };
        (rows(&self.operations), rows(&self.depths))
    }
}

/// Splits the name of a probability into the row and the choice: `stage1.block1` and `k3_e6`, `stage2` and `3`. Returns
/// `None` for other metrics.
pub fn split_probability_metric(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(OPERATIONS).or_else(|| name.strip_prefix(DEPTHS))?.rsplit_once('/')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn epoch() -> SearchEpoch {
        serde_json::from_str(r#"{"epoch": 0}"#).unwrap()
    }

    #[test]
    fn probabilities_survive_as_metrics() {
        let space = Space::imagenet();
        let names = ProbabilityMetrics::new(&space);
        assert_eq!(names.operations.len(), space.blocks().len());
        let share = |names: &[Vec<String>]| -> Vec<Vec<f64>> {
            names.iter().map(|row| vec![1.0 / row.len() as f64; row.len()]).collect()
        };
        let epoch = SearchEpoch { operations: share(&names.operations), depths: share(&names.depths), ..epoch() };
        let metrics: Vec<(&str, f64)> = names.of(&epoch).collect();
        assert!(metrics.contains(&("operations/stage1.block1/k3_e3", 0.125)), "{metrics:?}");
        assert!(metrics.contains(&("depths/stage1/2", 0.5)), "{metrics:?}");
        let rows = names.rows(|name| metrics.iter().find(|metric| metric.0 == name).map(|metric| metric.1));
        assert_eq!(rows, (epoch.operations.clone(), epoch.depths.clone()));
    }

    #[test]
    fn epochs_without_probabilities_have_no_metrics_and_no_rows() {
        let names = ProbabilityMetrics::new(&Space::imagenet());
        assert_eq!(names.of(&epoch()).count(), 0);
        assert_eq!(names.rows(|_| None), (Vec::new(), Vec::new()));
        // An incomplete row does not count.
        assert_eq!(names.rows(|name| (name == names.depths[1][0]).then_some(0.5)).1, Vec::<Vec<f64>>::new());
    }

    #[test]
    fn names_are_split_into_row_and_choice() {
        assert_eq!(split_probability_metric("operations/stage1.block1/k3_e6"), Some(("stage1.block1", "k3_e6")));
        assert_eq!(split_probability_metric("depths/stage2/3"), Some(("stage2", "3")));
        assert_eq!(split_probability_metric("train_loss"), None);
        assert_eq!(split_probability_metric("candidate/7 uniform/train_loss"), None);
    }
}
