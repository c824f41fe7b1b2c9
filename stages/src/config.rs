use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::{
    DataWorkers, Executor, LookupSection, ParseSection, Ranks, Resources, SearchSection, SelectSection, SlurmSection,
    SplitSection, Stage, TestSection, TrainSection,
};

/// The effective configuration of one pipeline: what `pipeline.yaml` and `--set` say, defaults filled in.
///
/// Reading the file, its places (file, line, key) and a matrix of targets are the planner's; here a value stands for
/// one pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the images are.
    pub data: DataSection,
    /// The search space: imagenet, cifar, small, a file that ends in .yaml, or the space itself. `{base: cifar, width_step:
    /// 8}` is a named space whose widths are multiples of 8.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    pub space: SpaceChoice,
    /// What computes: cpu, cuda, cuda:N, or auto.
    #[serde(default)]
    #[schemars(with = "String")]
    pub device: DeviceChoice,
    /// Threads that one worker computes with; 0 takes all cores.
    #[serde(default)]
    pub threads: usize,
    /// Seed of every random number.
    #[serde(default)]
    pub seed: u64,
    /// Seconds between resume points inside an epoch.
    #[serde(default = "resume_every_s")]
    pub resume_every_s: f64,
    /// What stages that run side by side may use together.
    #[serde(default)]
    pub resources: Resources,
    /// Processes that train together.
    #[serde(default)]
    pub ranks: Ranks,
    /// Who starts workers: local (this machine), or slurm (the queue of a cluster).
    #[serde(default)]
    pub executor: Executor,
    /// What is asked of the cluster.
    #[serde(default)]
    pub slurm: SlurmSection,
    /// The file of the ledger, where that is not in the store: on a file system that SQLite works better on. Relative
    /// to the configuration's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PathBuf>,
    /// Where results are shared.
    #[serde(default)]
    pub cache: CacheSection,
    /// Dividing the training images for the search.
    #[serde(default)]
    pub split: SplitSection,
    /// The latency table.
    #[serde(default)]
    pub lookup: LookupSection,
    /// The search.
    #[serde(default)]
    pub search: SearchSection,
    /// Choosing among architectures of the target latency by short trainings.
    #[serde(default)]
    pub select: SelectSection,
    /// From the search's result to one architecture.
    #[serde(default)]
    pub parse: ParseSection,
    /// Training the architecture found.
    #[serde(default)]
    pub train: TrainSection,
    /// Testing it.
    #[serde(default)]
    pub test: TestSection,
}

/// Where the images are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// The folder that holds them; relative to the configuration's own folder.
    pub root: PathBuf,
    /// Training images: a folder of class folders, or a list file, under `root`.
    #[serde(default = "train_folder")]
    pub train: PathBuf,
    /// Test images: a folder of class folders, or a list file, under `root`; null to draw them from the training images
    /// (`split.test_share`).
    #[serde(default = "test_folder")]
    pub test: Option<PathBuf>,
    /// Runs although training and test images have the same content. Changes no result.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_overlap: bool,
    /// What an image that cannot be read does.
    #[serde(default)]
    pub on_bad_image: OnBadImage,
    /// What is done about the orientation that the metadata of photos state: ignore, as the original does, or apply.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    pub exif_orientation: ExifOrientation,
    /// Threads that decode and augment images ahead, or auto: all cores for a GPU, four threads where the CPU computes.
    /// Changes speed alone.
    #[serde(default)]
    pub workers: DataWorkers,
    /// Short side to which evaluation resizes before the centre crop, in pixels; left out, 256/224 of the resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Writes a generated image set to `root` at the first run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<GenerateSection>,
}

fn resume_every_s() -> f64 {
    60.0
}

fn train_folder() -> PathBuf {
    DataSection::TRAIN.into()
}

fn test_folder() -> Option<PathBuf> {
    Some(DataSection::TEST.into())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl DataSection {
    /// The folder of training images under the root, where none is named.
    pub const TRAIN: &str = "train";
    /// The folder of test images under the root, where none is named.
    pub const TEST: &str = "val";

    /// Returns the short side that evaluation resizes to, in pixels, for images cropped to `resolution`.
    pub fn evaluation_resize(&self, resolution: usize) -> usize {
        self.resize.unwrap_or_else(|| published_resize(resolution))
    }
}

/// Returns the short side that evaluation resizes to where nothing else is said: to a crop's side as 256 to 224.
pub fn published_resize(resolution: usize) -> usize {
    (resolution * 256).div_ceil(224)
}

/// The generated image set: ten classes of shapes, textures and colours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSection {
    /// Side of the square images, in pixels.
    pub size: usize,
    /// Training images a class.
    pub train_per_class: usize,
    /// Test images a class.
    pub test_per_class: usize,
    /// Seed of the set, apart from the pipeline's.
    pub seed: u64,
}

impl Default for GenerateSection {
    fn default() -> Self {
        Self { size: 32, train_per_class: 200, test_per_class: 50, seed: 0 }
    }
}

