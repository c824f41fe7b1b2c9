//! The stages, one file each: configuration section, parameters and [`StageSpec`].

mod input;
mod lookup;
mod parse;
mod search;
mod select;
mod spec;
mod split;
mod test;
mod train;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

pub use input::{InputPort, Source};
pub use lookup::{LookupParams, LookupSection};
pub use parse::{ParseParams, ParseSection};
pub use search::{ArchitectureOptimizer, SearchParams, SearchSection, WARM_START, WeightOptimizer};
pub use select::{Recipe, SelectParams, SelectSection, is_published};
pub use spec::{KeyFacts, StageSpec};
pub use split::{PublishedSplit, SplitParams, SplitSection, TEST_LIST};
pub use test::{TestParams, TestSection, WeightsChoice};
pub use train::{Protocol, TrainParams, TrainSection};

use crate::{Config, Precision, Work};

/// Generates the enum [`Stage`] and its methods from one list, so that adding a stage is one entry.
macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident => $spec:expr,)+) => {
        /// A stage of the pipeline.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum Stage {
            $($(#[$doc])* $variant,)+
        }

        impl Stage {
            /// All stages, in an order that satisfies their dependencies.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the specification of the stage.
            pub const fn spec(self) -> &'static dyn StageSpec {
                match self {
                    $(Self::$variant => &$spec,)+
                }
            }
        }
    };
}

stages! {
    /// Divides the training images into those that train the weights and those that train the architecture.
    Split => split::Split,
    /// Measures or imports the latency table.
    Lookup => lookup::Lookup,
    /// Searches for operations, depth and width under the target latency.
    Search => search::Search,
    /// Trains several architectures of the target latency for a few epochs each and chooses the best.
    Select => select::Select,
    /// Derives one architecture from the search result.
    Parse => parse::Parse,
    /// Trains the architecture.
    Train => train::Train,
    /// Tests the trained network.
    Test => test::Test,
}

