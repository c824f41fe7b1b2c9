//! Reconstructs the configuration of a run from its cache keys. It describes a single network, even if the run had
//! lists of values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tfnas::Space;
use tfnas_artifacts::KeyManifest;
use tfnas_stages::{
    Config, DataSection, DataWorkers, DeviceChoice, LookupParams, LookupSection, ParseParams, RankParams, Ranks,
    SearchParams, SelectParams, SelectSection, SpaceChoice, SplitParams, Stage, TestParams, TrainParams, WARM_START,
};

use crate::{StageRecord, names};

/// A placeholder for the path of an input file that is not published.
const NOT_PUBLISHED: &str = "not-published";

/// Returns the configuration of stages with these records.
///
/// * `data`: the section `data` of the configuration of the run, for the paths of the images.
///
/// # Errors
/// Returns a message if a record is missing, or if its parameters cannot be parsed by this version.
pub fn configuration(records: &BTreeMap<Stage, StageRecord>, data: &DataSection) -> Result<Config, String> {
    let split: SplitParams = params(records, Stage::Split)?;
    let lookup: LookupParams = params(records, Stage::Lookup)?;
    let search: SearchParams = params(records, Stage::Search)?;
    // A run without `select` has no record of it.
    let select = match records.get(&Stage::Select) {
        Some(_) => params::<SelectParams>(records, Stage::Select)?.select,
        None => SelectSection { candidates: Some(0), ..SelectSection::default() },
    };
    let parse: ParseParams = params(records, Stage::Parse)?;
    let train: TrainParams = params(records, Stage::Train)?;
    let test: TestParams = params(records, Stage::Test)?;
    let trained = record(records, Stage::Train)?;
    let device = trained.fact("device").ok_or("the training's record names no device")?;
    let number =
        |name: &str| trained.environment.get(name).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
    let fit = search.fit();
    // The bytes of a result depend on the number of ranks.
    let ranks = number("ranks").unwrap_or(1).max(1);
    let mut section = search.search;
    section.fit = Some(fit);
    // `parse` verifies the latency, so that it is a parameter of that stage.
    section.verify = parse.verify;
    if let Some(RankParams { processes }) = search.ranks {
        if processes != ranks {
            return Err(format!(
                "the search ran on {processes} processes and the training on {ranks}, which one configuration cannot say"
            ));
        }
        section.data_parallel = true;
    }
    if record(records, Stage::Search)?.input(WARM_START).is_some() {
        section.from = Some(NOT_PUBLISHED.into());
    }
    let imported = LookupSection {
        import: Some(names::TABLE.into()),
        batch: parse.batch,
        threads: parse.threads,
        ..LookupSection::default()
    };
    Ok(Config {
        data: DataSection {
            root: public(&data.root),
            train: public(&data.train),
            test: match split.split.test_share {
                None => Some(public(data.test.as_deref().unwrap_or(Path::new(DataSection::TEST)))),
                Some(_) => None,
            },
            allow_overlap: data.allow_overlap,
            on_bad_image: train.on_bad_image,
            exif_orientation: train.exif_orientation,
            decode: train.decode,
            color_jitter: train.color_jitter,
            workers: DataWorkers::Auto,
            resize: Some(train.resize),
            generate: data.generate.clone(),
        },
        space: space(train.space),
        device: DeviceChoice::try_from(device.to_owned())?,
        threads: number("threads").unwrap_or(0),
        seed: train.seed,
        resume_every_s: 60.0,
        resources: Default::default(),
        ranks: Ranks { processes: ranks, ..Ranks::default() },
        executor: Default::default(),
        slurm: Default::default(),
        ledger: None,
        cache: Default::default(),
        split: split.split,
        lookup: lookup.lookup.unwrap_or(imported),
        search: section,
        select,
        parse: parse.parse,
        train: train.train,
        test: test.test,
    })
}

