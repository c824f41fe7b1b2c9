use std::collections::BTreeSet;

use tfnas_stages::Stage;

use crate::config::nearest::suggestion;
use crate::plan::Graph;

/// The word that stands for every stage.
const ALL: &str = "all";

/// A name that no stage and no instance has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage `{name}`")]
pub struct SelectError {
    /// What was typed.
    pub name: String,
    /// The nearest name, or all of them.
    pub hint: String,
}

/// Returns the instances that names stand for: `all`, a stage with all its instances, or one instance (`search@12`).
///
/// # Errors
/// [`SelectError`] for a name that nothing has.
pub fn select(graph: &Graph, names: &[String]) -> Result<BTreeSet<usize>, SelectError> {
    let mut chosen = BTreeSet::new();
    for name in names {
        let matching: Vec<_> = graph
            .instances
            .iter()
            .enumerate()
            .filter(|(_, instance)| name == ALL || instance.id == *name || instance.stage.name() == name)
            .map(|(position, _)| position)
            .collect();
        if matching.is_empty() {
            let instances = graph.instances.iter().map(|instance| instance.id.as_str());
            let stages = Stage::ALL.iter().map(|stage| stage.name());
            let known: BTreeSet<&str> = if name.contains('@') { instances.collect() } else { stages.collect() };
            return Err(SelectError { name: name.clone(), hint: suggestion(name, known) });
        }
        chosen.extend(matching);
    }
    Ok(chosen)
}