impl Stage {
    /// Returns the name of the stage on the command line, in the configuration and in the ledger.
    pub fn name(self) -> &'static str {
        self.spec().name()
    }

    /// Returns the stage with this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.name() == name)
    }

    /// Returns a one-line description.
    pub fn about(self) -> &'static str {
        self.spec().about()
    }

    /// See [`StageSpec::revision`].
    pub fn revision(self) -> u32 {
        self.spec().revision()
    }

    /// See [`StageSpec::runs_on_ranks`].
    pub fn runs_on_ranks(self, config: &Config) -> bool {
        self.spec().runs_on_ranks(config)
    }

    /// Returns whether the stage can be profiled.
    pub fn is_profiled(self) -> bool {
        self.spec().is_profiled()
    }

    /// Returns the precision of the stage's computation and its configuration key, if it can be configured.
    pub fn precision(self, config: &Config) -> Option<(&'static str, Precision)> {
        self.spec().precision(config)
    }

    /// Returns whether a configuration can disable the stage.
    pub fn is_optional(self) -> bool {
        self.spec().is_optional()
    }

    /// Returns whether this configuration runs the stage.
    pub fn is_enabled(self, config: &Config) -> bool {
        self.spec().is_enabled(config)
    }

    /// Returns the inputs of the stage for this configuration.
    pub fn inputs(self, config: &Config) -> Vec<InputPort> {
        self.spec().inputs(config)
    }

    /// Returns the names of the stage's outputs, which are the files that a worker writes to the output folder.
    ///
    /// * `draws_test`: whether the split draws the test images, which adds an output.
    pub fn outputs(self, draws_test: bool) -> &'static [&'static str] {
        self.spec().outputs(draws_test)
    }

    /// Returns the parameters of the stage as JSON. They are part of its cache key.
    pub fn params(self, config: &Config, space: &SpaceDefinition) -> Value {
        self.spec().params(config, space)
    }

    /// Returns how much work these parameters are, to estimate the duration; `None` if that is unknown.
    pub fn work(self, params: &Value) -> Option<Work> {
        self.spec().work(params)
    }

    /// Returns which facts of the environment are part of the stage's cache key for this configuration.
    pub fn key_facts(self, config: &Config) -> KeyFacts {
        self.spec().key_facts(config)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    fn config(text: &str) -> Config {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_input_is_external_or_an_output_of_an_earlier_stage() {
        let texts = [
            r#"{"data": {"root": "x"}, "space": "small"}"#,
            r#"{"data": {"root": "x"}, "lookup": {"import": "t"}, "split": {"classes": "c.txt"},
                "train": {"protocol": "held_out"}, "test": {"weights": "last"}}"#,
            r#"{"data": {"root": "x"}, "search": {"from": "s.pth.tar"}, "train": {"from": "model.config"},
                "test": {"weights": "w.pth.tar"}}"#,
            r#"{"data": {"root": "x", "test": null}, "split": {"test_share": 0.15}}"#,
            r#"{"data": {"root": "x", "test": null}, "split": {"test_share": 0.15}, "train": {"protocol": "held_out"}}"#,
        ];
        for config in texts.map(config) {
            let mut before = BTreeSet::new();
            for stage in Stage::ALL {
                let mut names = BTreeSet::new();
                for port in stage.inputs(&config) {
                    assert!(names.insert(port.name), "{} reads {} twice", stage.name(), port.name);
                    if let Source::Output(from, output) = port.source {
                        assert!(before.contains(&from), "{} reads {}, which runs later", stage.name(), from.name());
                        assert!(
                            from.outputs(config.draws_test()).contains(&output),
                            "{} has no output {output}",
                            from.name()
                        );
                    }
                }
                before.insert(*stage);
            }
        }
    }

    #[test]
    fn stages_are_found_by_their_names() {
        for stage in Stage::ALL {
            assert_eq!(Stage::by_name(stage.name()), Some(*stage));
        }
    }

    #[test]
    fn output_names_are_unique() {
        let outputs: Vec<_> = Stage::ALL.iter().flat_map(|stage| stage.outputs(true)).collect();
        assert_eq!(outputs.len(), outputs.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn the_target_is_a_parameter_of_search_select_and_parse_only() {
        let space = tfnas::Space::small().definition().clone();
        let one = config(r#"{"data": {"root": "x"}, "search": {"target_lat_ms": 12}}"#);
        let other = config(r#"{"data": {"root": "x"}, "search": {"target_lat_ms": 13}}"#);
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&one, &space) != stage.params(&other, &space)).collect();
        assert_eq!(changed, [&Stage::Search, &Stage::Select, &Stage::Parse]);
    }

    #[test]
    fn the_default_fit_and_the_same_explicit_fit_have_the_same_parameters() {
        let (imagenet, small) = (tfnas::Space::imagenet(), tfnas::Space::small());
        let with = |fit: &str| config(&r#"{"data": {"root": "x"}, "search": {FIT}}"#.replace("FIT", fit));
        let (default, exact) = (with(""), with(r#""fit": "exact""#));
        let published = with(r#""fit": "published""#);
        let key = |config: &Config, space: &tfnas::Space| Stage::Search.params(config, space.definition());
        assert_eq!(key(&default, &imagenet), key(&published, &imagenet));
        assert!(key(&default, &imagenet)["search"].get("fit").is_none(), "same parameters as before `fit` existed");
        assert_eq!(key(&default, &small), key(&exact, &small));
        assert_eq!(key(&default, &small)["search"]["fit"], "exact");
        assert_ne!(key(&exact, &imagenet), key(&published, &imagenet));
        assert!(key(&published, &small)["search"].get("fit").is_none());
    }

    #[test]
    fn a_weights_file_replaces_the_training_and_its_path_is_not_a_parameter() {
        let space = tfnas::Space::small().definition().clone();
        let with = |weights: &str, from: &str| {
            let text = r#"{"data": {"root": "x"}, "test": {"weights": "WEIGHTS"}, "search": {"from": "FROM"}}"#;
            config(&text.replace("WEIGHTS", weights).replace("FROM", from))
        };
        let (one, other, best) = (with("a.pth.tar", "s"), with("b/c.safetensors", "t"), with("best", "s"));
        for stage in Stage::ALL {
            assert_eq!(stage.params(&one, &space), stage.params(&other, &space));
        }
        assert_ne!(Stage::Test.params(&one, &space), Stage::Test.params(&best, &space));
        let reads_training = |config| {
            let ports = Stage::Test.inputs(config);
            ports.iter().any(|port| matches!(port.source, Source::Output(Stage::Train, _)))
        };
        assert!(!reads_training(&one) && reads_training(&best));
    }

    #[test]
    fn exif_orientation_is_a_parameter_only_of_stages_that_read_pixels_and_only_if_applied() {
        let space = tfnas::Space::small().definition().clone();
        let plain = config(r#"{"data": {"root": "x"}}"#);
        let ignored = config(r#"{"data": {"root": "x", "exif_orientation": "ignore"}}"#);
        let applied = config(r#"{"data": {"root": "x", "exif_orientation": "apply"}}"#);
        for stage in Stage::ALL {
            assert_eq!(stage.params(&plain, &space), stage.params(&ignored, &space));
            assert!(stage.params(&plain, &space).get("exif_orientation").is_none());
        }
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&plain, &space) != stage.params(&applied, &space)).collect();
        assert_eq!(changed, [&Stage::Search, &Stage::Select, &Stage::Train, &Stage::Test]);
        assert_eq!(Stage::Test.params(&applied, &space)["exif_orientation"], "apply");
    }

    #[test]
    fn the_revision_of_bf16_is_a_parameter_only_of_stages_that_compute_in_it() {
        let space = tfnas::Space::small().definition().clone();
        let plain = config(r#"{"data": {"root": "x"}}"#);
        for stage in Stage::ALL {
            let params = stage.params(&plain, &space);
            assert!(params.get("bf16_revision").is_none(), "{stage:?}");
        }
        assert!(Stage::Test.params(&plain, &space)["test"].get("precision").is_none());
        for (section, expected) in [
            ("train", [Stage::Select, Stage::Train].as_slice()),
            ("search", &[Stage::Search]),
            ("test", &[Stage::Test]),
        ] {
            let in_precision = |precision: &str| {
                config(&format!(r#"{{"data": {{"root": "x"}}, "{section}": {{"precision": "{precision}"}}}}"#))
            };
            for precision in ["f32", "bf16", "f16"] {
                let params = |stage: &Stage| stage.params(&in_precision(precision), &space);
                let found: Vec<_> =
                    Stage::ALL.iter().filter(|stage| params(stage).get("bf16_revision").is_some()).collect();
                let expected: Vec<_> = if precision == "bf16" { expected.iter().collect() } else { Vec::new() };
                assert_eq!(found, expected, "{section}.precision: {precision}");
            }
        }
    }

    #[test]
    fn fast_decoding_is_a_parameter_only_of_stages_that_read_training_images() {
        let space = tfnas::Space::small().definition().clone();
        let plain = config(r#"{"data": {"root": "x"}}"#);
        let exact = config(r#"{"data": {"root": "x", "decode": "exact"}}"#);
        let fast = config(r#"{"data": {"root": "x", "decode": "fast"}}"#);
        for stage in Stage::ALL {
            assert_eq!(stage.params(&plain, &space), stage.params(&exact, &space));
            assert!(stage.params(&plain, &space).get("decode").is_none());
        }
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&plain, &space) != stage.params(&fast, &space)).collect();
        assert_eq!(changed, [&Stage::Search, &Stage::Select, &Stage::Train]);
        assert_eq!(Stage::Train.params(&fast, &space)["decode"], "fast");
    }

    #[test]
    fn color_jitter_on_the_device_is_a_parameter_only_of_stages_that_read_training_images() {
        let space = tfnas::Space::small().definition().clone();
        let workers = config(r#"{"data": {"root": "x"}}"#);
        let device = config(r#"{"data": {"root": "x", "color_jitter": "device"}}"#);
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&workers, &space) != stage.params(&device, &space)).collect();
        assert_eq!(changed, [&Stage::Search, &Stage::Select, &Stage::Train]);
        assert!(changed.iter().all(|stage| stage.params(&device, &space)["color_jitter"] == "device"));
        assert!(changed.iter().all(|stage| stage.params(&workers, &space).get("color_jitter").is_none()));
    }

    #[test]
    fn drawn_test_images_are_a_list_of_the_split() {
        let drawn = config(r#"{"data": {"root": "x", "test": null}, "split": {"test_share": 0.15}}"#);
        for stage in [Stage::Train, Stage::Test] {
            let ports = stage.inputs(&drawn);
            assert!(ports.contains(&InputPort { name: TEST_LIST, source: Source::Output(Stage::Split, TEST_LIST) }));
            assert!(
                ports.contains(&InputPort::external(Source::TrainImages))
                    && !ports.contains(&InputPort::external(Source::TestImages))
            );
        }
        assert!(!Stage::Split.outputs(false).contains(&TEST_LIST));
    }

    #[test]
    fn the_test_share_is_a_parameter_only_of_a_split_that_draws_test_images() {
        let space = tfnas::Space::small().definition().clone();
        let plain = config(r#"{"data": {"root": "x"}}"#);
        let drawn =
            config(r#"{"data": {"root": "x", "test": null, "allow_overlap": true}, "split": {"test_share": 0.15}}"#);
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&plain, &space) != stage.params(&drawn, &space)).collect();
        assert_eq!(changed, [&Stage::Split]);
        assert!(!SplitParams::draw_test(&Stage::Split.params(&plain, &space)));
        assert!(SplitParams::draw_test(&Stage::Split.params(&drawn, &space)));
        let params = Stage::Split.params(&plain, &space);
        assert_eq!(params, serde_json::json!({"seed": 0, "split": {"train_share": 0.8}}));
    }

    #[test]
    fn the_image_folder_and_the_number_of_threads_are_not_parameters() {
        let space = tfnas::Space::small().definition().clone();
        let one = config(r#"{"data": {"root": "x", "workers": 1}, "threads": 1}"#);
        let other = config(r#"{"data": {"root": "y", "workers": 3}, "threads": 2}"#);
        for stage in Stage::ALL {
            assert_eq!(stage.params(&one, &space), stage.params(&other, &space));
        }
    }
}
