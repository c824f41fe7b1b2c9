use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_stages::{DataSection, Source, Stage};

use crate::config::{Axis, Configuration, Variant};

/// All instances of the configuration: one for each stage, or several if lists of values require it.
pub struct Graph {
    /// The instances in topological order.
    pub instances: Vec<Instance>,
}

/// A stage with its parameters and inputs.
pub struct Instance {
    /// The name of the stage, followed by values if it has several instances, such as `search@12`.
    pub id: String,
    /// The stage.
    pub stage: Stage,
    /// Index of the variant in the configuration; if several variants share the instance, the first one.
    pub variant: usize,
    /// Parameters of the stage.
    pub params: Value,
    /// Inputs of the stage.
    pub inputs: Vec<InputBinding>,
}

/// An input of an instance and its source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InputBinding {
    /// Name of the input.
    pub port: &'static str,
    /// Where the input comes from.
    pub source: InputSource,
}

/// The source of an input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputSource {
    /// An output of another instance: index of the instance, name of the output.
    Instance(usize, &'static str),
    /// Data that is not made by a stage.
    External(External),
}

/// Data that is not made by a stage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum External {
    /// A folder with one subfolder of images for each class.
    Folder {
        /// Path of the folder.
        path: PathBuf,
        /// The configuration key that specifies the folder.
        key: &'static str,
    },
    /// The images of a list file.
    List {
        /// The folder that paths in the list are relative to.
        root: PathBuf,
        /// Path of the list file.
        path: PathBuf,
        /// The configuration key that specifies the list.
        key: &'static str,
    },
    /// A single file.
    File {
        /// Path of the file.
        path: PathBuf,
        /// The configuration key that specifies the file.
        key: &'static str,
    },
}

impl Graph {
    /// Creates the instances of all stages. Variants share the instances that do not differ between them.
    pub fn new(configuration: &Configuration) -> Self {
        let mut instances: Vec<(Instance, BTreeSet<usize>)> = Vec::new();
        for stage in Stage::ALL.iter().copied() {
            // The properties that distinguish the instances of a stage, and the index of each instance.
            let mut known: BTreeMap<(String, Vec<InputBinding>, String), usize> = BTreeMap::new();
            for (position, variant) in configuration.variants.iter().enumerate() {
                if !stage.is_enabled(&variant.config) {
                    continue;
                }
                let params = stage.params(&variant.config, variant.space.definition());
                let inputs = bind_inputs(stage, configuration, variant, position, &instances);
                let device = String::from(variant.config.device);
                let same = (params.to_string(), inputs.clone(), device);
                let at = *known.entry(same).or_insert_with(|| {
                    let id = String::new();
                    instances.push((Instance { id, stage, variant: position, params, inputs }, BTreeSet::new()));
                    instances.len() - 1
                });
                instances[at].1.insert(position);
            }
        }
        for (instance, variants) in &mut instances {
            instance.id = name(instance.stage, configuration, variants);
        }
        Self { instances: instances.into_iter().map(|(instance, _)| instance).collect() }
    }

    /// Returns the indices of the instances whose outputs an instance reads.
    pub fn upstream(&self, instance: usize) -> BTreeSet<usize> {
        self.instances[instance]
            .inputs
            .iter()
            .filter_map(|input| match input.source {
                InputSource::Instance(position, _) => Some(position),
                InputSource::External(_) => None,
            })
            .collect()
    }

    /// Returns `instances` and all their dependencies.
    pub fn closure(&self, instances: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        let mut needed = BTreeSet::new();
        let mut open: Vec<usize> = instances.into_iter().collect();
        while let Some(instance) = open.pop() {
            if needed.insert(instance) {
                open.extend(self.upstream(instance));
            }
        }
        needed
    }

    /// Returns the index of the instance with a given name.
    pub fn by_id(&self, id: &str) -> Option<usize> {
        self.instances.iter().position(|instance| instance.id == id)
    }
}

