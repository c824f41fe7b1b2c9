//! Inputs of stages: where they come from, and the ports through which a worker reads them.

use crate::Stage;

/// The source of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An output of an earlier stage, by name.
    Output(Stage, &'static str),
    /// `data.train`: a folder of images, and the list file if the configuration names one.
    TrainImages,
    /// `data.test`: like [`Self::TrainImages`].
    TestImages,
    /// The file that `split.classes` names.
    ClassesFile,
    /// The file that `lookup.import` names.
    TableFile,
    /// The result of an earlier search that `search.from` names.
    SearchFile,
    /// The `model.config` that `train.from` names.
    ArchitectureFile,
    /// The weights that `test.weights` names.
    WeightsFile,
}

impl Source {
    /// All sources except the outputs of stages.
    pub const EXTERNAL: [Self; 7] = [
        Self::TrainImages,
        Self::TestImages,
        Self::ClassesFile,
        Self::TableFile,
        Self::SearchFile,
        Self::ArchitectureFile,
        Self::WeightsFile,
    ];

    /// Returns the name of the input port for this source.
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

    /// Returns the configuration key that names the source; `None` for an output of a stage.
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
    /// Name by which the worker looks up the input; unique within the stage.
    pub name: &'static str,
    /// The source of the input.
    pub source: Source,
}

impl InputPort {
    /// Returns the port for an external source.
    pub const fn external(source: Source) -> Self {
        Self { name: source.port(), source }
    }

    /// Returns the port for an output of an earlier stage. The port has the name of the output.
    pub const fn output(stage: Stage, name: &'static str) -> Self {
        Self { name, source: Source::Output(stage, name) }
    }
}
