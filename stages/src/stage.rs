use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tfnas::SpaceDefinition;

use crate::{
    Config, Fit, LookupParams, ParseParams, Protocol, RankParams, Recipe, SearchParams, SearchSection, SelectParams,
    SelectSection, SplitParams, TestParams, TrainParams, TrainSection, WeightsChoice,
};

/// A stage of the pipeline. The order of [`Stage::ALL`] is an order in which they can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Divides the training images into those that train the weights and those that train the architecture.
    Split,
    /// Makes the latency table.
    Lookup,
    /// Searches operations, depth and width under the latency target.
    Search,
    /// Chooses among architectures of the target latency by short trainings.
    Select,
    /// Turns the search's result into one architecture.
    Parse,
    /// Trains it.
    Train,
    /// Tests it.
    Test,
}

/// Where an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An output of an earlier stage, by its name.
    Output(Stage, &'static str),
    /// `data.train`: a folder of images, with the list file that names them where there is one.
    TrainImages,
    /// `data.test`, likewise.
    TestImages,
    /// The file that `split.classes` names.
    ClassesFile,
    /// The file that `lookup.import` names.
    TableFile,
    /// The earlier search that `search.from` names.
    SearchFile,
    /// The `model.config` that `train.from` names.
    ArchitectureFile,
    /// The weights that `test.weights` names.
    WeightsFile,
}

/// A named input of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputPort {
    /// The name under which the worker finds it; unique in its stage.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
}

/// Which facts of the environment make a stage's result another one, and so belong to its action key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// libtorch's version, and the kind of device that computes.
    pub compute: bool,
    /// The device's model and its frequency governor: where latency is measured.
    pub latency: bool,
}

const fn from_stage(name: &'static str, stage: Stage) -> InputPort {
    InputPort { name, source: Source::Output(stage, name) }
}

const TRAIN_IMAGES: InputPort = InputPort { name: "train_images", source: Source::TrainImages };
/// The port of the weights that a file gives to the test.
const WEIGHTS: &str = "weights";
/// The port of the earlier search that a search starts from.
pub const START: &str = "start";
/// The split's output and the port that hold the list of test images, where they are drawn from the training images.
pub const TEST_LIST: &str = "test.list";
const TEST_IMAGES: InputPort = InputPort { name: "test_images", source: Source::TestImages };

impl Stage {
    /// All stages, each after those whose outputs it reads.
    pub const ALL: &'static [Self] =
        &[Self::Split, Self::Lookup, Self::Search, Self::Select, Self::Parse, Self::Train, Self::Test];

