use std::collections::BTreeSet;

use crate::config::{ConfigError, Content, Entry, Node, Origin};

/// The section that contains lists of values.
pub const SECTION: &str = "matrix";
/// The only key that can have a list of values outside of the section.
pub const TARGET: &str = "search.target_lat_ms";
/// Limit against mistakes.
const MAX_COMBINATIONS: usize = 1000;

/// A key with several values. Each value gives a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// The dotted key.
    pub key: String,
    /// Where the key is.
    pub origin: Origin,
    /// The values in the order of the file; at least two.
    pub values: Vec<Node>,
}

impl Axis {
    /// Returns how a value appears in the name of an instance: the value alone for the target, `key=value` for other
    /// keys.
    pub fn label(&self, value: usize) -> String {
        let text = self.values[value].content.to_string();
        if self.key == TARGET {
            return text;
        }
        let key = self.key.rsplit('.').next().unwrap_or(&self.key);
        format!("{key}={text}")
    }
}

/// Removes the lists of values from the tree and returns them. A list with a single value is replaced by the value.
///
/// # Errors
/// Returns [`ConfigError`] if `matrix` is not a section of lists, if a list is empty or contains a value twice, a list
/// or a section, or if there are too many combinations.
pub fn take_axes(tree: &mut Node) -> Result<Vec<Axis>, ConfigError> {
    let mut lists = Vec::new();
    if let Some(entry) = tree.entry(TARGET)
        && let Content::List(values) = &entry.value.content
    {
        lists.push(Axis { key: TARGET.to_owned(), origin: entry.origin.clone(), values: values.clone() });
    }
    if let Some(matrix) = tree.remove(SECTION) {
        collect(&matrix, "", &mut lists)?;
    }
    let mut axes = Vec::new();
    let mut combinations = 1usize;
    for Axis { key, origin, values } in lists {
        if axes.iter().any(|axis: &Axis| axis.key == key) {
            return Err(ConfigError::value(key, &origin, "has two lists: remove one of them"));
        }
        let mut seen = BTreeSet::new();
        for value in &values {
            if matches!(value.content, Content::List(_) | Content::Map(_) | Content::Null) {
                let message = format!("expected a list of scalars, but it contains {}", value.content);
                return Err(ConfigError::value(key, &value.origin, message));
            }
            if !seen.insert(value.content.to_string()) {
                return Err(ConfigError::value(key, &value.origin, format!("{} is listed twice", value.content)));
            }
        }
        combinations = combinations.saturating_mul(values.len());
        if combinations > MAX_COMBINATIONS {
            let message = format!("more than {MAX_COMBINATIONS} combinations of values: shorten the lists");
            return Err(ConfigError::value(key, &origin, message));
        }
        match <[Node; 1]>::try_from(values) {
            Ok([value]) => tree.set_from(&key, &origin, value),
            Err(values) if values.is_empty() => {
                return Err(ConfigError::value(key, &origin, "the list is empty: give one value or more"));
            }
            Err(values) => axes.push(Axis { key, origin, values }),
        }
    }
    Ok(axes)
}

/// Collects the lists below an entry. Keys can be dotted or nested.
fn collect(entry: &Entry, above: &str, lists: &mut Vec<Axis>) -> Result<(), ConfigError> {
    let node = &entry.value;
    match &node.content {
        Content::Map(entries) => entries.iter().try_for_each(|entry| {
            let key = if above.is_empty() { entry.key.clone() } else { format!("{above}.{}", entry.key) };
            collect(entry, &key, lists)
        }),
        Content::List(values) if !above.is_empty() => {
            lists.push(Axis { key: above.to_owned(), origin: entry.origin.clone(), values: values.clone() });
            Ok(())
        }
        other => {
            let key = if above.is_empty() { SECTION } else { above };
            let message = format!("expected lists below `{SECTION}`, found {other}");
            Err(ConfigError::value(key, &node.origin, message)
                .with_hint("as `matrix: {search.target_lat_ms: [12, 15], seed: [0, 1]}`"))
        }
    }
}

/// Returns all combinations of values as indices into the lists; a single empty combination if there are no axes.
pub fn combinations(axes: &[Axis]) -> Vec<Vec<usize>> {
    axes.iter().fold(vec![Vec::new()], |before, axis| {
        before
            .iter()
            .flat_map(|chosen| {
                (0..axis.values.len()).map(move |value| chosen.iter().copied().chain([value]).collect::<Vec<_>>())
            })
            .collect()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;
    use crate::config::Source;

    fn axes(yaml: &str) -> Result<(Vec<Axis>, String), ConfigError> {
        let mut tree = Node::parse(&Arc::new(Source::new("p.yaml", yaml))).unwrap();
        let axes = take_axes(&mut tree)?;
        Ok((axes, tree.to_json().to_string()))
    }

    #[test]
    fn lists_of_targets_and_lists_below_matrix_are_axes() {
        let (axes, _) = axes(
            "search: {target_lat_ms: [12, 15.5]}\nmatrix:\n  train.lr: [0.1, 0.2]\n  train: {epochs: [3, 4, 5]}\n",
        )
        .unwrap();
        let labels: Vec<Vec<String>> =
            axes.iter().map(|axis| (0..axis.values.len()).map(|value| axis.label(value)).collect()).collect();
        assert_eq!(labels, [vec!["12", "15.5"], vec!["lr=0.1", "lr=0.2"], vec!["epochs=3", "epochs=4", "epochs=5"]]);
        assert_eq!(combinations(&axes).len(), 12);
    }

    #[test]
    fn a_list_with_one_value_is_replaced_by_the_value() {
        let (axes, tree) = axes("search: {target_lat_ms: [12]}\nmatrix: {seed: [3]}").unwrap();
        assert_eq!((axes.len(), tree.as_str()), (0, r#"{"search":{"target_lat_ms":12},"seed":3}"#));
        assert_eq!(combinations(&axes), [Vec::<usize>::new()]);
    }

    #[test]
    fn invalid_lists_are_errors() {
        for yaml in [
            "search: {target_lat_ms: []}",
            "search: {target_lat_ms: [12, 12]}",
            "search: {target_lat_ms: [12, [15]]}",
            "search: {target_lat_ms: [12, 15]}\nmatrix: {search.target_lat_ms: [1, 2]}",
            "matrix: [1, 2]",
            "matrix: {seed: 4}",
            "matrix: {seed: [1,2,3,4,5,6,7,8,9,10,11,12], threads: [1,2,3,4,5,6,7,8,9,10,11,12], train.epochs: [1,2,3,4,5,6,7,8]}",
        ] {
            assert!(axes(yaml).is_err(), "{yaml}");
        }
    }
}
