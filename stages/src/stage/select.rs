use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::{Space, SpaceDefinition};
use tfnas_select::{Selection, Settings};

use super::spec::{from_params, shared_config_key, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::{Augment, Config, ExifOrientation, OnBadImage, Precision, Stage, Target, TrainSection, Work};

/// `select:` in the configuration: short trainings that choose among architectures of the target latency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSection {
    /// Candidates that are drawn first; 0 turns the stage off. Left out: 0 for the published space, 48 for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// Further candidates of each round, proposed by a regression on the scores of those before.
    pub proposals: Vec<usize>,
    /// Epochs that a candidate has been trained for at the end of each rung, increasing.
    pub rungs: Vec<usize>,
    /// Candidates that go on after each rung but the last, decreasing.
    pub keep: Vec<usize>,
    /// Share of the first candidates that are sampled from the search's probabilities.
    pub from_search: f64,
    /// First candidates that follow a simple rule (uniform operations and depths).
    pub rules: usize,
    /// Architectures that each round of proposals chooses from.
    pub pool: usize,
    /// Decisions (the depth of a block group, the operation of a block) in which a proposal differs from every other
    /// candidate.
    pub min_distance: usize,
    /// Candidates that are trained side by side, each by a process of one thread; 0 takes one for each core, or for each
    /// CUDA device. Changes speed alone.
    pub parallel: usize,
}

impl Default for SelectSection {
    fn default() -> Self {
        let Settings { candidates: _, proposals, rungs, keep, from_search, rules, pool, min_distance } =
            Settings::default();
        Self { candidates: None, proposals, rungs, keep, from_search, rules, pool, min_distance, parallel: 0 }
    }
}

impl SelectSection {
    /// Returns whether the stage runs. The number of candidates must have been resolved.
    pub fn is_enabled(&self) -> bool {
        self.candidates.is_some_and(|candidates| candidates > 0)
    }

    /// Sets the number of candidates where the configuration leaves it out.
    pub fn resolve(&mut self, space: &Space) {
        if self.candidates.is_none() {
            self.candidates = Some(if is_published(space.definition()) { 0 } else { Settings::default().candidates });
        }
    }

    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        if !self.is_enabled() {
            return None;
        }
        Settings::from(self).validate().err().map(|error| (error.field, error.problem))
    }
}

impl From<&SelectSection> for Settings {
    fn from(section: &SelectSection) -> Self {
        Self {
            candidates: section.candidates.unwrap_or_default(),
            proposals: section.proposals.clone(),
            rungs: section.rungs.clone(),
            keep: section.keep.clone(),
            from_search: section.from_search,
            rules: section.rules,
            pool: section.pool,
            min_distance: section.min_distance,
        }
    }
}

/// Returns whether this is the published space, for any number of classes.
pub fn is_published(space: &SpaceDefinition) -> bool {
    *space == SpaceDefinition { classes: space.classes, ..Space::imagenet().definition().clone() }
}

/// How a candidate is trained: the values of `train:` that matter within a few epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// As [`TrainSection::batch`].
    pub batch: usize,
    /// As [`TrainSection::lr`]; the cosine ends with the last rung.
    pub lr: f64,
    /// As [`TrainSection::momentum`].
    pub momentum: f64,
    /// As [`TrainSection::weight_decay`].
    pub weight_decay: f64,
    /// As [`TrainSection::warmup_epochs`].
    pub warmup_epochs: usize,
    /// As [`TrainSection::grad_clip`].
    pub grad_clip: f64,
    /// As [`TrainSection::label_smoothing`].
    pub label_smoothing: f64,
    /// As [`TrainSection::dropout`].
    pub dropout: f64,
    /// As [`TrainSection::drop_connect`].
    pub drop_connect: f64,
    /// As [`TrainSection::augment`].
    pub augment: Augment,
    /// As [`TrainSection::precision`].
    pub precision: Precision,
}

impl From<&TrainSection> for Recipe {
    fn from(train: &TrainSection) -> Self {
        Self {
            batch: train.batch,
            lr: train.lr,
            momentum: train.momentum,
            weight_decay: train.weight_decay,
            warmup_epochs: train.warmup_epochs,
            grad_clip: train.grad_clip,
            label_smoothing: train.label_smoothing,
            dropout: train.dropout,
            drop_connect: train.drop_connect,
            augment: train.augment.clone(),
            precision: train.precision,
        }
    }
}

/// What identifies the work of `select`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectParams {
    /// The space.
    pub space: SpaceDefinition,
    /// Seed of every draw.
    pub seed: u64,
    /// Latency that every candidate meets.
    pub target_lat_ms: Target,
    /// What an image that cannot be read does.
    pub on_bad_image: OnBadImage,
    /// What is done about the orientation that the metadata of photos state.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// Short side that evaluation resizes to, in pixels.
    pub resize: usize,
    /// The section; `parallel` is 0, as it changes no result.
    pub select: SelectSection,
    /// How candidates are trained.
    pub recipe: Recipe,
}

