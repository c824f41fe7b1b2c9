//! Features of an architecture for the regression: its blocks by group, and its size.

use tfnas::{Architecture, ArchitectureError, LatencyTable, ModelConfig, Space, cost};

use crate::error::SelectError;

/// The name and description of a feature.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Feature {
    /// Short name, such as `stage4.depth`.
    pub(crate) name: String,
    /// Subject: a group, or the complete network.
    subject: String,
    /// Meaning of a smaller and of a larger value, with a verb: "fewer blocks are".
    less: String,
    more: String,
}

impl Feature {
    fn new(group: Option<usize>, name: &str, less: &str, more: &str) -> Self {
        let (name, subject) = match group {
            Some(group) => (format!("stage{}.{name}", group + 1), format!("stage {}", group + 1)),
            None => (name.to_owned(), "network".to_owned()),
        };
        Self { name, subject, less: less.to_owned(), more: more.to_owned() }
    }

    /// Describes the effect of a weight on the loss: "stage 4: fewer blocks are better".
    pub(crate) fn words(&self, weight: f64) -> String {
        let better = if weight > 0.0 { &self.less } else { &self.more };
        format!("{}: {better} better", self.subject)
    }
}

/// Returns the features of a space, in the order of every row.
pub(crate) fn features(space: &Space) -> Vec<Feature> {
    let kernels = Kernels::of(space);
    let mut features = Vec::new();
    for group in 0..space.groups().len() {
        let mut add = |name, less: &str, more: &str| features.push(Feature::new(Some(group), name, less, more));
        add("depth", "fewer blocks are", "more blocks are");
        add("latency_share", "a smaller share of the latency is", "a larger share of the latency is");
        add("large_kernels", &format!("fewer {} are", kernels.words()), &format!("more {} are", kernels.words()));
        add("squeeze_excite", "fewer blocks with squeeze-excite are", "more blocks with squeeze-excite are");
        add("large_expansion", "fewer blocks with large expansion are", "more blocks with large expansion are");
        add("width", "narrower blocks are", "wider blocks are");
    }
    let mut add = |name, less, more| features.push(Feature::new(None, name, less, more));
    add("log_parameters", "fewer parameters are", "more parameters are");
    add("log_macs", "fewer multiply-adds are", "more multiply-adds are");
    add("depth", "fewer blocks are", "more blocks are");
    add("depth_squared", "a medium number of blocks is", "a very small or very large number of blocks is");
    features
}

/// Returns the features of one architecture.
pub(crate) fn row(space: &Space, table: &LatencyTable, architecture: &Architecture) -> Result<Vec<f64>, SelectError> {
    let total_ms = table.architecture_ms(space, architecture)?;
    let kernels = Kernels::of(space);
    let smallest_expand = space.operations().iter().map(|operation| operation.expand).min().unwrap_or(0);
    let mut row = Vec::new();
    for (group, choices) in architecture.groups().iter().enumerate() {
        let (mut ms, mut large, mut excited, mut expanded, mut width) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (block, choice) in space.blocks_of(group).iter().zip(choices) {
            let operation = &space.operations()[choice.operation];
            ms += table.latency_ms(&block.key(operation), choice.width)?;
            large += f64::from(operation.kernel > kernels.smallest);
            excited += f64::from(operation.se_expand > 0);
            expanded += f64::from(operation.expand > smallest_expand);
            width += choice.width as f64 / block.max_width(operation) as f64;
        }
        let depth = choices.len() as f64;
        let share = if total_ms > 0.0 { ms / total_ms } else { 0.0 };
        row.extend([depth, share, large / depth, excited / depth, expanded / depth, width / depth]);
    }
    let (parameters, macs) = size(space, architecture)?;
    let depth = architecture.block_count() as f64;
    let middle = (space.groups().len() + space.blocks().len()) as f64 / 2.0;
    row.extend([parameters.ln(), macs.ln(), depth, (depth - middle) * (depth - middle)]);
    Ok(row)
}

/// Returns the number of parameters and multiply-adds without the classifier, at least 1.
fn size(space: &Space, architecture: &Architecture) -> Result<(f64, f64), ArchitectureError> {
    let config = ModelConfig::from_architecture(space, architecture, 1)?;
    let resolution = space.definition().resolution;
    Ok((cost::parameters(&config).max(1) as f64, cost::flops(&config, resolution).max(1) as f64))
}

/// The kernel sizes of a space.
struct Kernels {
    smallest: usize,
    /// The other kernel size, if there is exactly one.
    other: Option<usize>,
}

impl Kernels {
    fn of(space: &Space) -> Self {
        let mut kernels: Vec<usize> = space.operations().iter().map(|operation| operation.kernel).collect();
        kernels.sort_unstable();
        kernels.dedup();
        let other = if kernels.len() == 2 { Some(kernels[1]) } else { None };
        Self { smallest: kernels.first().copied().unwrap_or(0), other }
    }

    fn words(&self) -> String {
        self.other.map_or_else(|| "large kernels".to_owned(), |kernel| format!("{kernel}x{kernel} kernels"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::genes::Genes;

    fn value(genes: &Genes, name: &str) -> f64 {
        let (space, table) = (Space::imagenet(), LatencyTable::titan_rtx());
        let row = row(&space, &table, &genes.architecture(&space).unwrap()).unwrap();
        let features = features(&space);
        assert_eq!(row.len(), features.len());
        row[features.iter().position(|feature| feature.name == name).unwrap()]
    }

    #[test]
    fn features_describe_the_blocks_of_each_group() {
        // k3_e3, k3_e6, k5_e3, k5_e6, then the same with squeeze-excite.
        let genes = Genes(vec![vec![0, 1], vec![2], vec![3, 5, 0, 0], vec![4, 5], vec![0], vec![7]]);
        assert_eq!(value(&genes, "stage3.depth"), 4.0);
        assert_eq!(value(&genes, "stage3.large_kernels"), 0.25);
        assert_eq!(value(&genes, "stage3.squeeze_excite"), 0.25);
        assert_eq!(value(&genes, "stage3.large_expansion"), 0.5);
        assert_eq!(value(&genes, "stage1.width"), 0.75);
        assert_eq!(value(&genes, "stage6.squeeze_excite"), 1.0);
        assert_eq!(value(&genes, "depth"), 11.0);
        assert_eq!(value(&genes, "depth_squared"), 1.0, "6 to 18 blocks: the middle is 12");
        let shares: f64 = (1..=6).map(|stage| value(&genes, &format!("stage{stage}.latency_share"))).sum();
        assert!((0.5..1.0).contains(&shares), "stems and head have the remaining share: {shares}");
    }

    #[test]
    fn weights_are_described_in_words() {
        let features = features(&Space::imagenet());
        let words = |name: &str, weight| features.iter().find(|feature| feature.name == name).unwrap().words(weight);
        assert_eq!(words("stage4.depth", 0.3), "stage 4: fewer blocks are better");
        assert_eq!(words("stage2.large_kernels", -0.3), "stage 2: more 5x5 kernels are better");
        assert_eq!(words("depth_squared", 0.1), "network: a medium number of blocks is better");
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<String> = features(&Space::cifar()).into_iter().map(|feature| feature.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