/// Where results are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// The address that `cache push` and `cache pull` use: s3://bucket/path, gs://bucket/path, az://container/path or
    /// file:///path. Changes no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// The file of a private key, which signs what `cache push` sends. Changes no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_key: Option<PathBuf>,
    /// The files of public keys: of results from elsewhere, only those that one of them has signed are used. Without it all
    /// are. Changes no result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Vec<PathBuf>>,
}

/// What an image that cannot be read does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBadImage {
    /// It ends the stage, named.
    #[default]
    Error,
    /// It is left out, and counted in the report.
    Skip,
}

/// What is done about the orientation that the metadata (EXIF) of a photo state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExifOrientation {
    /// Nothing: pixels are taken as they are stored, as in the original.
    #[default]
    Ignore,
    /// Photos are turned and mirrored so that they are upright, as Pillow's `ImageOps.exif_transpose` does.
    Apply,
}

impl ExifOrientation {
    /// Returns whether nothing is done; parameters then do not mention it.
    pub fn is_ignore(&self) -> bool {
        *self == Self::Ignore
    }
}

/// A space by name, or the space itself. (A file's name is resolved by the planner before this type is made.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SpaceChoice {
    /// One of the spaces that `tfnas` knows.
    Named(String),
    /// A user's own.
    Own(Box<SpaceDefinition>),
}

impl Default for SpaceChoice {
    fn default() -> Self {
        Self::Named("imagenet".to_owned())
    }
}

/// What computes: `cpu`, `cuda`, `cuda:N`, or `auto` (the first CUDA device where there is one, else the CPU).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device where there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// One CUDA device.
    Cuda(usize),
}

impl TryFrom<String> for DeviceChoice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("unknown device `{other}`: expected cpu, cuda, cuda:N or auto")),
        }
    }
}

impl From<DeviceChoice> for String {
    fn from(device: DeviceChoice) -> Self {
        match device {
            DeviceChoice::Auto => "auto".to_owned(),
            DeviceChoice::Cpu => "cpu".to_owned(),
            DeviceChoice::Cuda(index) => format!("cuda:{index}"),
        }
    }
}

impl Config {
    /// Returns whether the test images are drawn from the training images.
    pub fn draws_test(&self) -> bool {
        self.split.test_share.is_some()
    }

    /// Returns the JSON Schema of one pipeline's configuration, as JSON.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Returns the stages that this configuration runs, in an order in which they can.
    pub fn stages(&self) -> impl Iterator<Item = Stage> + '_ {
        Stage::ALL.iter().copied().filter(|stage| stage.is_enabled(self))
    }

    /// Returns how many processes do a stage together; 0 where that is for the machine that runs them to say.
    pub fn processes(&self, stage: Stage) -> usize {
        match self.executor {
            _ if !stage.runs_on_ranks() => 1,
            Executor::Local if stage == Stage::Select => self.select.parallel,
            Executor::Local => self.ranks.processes,
            Executor::Slurm => {
                let request = self.slurm.request(stage);
                request.nodes * request.ranks_per_node
            }
        }
    }

    /// Returns what is wrong with values that belong to no stage, as (dotted key, message); types are already right.
    pub fn shared_problem(&self) -> Option<(String, String)> {
        if !(self.resume_every_s > 0.0 && self.resume_every_s.is_finite()) {
            let message = format!("must be above 0, not {}", self.resume_every_s);
            return Some(("resume_every_s".to_owned(), message));
        }
        let resources = self.resources.problem().map(|(key, message)| (format!("resources.{key}"), message));
        let ranks = || self.ranks.problem().map(|(key, message)| (format!("ranks.{key}"), message));
        resources.or_else(ranks).or_else(|| self.cluster_problem())
    }

    /// Returns what is wrong with what is said of the cluster.
    fn cluster_problem(&self) -> Option<(String, String)> {
        if let Some((key, message)) = self.slurm.problem() {
            return Some((format!("slurm.{key}"), message));
        }
        if self.executor == Executor::Local {
            return None;
        }
        let measures = |stage: &Stage| stage.key_facts(self).latency;
        if self.device == DeviceChoice::Auto {
            let message = "auto is what this machine has, and a node of the cluster computes: write cpu or cuda";
            return Some(("device".to_owned(), message.to_owned()));
        }
        if let Some(stage) = Stage::ALL.iter().find(|stage| self.threads == 0 && !measures(stage))
            && self.slurm.request(*stage).cores.is_none()
        {
            let message = "0 takes all cores of this machine, and a node of the cluster computes: write how many, or \
                           `slurm.cores`";
            return Some(("threads".to_owned(), message.to_owned()));
        }
        let measuring = self.stages().find(measures)?;
        self.slurm.device_model.is_none().then(|| {
            let message = format!(
                "is needed: {} measures a latency, which belongs to the model of the nodes' device (or leave that out, \
                 with `lookup.import` and `parse.measure: false`)",
                measuring.name()
            );
            ("slurm.device_model".to_owned(), message)
        })
    }

    /// Returns what is wrong with the values of `stage`'s section, as (dotted key, message); types are already right.
    pub fn problem(&self, stage: Stage) -> Option<(String, String)> {
        let found = stage.spec().problem(self);
        found.map(|(key, message)| (format!("{}.{key}", stage.name()), message))
    }
}