/// The stage `select`.
pub(super) struct Select;

impl StageSpec for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn about(&self) -> &'static str {
        "chooses among architectures of the target latency by short trainings"
    }

    fn revision(&self) -> u32 {
        2
    }

    fn inputs(&self, _config: &Config) -> Vec<InputPort> {
        vec![
            InputPort::given(Source::TrainImages),
            InputPort::output(Stage::Split, "train.list"),
            InputPort::output(Stage::Split, "val.list"),
            InputPort::output(Stage::Split, "classes.txt"),
            InputPort::output(Stage::Lookup, "latency.table"),
            InputPort::output(Stage::Search, "search.json"),
        ]
    }

    fn outputs(&self, _draws_test: bool) -> &'static [&'static str] {
        &["selected.json", "candidates.json"]
    }

    fn params(&self, config: &Config, space: &SpaceDefinition) -> Value {
        to_params(SelectParams {
            space: space.clone(),
            seed: config.seed,
            target_lat_ms: config.search.target_lat_ms,
            on_bad_image: config.data.on_bad_image,
            exif_orientation: config.data.exif_orientation,
            resize: config.data.evaluation_resize(space.resolution),
            select: SelectSection { parallel: 0, ..config.select.clone() },
            recipe: Recipe::from(&config.train),
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn problem(&self, config: &Config) -> Option<(&'static str, String)> {
        config.select.problem()
    }

    fn config_key(&self, param: &str) -> String {
        match param.strip_prefix("recipe.") {
            Some(key) => format!("train.{key}"),
            None if param == "target_lat_ms" => "search.target_lat_ms".to_owned(),
            None => shared_config_key(param),
        }
    }

    fn published_file(&self, output: &str, _weights: &str) -> Option<String> {
        Some(format!("select/{output}"))
    }

    fn memory_hint(&self) -> &'static str {
        "lower select.parallel or train.batch, or set train.precision: bf16"
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let select = from_params::<SelectParams>(params)?.select;
        Some(Work::of_held_out_training(Selection::total_epochs(&Settings::from(&select))))
    }

    fn threads(&self, _config: &Config) -> Option<usize> {
        // A candidate's weights depend on the number of threads, and must not depend on the machine.
        Some(1)
    }

    fn runs_on_ranks(&self) -> bool {
        true
    }

    fn is_optional(&self) -> bool {
        true
    }

    fn is_enabled(&self, config: &Config) -> bool {
        config.select.is_enabled()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn section(json: serde_json::Value) -> SelectSection {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_stage_is_off_for_the_published_space_and_on_for_others_unless_said_otherwise() {
        let resolved = |space: Space, json| {
            let mut section = section(json);
            section.resolve(&space);
            section.candidates
        };
        assert_eq!(resolved(Space::imagenet(), serde_json::json!({})), Some(0));
        assert_eq!(resolved(Space::imagenet(), serde_json::json!({ "candidates": 1000 })), Some(1000));
        assert_eq!(resolved(Space::cifar(), serde_json::json!({})), Some(48));
        assert_eq!(resolved(Space::small(), serde_json::json!({ "candidates": 0 })), Some(0));
        let mut fewer_classes = Space::imagenet().definition().clone();
        fewer_classes.classes = Some(100);
        assert_eq!(resolved(Space::new(fewer_classes).unwrap(), serde_json::json!({})), Some(0));
    }

    #[test]
    fn impossible_plans_are_named_by_their_keys() {
        let cases = [
            (serde_json::json!({ "candidates": 1 }), "candidates"),
            (serde_json::json!({ "candidates": 8, "rungs": [] , "keep": [] }), "rungs"),
            (serde_json::json!({ "candidates": 8, "rungs": [0, 1, 2] }), "rungs"),
            (serde_json::json!({ "candidates": 8, "rungs": [3, 1, 15] }), "rungs"),
            (serde_json::json!({ "candidates": 8, "keep": [4] }), "keep"),
            (serde_json::json!({ "candidates": 8, "proposals": [], "keep": [9, 2] }), "keep"),
            (serde_json::json!({ "candidates": 8, "keep": [4, 0] }), "keep"),
            (serde_json::json!({ "candidates": 8, "keep": [4, 5] }), "keep"),
            (serde_json::json!({ "candidates": 8, "from_search": 1.5 }), "from_search"),
            (serde_json::json!({ "candidates": 4, "rules": 5 }), "rules"),
            (serde_json::json!({ "candidates": 8, "pool": 0 }), "pool"),
        ];
        for (json, key) in cases {
            assert_eq!(section(json.clone()).problem().unwrap().0, key, "{json}");
        }
        assert_eq!(section(serde_json::json!({ "candidates": 8 })).problem(), None);
        assert_eq!(section(serde_json::json!({ "candidates": 0, "rungs": [] })).problem(), None, "it is off");
    }
}