/// Returns a path without private parts: a relative path is kept, any other is reduced to its file name.
pub fn public(path: &Path) -> PathBuf {
    let inside = |part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir);
    let home = path.starts_with("~");
    if path.components().all(inside) && !home {
        return path.to_owned();
    }
    path.file_name().filter(|name| *name != "~").map_or_else(|| "data".into(), PathBuf::from)
}

/// Returns the name of a space if it has one, else its definition.
fn space(definition: tfnas::SpaceDefinition) -> SpaceChoice {
    let known =
        Space::names().iter().find(|name| Space::by_name(name).is_some_and(|space| *space.definition() == definition));
    known.map_or_else(|| SpaceChoice::Own(Box::new(definition)), |name| SpaceChoice::Named((*name).to_owned()))
}

fn record(records: &BTreeMap<Stage, StageRecord>, stage: Stage) -> Result<&StageRecord, String> {
    records.get(&stage).ok_or_else(|| format!("there is no record of {}", stage.name()))
}

/// Parses the parameters of a stage from its key manifest.
fn params<P: DeserializeOwned>(records: &BTreeMap<Stage, StageRecord>, stage: Stage) -> Result<P, String> {
    let value = unflattened(&record(records, stage)?.manifest);
    serde_json::from_value(value).map_err(|error| format!("the parameters of {}: {error}", stage.name()))
}

/// Reverses the flattening of parameters into the paths of a key manifest (`groups[2].channels`).
pub fn unflattened(manifest: &KeyManifest) -> Value {
    let mut tree = Value::Object(Map::new());
    for (path, scalar) in manifest.parameter_values() {
        let mut here = &mut tree;
        for part in path.split(['.', '[']) {
            here = match part.strip_suffix(']').map(str::parse::<usize>) {
                Some(Ok(index)) => element(here, index),
                _ => field(here, part),
            };
        }
        *here = scalar.to_json();
    }
    tree
}

fn field<'a>(of: &'a mut Value, name: &str) -> &'a mut Value {
    if !of.is_object() {
        *of = Value::Object(Map::new());
    }
    let map = of.as_object_mut().expect("it was just made one");
    map.entry(name).or_insert(Value::Null)
}

fn element(of: &mut Value, index: usize) -> &mut Value {
    if !of.is_array() {
        *of = Value::Array(Vec::new());
    }
    let list = of.as_array_mut().expect("it was just made one");
    // Paths are sorted as bytes, so element 10 comes before element 2. No list of a configuration is longer than this.
    let index = index.min(MAX_ELEMENTS);
    if list.len() <= index {
        list.resize(index + 1, Value::Null);
    }
    &mut list[index]
}

/// Maximum length of a list. The limit prevents a forged index from allocating memory.
const MAX_ELEMENTS: usize = 10_000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn parameters_are_restored_from_their_key() {
        let config: Config = serde_json::from_str(r#"{"data": {"root": "x"}, "space": "small"}"#).unwrap();
        for stage in Stage::ALL {
            let params = stage.params(&config, Space::small().definition());
            let mut manifest = KeyManifest::new(stage.name(), stage.revision());
            manifest.parameter("", &params).unwrap();
            let mut again = KeyManifest::new(stage.name(), stage.revision());
            again.parameter("", &unflattened(&manifest)).unwrap();
            assert_eq!(again, manifest);
        }
    }

    #[test]
    fn paths_outside_the_project_are_reduced_to_their_file_name() {
        for (path, published) in [
            ("images", "images"),
            ("./images/val", "./images/val"),
            ("/home/somebody/images", "images"),
            ("~/images", "images"),
            ("../images", "images"),
            ("~", "data"),
            ("/", "data"),
        ] {
            assert_eq!(public(Path::new(path)), Path::new(published), "{path}");
        }
    }

    #[test]
    fn a_known_space_is_published_by_name() {
        assert_eq!(space(Space::cifar().definition().clone()), SpaceChoice::Named("cifar".to_owned()));
        let mut own = Space::cifar().definition().clone();
        own.resolution = 64;
        assert!(matches!(space(own), SpaceChoice::Own(_)));
    }
}
