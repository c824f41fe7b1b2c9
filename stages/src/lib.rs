//! What each stage of the pipeline is: its section of the configuration, the parameters that identify its work, its
//! named inputs and outputs, its revision; and the contract with the worker that does it ([`Job`], [`Event`]).
//!
//! One file a stage. Adding one is a file here, a file in the worker, and an entry in [`Stage`]: the command line, the
//! planner and the documentation walk [`Stage::ALL`], and the compiler finds what is missing.

mod augment;
mod config;
mod csv;
mod data_workers;
mod event;
mod executor;
mod fit;
mod job;
mod last_word;
mod lookup;
pub mod machine;
mod output;
mod parse;
mod path_text;
mod precision;
mod predict;
mod ranks;
mod resources;
mod search;
mod select;
mod split;
mod stage;
mod target;
mod test;
mod train;

pub use augment::{Augment, Crop};
pub use config::{
    CacheSection, Config, DataSection, DeviceChoice, ExifOrientation, GenerateSection, OnBadImage, SpaceChoice,
    published_resize,
};
pub use csv::csv_field;
pub use data_workers::DataWorkers;
pub use event::{Event, LIBTORCH_FILE, Level, Metrics};
pub use executor::{Executor, SlurmRequest, SlurmSection, SlurmStage};
pub use fit::Fit;
pub use job::{CONTRACT, CheckedSet, INTERRUPTED, ImageCheck, Input, Job, JobError, NO_MORE_JOBS, Stop};
pub use last_word::{LastWord, Submission, TurnState, detached};
pub use lookup::{LookupParams, LookupSection};
pub use output::{
    ArchitectureReport, BlockReport, ClassReport, ConfusedPair, Confusion, LookupCheck, LookupReport, PredictionsError,
    SearchEpoch, SearchResult, SearchResultError, SelectReport, Selected, SplitReport, StageOutput, TableOrigin,
    TestReport, TestTally, TestedImage, TrainEpoch, TrainReport, finite, probabilities,
};
pub use parse::{ParseParams, ParseSection};
pub use precision::Precision;
pub use predict::{PredictImage, PredictRequest, Prediction};
pub use ranks::{RankParams, Ranks};
pub use resources::{Resources, StageResources};
pub use search::{ArchitectureOptimizer, SearchParams, SearchSection, WeightOptimizer};
pub use select::{Recipe, SelectParams, SelectSection, is_published};
pub use split::{PublishedSplit, SplitParams, SplitSection};
pub use stage::{Environment, InputPort, START, Source, Stage, TEST_LIST};
pub use target::{Target, UnreachableTarget};
pub use test::{TestParams, TestSection, WeightsChoice};
pub use train::{Protocol, TrainParams, TrainSection};