    /// Returns the name that the command line, the configuration and the ledger use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Split => "split",
            Self::Lookup => "lookup",
            Self::Search => "search",
            Self::Select => "select",
            Self::Parse => "parse",
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// Returns the stage of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|stage| stage.name() == name)
    }

    /// Returns one line for help and documentation.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Split => "divides the training images, by class and seed",
            Self::Lookup => "measures the latency table of the space on this machine, or imports one",
            Self::Search => "searches operations, depth and width under the latency target",
            Self::Select => "chooses among architectures of the target latency by short trainings",
            Self::Parse => "turns the search's result into one architecture, and measures it",
            Self::Train => "trains the architecture found",
            Self::Test => "tests the trained network: top-1, top-5, per class",
        }
    }

    /// Returns whether several processes can do the stage together.
    pub const fn runs_on_ranks(self) -> bool {
        matches!(self, Self::Select | Self::Train)
    }

    /// Returns whether a configuration can turn the stage off.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Select)
    }

    /// Returns whether this configuration runs the stage.
    pub fn is_enabled(self, config: &Config) -> bool {
        match self {
            Self::Select => config.select.is_enabled(),
            _ => true,
        }
    }

    /// Returns the number that is raised whenever the stage's code gives other results for equal parameters and inputs.
    pub const fn revision(self) -> u32 {
        match self {
            Self::Select => 1,
            Self::Parse | Self::Split => 2,
            Self::Lookup | Self::Train => 3,
            Self::Search | Self::Test => 4,
        }
    }

    /// Returns the stage's inputs under this configuration.
    pub fn inputs(self, config: &Config) -> Vec<InputPort> {
        match self {
            Self::Split => {
                let mut ports = vec![TRAIN_IMAGES];
                if config.split.classes_file().is_some() {
                    ports.push(InputPort { name: "classes", source: Source::ClassesFile });
                }
                ports
            }
            Self::Lookup => match config.lookup.import {
                Some(_) => vec![InputPort { name: "table", source: Source::TableFile }],
                None => vec![from_stage("classes.txt", Self::Split)],
            },
            Self::Search => {
                let mut ports = vec![
                    TRAIN_IMAGES,
                    from_stage("train.list", Self::Split),
                    from_stage("val.list", Self::Split),
                    from_stage("classes.txt", Self::Split),
                    from_stage("latency.table", Self::Lookup),
                ];
                if config.search.from.is_some() {
                    ports.push(InputPort { name: START, source: Source::SearchFile });
                }
                ports
            }
            Self::Select => vec![
                TRAIN_IMAGES,
                from_stage("train.list", Self::Split),
                from_stage("val.list", Self::Split),
                from_stage("classes.txt", Self::Split),
                from_stage("latency.table", Self::Lookup),
                from_stage("search.json", Self::Search),
            ],
            Self::Parse => vec![
                if config.select.is_enabled() {
                    from_stage("selected.json", Self::Select)
                } else {
                    from_stage("search.json", Self::Search)
                },
                from_stage("latency.table", Self::Lookup),
                from_stage(config.train.protocol.classes(), Self::Split),
            ],
            Self::Train => {
                let mut ports = vec![config.train.architecture(), TRAIN_IMAGES];
                match config.train.protocol {
                    Protocol::Published => {
                        let test = if config.draws_test() { from_stage(TEST_LIST, Self::Split) } else { TEST_IMAGES };
                        ports.extend([from_stage("all.list", Self::Split), test]);
                    }
                    Protocol::HeldOut => {
                        ports.extend([from_stage("train.list", Self::Split), from_stage("val.list", Self::Split)]);
                    }
                }
                ports.push(from_stage(config.train.protocol.classes(), Self::Split));
                ports
            }
            Self::Test => {
                let mut ports = vec![config.train.architecture(), config.test.weights.port()];
                if config.draws_test() {
                    ports.extend([TRAIN_IMAGES, from_stage(TEST_LIST, Self::Split)]);
                } else {
                    ports.push(TEST_IMAGES);
                }
                ports.push(from_stage(config.train.protocol.classes(), Self::Split));
                ports
            }
        }
    }

    /// Returns the names of the stage's outputs: the files that a worker leaves in its output folder.
    ///
    /// * `draws_test`: whether the split draws the test images, which makes one output more.
    pub const fn outputs(self, draws_test: bool) -> &'static [&'static str] {
        match self {
            Self::Split if draws_test => {
                &["train.list", "val.list", "classes.txt", "all.list", "all_classes.txt", "split.json", TEST_LIST]
            }
            Self::Split => &["train.list", "val.list", "classes.txt", "all.list", "all_classes.txt", "split.json"],
            Self::Lookup => &["latency.table", "lookup.json"],
            Self::Search => &["search.json", "history.json", "search.safetensors"],
            Self::Select => &["selected.json", "candidates.json"],
            Self::Parse => &["model.config", "architecture.json"],
            Self::Train => &["best.safetensors", "last.safetensors", "train.json"],
            Self::Test => &["test.json", "predictions.csv"],
        }
    }

    /// Returns the parameters that identify the stage's work, as JSON whose paths are the configuration's.
    pub fn params(self, config: &Config, space: &SpaceDefinition) -> Value {
        let space = space.clone();
        let seed = config.seed;
        let on_bad_image = config.data.on_bad_image;
        let exif_orientation = config.data.exif_orientation;
        let resize = config.data.evaluation_resize(space.resolution);
        let value = match self {
            Self::Split => {
                let mut split = config.split.clone();
                if split.classes_file().is_some() {
                    // The file is an input, whose content counts, not its name.
                    split.classes = Some("classes".to_owned());
                }
                serde_json::to_value(SplitParams { seed, split })
            }
            Self::Lookup => {
                let measured = config.lookup.import.is_none();
                serde_json::to_value(LookupParams {
                    space,
                    seed: if measured { seed } else { 0 },
                    lookup: measured.then(|| config.lookup.clone()),
                })
            }
            Self::Search => {
                // The file is an input; its path says nothing of the work.
                // A key without `fit` is one of a search that fits as published, whatever the default of its space.
                let fit = Some(config.search.fit_in(&space)).filter(|fit| *fit != Fit::Published);
                let search = SearchSection { from: None, fit, ..config.search.clone() };
                serde_json::to_value(SearchParams { space, seed, on_bad_image, exif_orientation, resize, search })
            }
            Self::Select => serde_json::to_value(SelectParams {
                space,
                seed,
                target_lat_ms: config.search.target_lat_ms,
                on_bad_image,
                exif_orientation,
                resize,
                select: SelectSection { parallel: 0, ..config.select.clone() },
                recipe: Recipe::from(&config.train),
            }),
            Self::Parse => serde_json::to_value(ParseParams {
                space,
                target_lat_ms: config.search.target_lat_ms,
                parse: config.parse.clone(),
                batch: config.lookup.batch,
                threads: config.lookup.threads,
                seed,
            }),
            Self::Train => {
                // The file is an input; its path says nothing of the work.
                let train = TrainSection { from: None, ..config.train.clone() };
                let processes = config.processes(self);
                let ranks = (processes > 1 && !train.sync_bn).then_some(RankParams { processes });
                serde_json::to_value(TrainParams { space, seed, on_bad_image, exif_orientation, resize, train, ranks })
            }
            Self::Test => {
                let mut test = config.test.clone();
                if let WeightsChoice::File(_) = test.weights {
                    // Likewise.
                    test.weights = WeightsChoice::File(WEIGHTS.into());
                }
                let (resolution, protocol) = (space.resolution, config.train.protocol);
                serde_json::to_value(TestParams { resolution, resize, on_bad_image, exif_orientation, protocol, test })
            }
        };
        value.expect("parameters are plain structs of strings and finite numbers")
    }

    /// Returns which facts of the environment belong to the stage's action key under this configuration.
    pub fn environment(self, config: &Config) -> Environment {
        match self {
            Self::Split => Environment::default(),
            Self::Lookup => {
                let measured = config.lookup.import.is_none();
                Environment { compute: measured, latency: measured }
            }
            Self::Parse => Environment { compute: config.parse.measure, latency: config.parse.measure },
            Self::Search | Self::Select | Self::Train | Self::Test => Environment { compute: true, latency: false },
        }
    }
}

