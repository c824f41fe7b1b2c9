use std::collections::BTreeSet;

use tfnas_stages::Stage;

use crate::config::nearest::suggestion;
use crate::plan::Graph;

/// The name that selects every stage.
const ALL: &str = "all";

/// No stage or instance has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no stage `{name}`")]
pub struct SelectError {
    /// The name as given by the user.
    pub name: String,
    /// The most similar name, or all names.
    pub hint: String,
}

/// Returns the selected instances. A name is `all`, a stage (all its instances), or an instance such as `search@12`.
///
/// # Errors
/// Returns [`SelectError`] if a name is unknown.
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
            let stages = Stage::ALL.iter().map(|stage| stage.name()).chain([ALL]);
            let known: BTreeSet<&str> = if name.contains('@') { instances.collect() } else { stages.collect() };
            return Err(SelectError { name: name.clone(), hint: suggestion(name, known) });
        }
        chosen.extend(matching);
    }
    Ok(chosen)
}