fn bind_inputs(
    stage: Stage,
    configuration: &Configuration,
    variant: &Variant,
    position: usize,
    before: &[(Instance, BTreeSet<usize>)],
) -> Vec<InputBinding> {
    let config = &variant.config;
    let root = configuration.resolve(&config.data.root);
    let images = |images: &Path, key| {
        let path = root.join(images);
        let is_list = path.is_file();
        InputSource::External(if is_list {
            External::List { root: root.clone(), path, key }
        } else {
            External::Folder { path, key }
        })
    };
    let file = |path: Option<&Path>, key| {
        let path = path.map(|path| configuration.resolve(path)).unwrap_or_default();
        InputSource::External(External::File { path, key })
    };
    stage
        .inputs(config)
        .into_iter()
        .map(|port| {
            // Only outputs have no key, and need none.
            let key = port.source.config_key().unwrap_or_default();
            let source = match port.source {
                Source::Output(of, output) => {
                    let at = before
                        .iter()
                        .position(|(instance, variants)| instance.stage == of && variants.contains(&position))
                        .expect("a stage reads outputs of stages before it, which every variant has");
                    InputSource::Instance(at, output)
                }
                Source::TrainImages => images(&config.data.train, key),
                Source::TestImages => images(config.data.test.as_deref().unwrap_or(Path::new(DataSection::TEST)), key),
                Source::ClassesFile => file(config.split.classes_file(), key),
                Source::TableFile => file(config.lookup.import.as_deref(), key),
                Source::SearchFile => file(config.search.from.as_deref(), key),
                Source::WeightsFile => file(config.test.weights.file(), key),
                Source::ArchitectureFile => file(config.train.from.as_deref(), key),
            };
            InputBinding { port: port.name, source }
        })
        .collect()
}

/// Returns the name of an instance: the stage, and the values of those lists that are the same in all its variants.
fn name(stage: Stage, configuration: &Configuration, variants: &BTreeSet<usize>) -> String {
    let labels: Vec<String> = configuration
        .axes
        .iter()
        .enumerate()
        .filter_map(|(axis, values): (usize, &Axis)| {
            let mut chosen = variants.iter().map(|variant| configuration.variants[*variant].chosen[axis]);
            let first = chosen.next()?;
            chosen.all(|value| value == first).then(|| values.label(first))
        })
        .collect();
    if labels.is_empty() { stage.name().to_owned() } else { format!("{}@{}", stage.name(), labels.join(",")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn ids(sets: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pipeline.yaml");
        std::fs::write(&file, "data: {root: images}\nspace: small\nlookup: {import: t.table}\n").unwrap();
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let configuration = Configuration::load(Some(&file), &sets).unwrap();
        Graph::new(&configuration).instances.into_iter().map(|instance| instance.id).collect()
    }

    #[test]
    fn without_lists_each_stage_has_one_instance() {
        assert_eq!(ids(&[]), Stage::ALL.iter().map(|stage| stage.name()).collect::<Vec<_>>());
        assert_eq!(ids(&["select.candidates=0"]), ["split", "lookup", "search", "parse", "train", "test"]);
    }

    #[test]
    fn targets_share_the_stages_before_the_search() {
        let expected = [
            "split",
            "lookup",
            "search@12",
            "search@15",
            "select@12",
            "select@15",
            "parse@12",
            "parse@15",
            "train@12",
            "train@15",
            "test@12",
            "test@15",
        ];
        assert_eq!(ids(&["search.target_lat_ms=[12, 15]"]), expected);
    }

    #[test]
    fn only_instances_that_depend_on_a_list_have_its_values_in_their_names() {
        let lists = ["search.target_lat_ms=[12, 15]", "matrix.train.lr=[0.1, 0.2]"];
        let selected = ids(&lists);
        assert!(selected.contains(&"search@12".to_owned()), "{selected:?}");
        assert!(selected.contains(&"select@12,lr=0.1".to_owned()), "select uses the settings of train: {selected:?}");
        assert_eq!(selected.len(), 2 + 2 + 4 + 4 + 4 + 4);
        let ids = ids(&[lists[0], lists[1], "select.candidates=0"]);
        assert!(ids.contains(&"search@12".to_owned()) && ids.contains(&"parse@15".to_owned()), "{ids:?}");
        assert!(ids.contains(&"train@12,lr=0.1".to_owned()) && ids.contains(&"test@15,lr=0.2".to_owned()), "{ids:?}");
        assert_eq!(ids.len(), 2 + 2 + 2 + 4 + 4);
    }

    #[test]
    fn keys_that_affect_only_speed_create_no_instances() {
        assert_eq!(ids(&["matrix.data.workers=[1, 3]"]).len(), 7);
    }
}