impl Protocol {
    /// Returns the split's output that names the classes which the derived network knows.
    pub const fn classes(self) -> &'static str {
        match self {
            Self::Published => "all_classes.txt",
            Self::HeldOut => "classes.txt",
        }
    }
}

impl TrainSection {
    /// Returns where the architecture to train comes from.
    const fn architecture(&self) -> InputPort {
        match self.from {
            Some(_) => InputPort { name: "model.config", source: Source::ArchitectureFile },
            None => from_stage("model.config", Stage::Parse),
        }
    }
}

impl WeightsChoice {
    /// Returns the test's input that holds these weights: an output of the training, or a file of the user's.
    pub const fn port(&self) -> InputPort {
        match self {
            Self::Best => from_stage("best.safetensors", Stage::Train),
            Self::Last => from_stage("last.safetensors", Stage::Train),
            Self::File(_) => InputPort { name: WEIGHTS, source: Source::WeightsFile },
        }
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
    fn every_input_is_an_output_of_an_earlier_stage_or_named_data() {
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
    fn names_are_unique_and_found_again() {
        for stage in Stage::ALL {
            assert_eq!(Stage::by_name(stage.name()), Some(*stage));
        }
    }

    #[test]
    fn every_stage_has_outputs_of_its_own() {
        let outputs: Vec<_> = Stage::ALL.iter().flat_map(|stage| stage.outputs(true)).collect();
        assert_eq!(outputs.len(), outputs.iter().collect::<BTreeSet<_>>().len());
    }

    #[test]
    fn a_target_is_a_parameter_of_search_select_and_parse_alone() {
        let space = tfnas::Space::small().definition().clone();
        let one = config(r#"{"data": {"root": "x"}, "search": {"target_lat_ms": 12}}"#);
        let other = config(r#"{"data": {"root": "x"}, "search": {"target_lat_ms": 13}}"#);
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&one, &space) != stage.params(&other, &space)).collect();
        assert_eq!(changed, [&Stage::Search, &Stage::Select, &Stage::Parse]);
    }

    #[test]
    fn the_default_fit_and_the_same_one_in_words_are_one_key() {
        let (imagenet, small) = (tfnas::Space::imagenet(), tfnas::Space::small());
        let with = |fit: &str| config(&r#"{"data": {"root": "x"}, "search": {FIT}}"#.replace("FIT", fit));
        let (default, exact) = (with(""), with(r#""fit": "exact""#));
        let published = with(r#""fit": "published""#);
        let key = |config: &Config, space: &tfnas::Space| Stage::Search.params(config, space.definition());
        assert_eq!(key(&default, &imagenet), key(&published, &imagenet));
        assert!(key(&default, &imagenet)["search"].get("fit").is_none(), "as before there was a choice");
        assert_eq!(key(&default, &small), key(&exact, &small));
        assert_eq!(key(&default, &small)["search"]["fit"], "exact");
        assert_ne!(key(&exact, &imagenet), key(&published, &imagenet));
        assert!(key(&published, &small)["search"].get("fit").is_none());
    }

    #[test]
    fn a_file_of_weights_takes_the_place_of_the_training_and_its_path_is_no_parameter() {
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
    fn the_orientation_is_a_parameter_of_the_stages_that_read_pixels_and_only_where_it_is_applied() {
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
    fn test_images_that_are_drawn_are_a_list_of_the_split_and_no_other_images() {
        let drawn = config(r#"{"data": {"root": "x", "test": null}, "split": {"test_share": 0.15}}"#);
        for stage in [Stage::Train, Stage::Test] {
            let ports = stage.inputs(&drawn);
            assert!(ports.contains(&InputPort { name: TEST_LIST, source: Source::Output(Stage::Split, TEST_LIST) }));
            assert!(ports.contains(&TRAIN_IMAGES) && !ports.contains(&TEST_IMAGES));
        }
        assert!(!Stage::Split.outputs(false).contains(&TEST_LIST));
    }

    #[test]
    fn the_share_of_the_test_is_a_parameter_of_the_split_alone_and_only_where_it_is_drawn() {
        let space = tfnas::Space::small().definition().clone();
        let plain = config(r#"{"data": {"root": "x"}}"#);
        let drawn =
            config(r#"{"data": {"root": "x", "test": null, "allow_overlap": true}, "split": {"test_share": 0.15}}"#);
        let changed: Vec<_> =
            Stage::ALL.iter().filter(|stage| stage.params(&plain, &space) != stage.params(&drawn, &space)).collect();
        assert_eq!(changed, [&Stage::Split]);
        assert!(!SplitParams::draw_test(&Stage::Split.params(&plain, &space)));
        assert!(SplitParams::draw_test(&Stage::Split.params(&drawn, &space)));
        let said = Stage::Split.params(&plain, &space);
        assert_eq!(said, serde_json::json!({"seed": 0, "split": {"train_share": 0.8}}));
    }

    #[test]
    fn where_the_images_lie_and_how_many_threads_work_is_no_parameter() {
        let space = tfnas::Space::small().definition().clone();
        let one = config(r#"{"data": {"root": "x", "workers": 1}, "threads": 1}"#);
        let other = config(r#"{"data": {"root": "y", "workers": 3}, "threads": 2}"#);
        for stage in Stage::ALL {
            assert_eq!(stage.params(&one, &space), stage.params(&other, &space));
        }
    }
}
