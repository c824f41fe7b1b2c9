//! The stage `select`: trains several architectures of the target latency for a few epochs each and chooses the best.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::{Space, SpaceDefinition};
use tfnas_select::{Selection, Settings};

use super::spec::{from_params, shared_config_key, to_params};
use super::{InputPort, KeyFacts, Source, StageSpec};
use crate::{
    Augment, ColorJitter, Config, Decoding, ExifOrientation, InvalidValue, OnBadImage, Precision, Stage, Target,
    TrainSection, Work,
};

/// `select:` in the configuration: which candidates are compared, and how long they are trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SelectSection {
    /// Number of initial candidates; 0 disables the stage. Default: 0 for the published space (imagenet), 48 for others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// Number of additional candidates of each round, which a regression on the previous scores proposes.
    pub proposals: Vec<usize>,
    /// Total epochs that a candidate has been trained for at the end of each rung, in increasing order.
    pub rungs: Vec<usize>,
    /// Number of candidates to keep after each rung except the last, in decreasing order.
    pub keep: Vec<usize>,
    /// Share of the initial candidates that are sampled from the search probabilities.
    pub from_search: f64,
    /// Number of initial candidates that follow a simple rule (the same operation and share of the depth everywhere).
    pub rules: usize,
    /// Number of architectures from which each round of proposals chooses.
    pub pool: usize,
    /// Minimum number of decisions (the depth of a block group, the operation of a block) in which a proposal differs from
    /// every other candidate.
    pub min_distance: usize,
    /// Number of candidates that are trained concurrently, each by a process with one thread; 0 uses one process per core, or
    /// on a GPU `resources.gpus` (1). Affects only speed.
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
    /// Returns whether the stage runs. Call [`Self::resolve`] before.
    pub fn is_enabled(&self) -> bool {
        self.candidates.is_some_and(|candidates| candidates > 0)
    }

    /// Sets the number of candidates to the default for this space if the configuration does not set it.
    pub fn resolve(&mut self, space: &Space) {
        if self.candidates.is_none() {
            self.candidates = Some(if is_published(space.definition()) { 0 } else { Settings::default().candidates });
        }
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        if !self.is_enabled() {
            return Ok(());
        }
        Settings::from(self).validate().map_err(|error| InvalidValue::new(error.field, error.problem))
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

/// Returns whether this is the published space, with any number of classes.
pub fn is_published(space: &SpaceDefinition) -> bool {
    *space == SpaceDefinition { classes: space.classes, ..Space::imagenet().definition().clone() }
}

/// The training recipe of candidates: the values of `train:` that affect the first epochs of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// See [`TrainSection::batch`].
    pub batch: usize,
    /// See [`TrainSection::lr`]; the cosine schedule ends with the last rung.
    pub lr: f64,
    /// See [`TrainSection::momentum`].
    pub momentum: f64,
    /// See [`TrainSection::weight_decay`].
    pub weight_decay: f64,
    /// See [`TrainSection::warmup_epochs`].
    pub warmup_epochs: usize,
    /// See [`TrainSection::grad_clip`].
    pub grad_clip: f64,
    /// See [`TrainSection::label_smoothing`].
    pub label_smoothing: f64,
    /// See [`TrainSection::dropout`].
    pub dropout: f64,
    /// See [`TrainSection::drop_connect`].
    pub drop_connect: f64,
    /// See [`TrainSection::augment`].
    pub augment: Augment,
    /// See [`TrainSection::precision`].
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

/// Parameters of `select`, which are part of its cache key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SelectParams {
    /// The search space.
    pub space: SpaceDefinition,
    /// Seed for all random numbers.
    pub seed: u64,
    /// Target latency of all candidates.
    pub target_lat_ms: Target,
    /// What to do about an image that cannot be read.
    pub on_bad_image: OnBadImage,
    /// How to treat the EXIF orientation of photos.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// How training images are decoded.
    #[serde(default, skip_serializing_if = "Decoding::is_exact")]
    pub decode: Decoding,
    /// Where the color jitter of training images is computed.
    #[serde(default, skip_serializing_if = "ColorJitter::is_workers")]
    pub color_jitter: ColorJitter,
    /// Length of the short side after the evaluation resize, in pixels.
    pub resize: usize,
    /// The configuration section. `parallel` is set to 0, because it does not change results.
    pub select: SelectSection,
    /// The training recipe of candidates.
    pub recipe: Recipe,
    /// Version of the computation in bf16, if that is the precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bf16_revision: Option<u32>,
}

/// The stage `select`.
pub(super) struct Select;

impl StageSpec for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn about(&self) -> &'static str {
        "trains several architectures of the target latency for a few epochs each and chooses the best"
    }

    fn revision(&self) -> u32 {
        3
    }

    fn inputs(&self, _config: &Config) -> Vec<InputPort> {
        vec![
            InputPort::external(Source::TrainImages),
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
            decode: config.data.decode,
            color_jitter: config.data.color_jitter,
            resize: config.data.evaluation_resize(space.resolution),
            select: SelectSection { parallel: 0, ..config.select.clone() },
            recipe: Recipe::from(&config.train),
            bf16_revision: config.train.precision.bf16_revision(),
        })
    }

    fn key_facts(&self, _config: &Config) -> KeyFacts {
        KeyFacts::COMPUTE
    }

    fn validate(&self, config: &Config) -> Result<(), InvalidValue> {
        config.select.validate()
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

    fn is_profiled(&self) -> bool {
        true
    }

    fn precision(&self, config: &Config) -> Option<(&'static str, Precision)> {
        Some(("train.precision", config.train.precision))
    }

    fn work(&self, params: &Value) -> Option<Work> {
        let select = from_params::<SelectParams>(params)?.select;
        Some(Work::of_held_out_training(Selection::total_epochs(&Settings::from(&select))))
    }

    fn threads(&self, _config: &Config) -> Option<usize> {
        // The weights of a candidate depend on the number of threads and must not depend on the machine.
        Some(1)
    }

    fn runs_on_ranks(&self, _config: &Config) -> bool {
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
    fn the_stage_is_disabled_by_default_only_for_the_published_space() {
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
    fn invalid_values_name_the_key() {
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
            assert_eq!(section(json.clone()).validate().unwrap_err().key, key, "{json}");
        }
        assert_eq!(section(serde_json::json!({ "candidates": 8 })).validate(), Ok(()));
        assert_eq!(
            section(serde_json::json!({ "candidates": 0, "rungs": [] })).validate(),
            Ok(()),
            "the stage is disabled"
        );
    }
}
