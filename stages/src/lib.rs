//! The stages of the pipeline without their computation: configuration sections, parameters, inputs, outputs and revisions,
//! and the protocol between planner and worker ([`Job`], [`Event`], [`Request`]).
//!
//! Each stage has one file in `stage/`. A new stage needs a file here, a file in the worker, and an entry in [`Stage`]. The
//! command line, the planner and the documentation iterate over [`Stage::ALL`], and the compiler reports missing parts.

mod augment;
mod config;
mod csv;
mod data_workers;
mod epoch_metrics;
mod event;
mod executor;
mod fit;
mod invalid_value;
mod job;
pub mod machine;
mod output;
mod path_text;
mod precision;
mod probability_metrics;
mod profile;
mod ranks;
mod request;
mod resources;
mod stage;
mod target;
mod verify;
mod work;
mod worker_status;

pub use augment::{Augment, Crop};
pub use config::{
    CacheSection, ColorJitter, Config, DataSection, Decoding, DeviceChoice, ExifOrientation, GenerateSection,
    OnBadImage, SpaceChoice, published_resize,
};
pub use csv::csv_field;
pub use data_workers::DataWorkers;
pub use epoch_metrics::{PREDICTED_LAT_MS, TARGET_LAT_MS, candidate_metric, candidate_metrics, split_candidate_metric};
pub use event::{Event, LIBTORCH_FILE, Level, Metrics};
pub use executor::{Executor, SlurmRequest, SlurmSection, SlurmStage};
pub use fit::Fit;
pub use invalid_value::InvalidValue;
pub use job::{
    CheckedSet, INTERRUPTED, ImageCheck, Input, Job, JobError, NO_MORE_JOBS, PROTOCOL_VERSION, WorkerCommand,
};
pub use output::{
    ArchitectureReport, BlockReport, ClassReport, ConfusedPair, Confusion, LookupCheck, LookupReport, PredictionsError,
    SearchEpoch, SearchResult, SearchResultError, SelectReport, Selected, SplitReport, StageOutput, TableOrigin,
    TestReport, TestTally, TestedImage, TrainEpoch, TrainReport, finite, probabilities,
};
pub use precision::Precision;
pub use probability_metrics::{ProbabilityMetrics, split_probability_metric};
pub use profile::{OperationProfile, Profile, RecordedSteps, StepProfile};
pub use ranks::{RankParams, Ranks};
pub use request::{
    CheckTableRequest, LatencyReply, LatencyRequest, PredictImage, PredictRequest, Prediction, Request,
    TorchScriptRequest,
};
pub use resources::{Resources, StageResources};
pub use stage::{
    ArchitectureOptimizer, InputPort, KeyFacts, LookupParams, LookupSection, ParseParams, ParseSection, Protocol,
    PublishedSplit, Recipe, SearchParams, SearchSection, SelectParams, SelectSection, Source, SplitParams,
    SplitSection, Stage, StageSpec, TEST_LIST, TestParams, TestSection, TrainParams, TrainSection, WARM_START,
    WeightOptimizer, WeightsChoice, is_published,
};
pub use target::{Target, UnreachableTarget};
pub use verify::Verify;
pub use work::{ImageCounts, PerImage, Speed, Work};
pub use worker_status::{Submission, WorkerState, WorkerStatus, detached};
