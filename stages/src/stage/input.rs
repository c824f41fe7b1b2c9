use crate::Stage;

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

impl Source {
    /// Every source that no stage makes.
    pub const GIVEN: [Self; 7] = [
        Self::TrainImages,
        Self::TestImages,
        Self::ClassesFile,
        Self::TableFile,
        Self::SearchFile,
        Self::ArchitectureFile,
        Self::WeightsFile,
    ];

    /// Returns the name of the port that reads the source.
    pub const fn port(self) -> &'static str {
        match self {
            Self::Output(_, output) => output,
            Self::TrainImages => "train_images",
            Self::TestImages => "test_images",
            Self::ClassesFile => "classes",
            Self::TableFile => "table",
            Self::SearchFile => super::WARM_START,
            Self::ArchitectureFile => "model.config",
            Self::WeightsFile => "weights",
        }
    }

    /// Returns the key of the configuration that names the source; `None` for the output of a stage.
    pub const fn config_key(self) -> Option<&'static str> {
        match self {
            Self::Output(..) => None,
            Self::TrainImages => Some("data.train"),
            Self::TestImages => Some("data.test"),
            Self::ClassesFile => Some("split.classes"),
            Self::TableFile => Some("lookup.import"),
            Self::SearchFile => Some("search.from"),
            Self::ArchitectureFile => Some("train.from"),
            Self::WeightsFile => Some("test.weights"),
        }
    }
}

/// A named input of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputPort {
    /// The name under which the worker finds it; unique in its stage.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
}

impl InputPort {
    /// Returns the port of a source that no stage makes.
    pub const fn given(source: Source) -> Self {
        Self { name: source.port(), source }
    }

    /// Returns the port of an output of an earlier stage, which has the output's name.
    pub const fn output(stage: Stage, name: &'static str) -> Self {
        Self { name, source: Source::Output(stage, name) }
    }
}
