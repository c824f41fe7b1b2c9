//! The configuration of a pipeline: its top level, the sections that belong to no stage, and checks across sections.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tfnas::SpaceDefinition;

use crate::invalid_value::positive;
use crate::{
    DataWorkers, Executor, InvalidValue, LookupSection, ParseSection, Ranks, Resources, SearchSection, SelectSection,
    SlurmRequest, SlurmSection, SplitSection, Stage, TestSection, TrainSection,
};

/// The effective configuration of one pipeline: `pipeline.yaml` merged with `--set`, with defaults filled in.
///
/// The planner reads the file, keeps the source location of each value, and expands lists of values. This type holds one
/// pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The image data.
    pub data: DataSection,
    /// The search space: imagenet, cifar, small, the path of a .yaml file, or an inline definition. `{base: cifar,
    /// width_step: 8}` selects a named space and restricts its widths to multiples of 8.
    #[serde(default)]
    #[schemars(with = "serde_json::Value")]
    pub space: SpaceChoice,
    /// Device to compute on: cpu, cuda, cuda:N, or auto.
    #[serde(default)]
    #[schemars(with = "String")]
    pub device: DeviceChoice,
    /// Number of compute threads of each worker; 0 uses all cores.
    #[serde(default)]
    pub threads: usize,
    /// Seed for all random numbers.
    #[serde(default)]
    pub seed: u64,
    /// Time between resume points within an epoch, in seconds.
    #[serde(default = "resume_every_s")]
    pub resume_every_s: f64,
    /// Resources that concurrently running stages may use in total.
    #[serde(default)]
    pub resources: Resources,
    /// Distributed training.
    #[serde(default)]
    pub ranks: Ranks,
    /// Where workers run: local (on this machine), or slurm (as jobs of a Slurm cluster).
    #[serde(default)]
    pub executor: Executor,
    /// Resource requests for Slurm jobs.
    #[serde(default)]
    pub slurm: SlurmSection,
    /// Path of the ledger file, to keep it outside the store, for example if SQLite does not work well on the store's
    /// file system. Relative to the folder of the configuration file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PathBuf>,
    /// Sharing of results.
    #[serde(default)]
    pub cache: CacheSection,
    /// Stage `split`: divides the training images for the search.
    #[serde(default)]
    pub split: SplitSection,
    /// Stage `lookup`: measures or imports the latency table.
    #[serde(default)]
    pub lookup: LookupSection,
    /// Stage `search`: searches for an architecture with the target latency.
    #[serde(default)]
    pub search: SearchSection,
    /// Stage `select`: trains several architectures of the target latency for a few epochs each and chooses the best.
    #[serde(default)]
    pub select: SelectSection,
    /// Stage `parse`: derives one architecture from the search result.
    #[serde(default)]
    pub parse: ParseSection,
    /// Stage `train`: trains the architecture.
    #[serde(default)]
    pub train: TrainSection,
    /// Stage `test`: tests the trained network.
    #[serde(default)]
    pub test: TestSection,
}

/// `data:` in the configuration: the images and how to read them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSection {
    /// Folder that contains the images. Relative to the folder of the configuration file.
    pub root: PathBuf,
    /// Training images: a folder of class folders, or a list file, under `root`.
    #[serde(default = "train_folder")]
    pub train: PathBuf,
    /// Test images: a folder of class folders, or a list file, under `root`; null draws them from the training images
    /// (see `split.test_share`).
    #[serde(default = "test_folder")]
    pub test: Option<PathBuf>,
    /// Allow training and test images with identical content. Does not change any result.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub allow_overlap: bool,
    /// What to do about an image that cannot be read: error or skip.
    #[serde(default)]
    pub on_bad_image: OnBadImage,
    /// How to treat the EXIF orientation of photos: ignore (as the original implementation does), or apply.
    #[serde(default, skip_serializing_if = "ExifOrientation::is_ignore")]
    #[schemars(extend("default" = "ignore"))]
    pub exif_orientation: ExifOrientation,
    /// How training images are decoded, resized and augmented: exact (as Pillow and torchvision), or fast. Validation and test
    /// images are always decoded exactly.
    #[serde(default, skip_serializing_if = "Decoding::is_exact")]
    #[schemars(extend("default" = "exact"))]
    pub decode: Decoding,
    /// Where the color jitter of training images is computed: workers (the threads that decode them), or device.
    #[serde(default, skip_serializing_if = "ColorJitter::is_workers")]
    #[schemars(extend("default" = "workers"))]
    pub color_jitter: ColorJitter,
    /// Number of threads that decode and augment images in advance, or auto: all cores on a GPU, four threads on a CPU.
    /// Affects only speed.
    #[serde(default)]
    pub workers: DataWorkers,
    /// Length in pixels to which evaluation resizes the short side before the center crop. Default: 256/224 of the
    /// resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Write a generated image set to `root` on the first run.
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
    /// Default of `data.train`.
    pub const TRAIN: &str = "train";
    /// Default of `data.test`.
    pub const TEST: &str = "val";

    /// Largest value of `data.resize`, in pixels.
    pub const MAX_RESIZE: usize = 16_384;

    /// Returns the length of the short side after the evaluation resize, in pixels, for a center crop of `resolution` pixels.
    pub fn evaluation_resize(&self, resolution: usize) -> usize {
        self.resize.unwrap_or_else(|| published_resize(resolution))
    }
}

/// Returns the default length of the short side after the evaluation resize, in pixels: 256/224 of the crop `resolution`.
pub fn published_resize(resolution: usize) -> usize {
    (resolution * 256).div_ceil(224)
}

/// A generated image set with ten classes of shapes, textures and colors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSection {
    /// Side length of the square images, in pixels.
    pub size: usize,
    /// Training images per class.
    pub train_per_class: usize,
    /// Test images per class.
    pub test_per_class: usize,
    /// Seed for the image set, independent of the pipeline's `seed`.
    pub seed: u64,
}

impl Default for GenerateSection {
    fn default() -> Self {
        Self { size: 32, train_per_class: 200, test_per_class: 50, seed: 0 }
    }
}

/// `cache:` in the configuration: sharing of results through a remote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheSection {
    /// URL for `cache push` and `cache pull`: s3://bucket/path, gs://bucket/path, az://container/path or file:///path.
    /// Does not change any result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Path of a private key file; `cache push` signs uploaded results with it. Does not change any result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_key: Option<PathBuf>,
    /// Paths of public key files. Downloaded results are used only if they are signed with one of these keys. By default all
    /// downloaded results are used. Does not change any result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<Vec<PathBuf>>,
}

/// What to do about an image that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBadImage {
    /// Fail the stage with an error that names the image.
    #[default]
    Error,
    /// Skip the image and count it in the stage's report.
    Skip,
}

/// How to treat the orientation in the EXIF metadata of a photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExifOrientation {
    /// Use pixels as they are stored, as the original implementation does.
    #[default]
    Ignore,
    /// Rotate and mirror the image so that it is upright, like Pillow's `ImageOps.exif_transpose`.
    Apply,
}

impl ExifOrientation {
    /// Returns whether this is [`Self::Ignore`], which is omitted from the parameters of stages.
    pub fn is_ignore(&self) -> bool {
        *self == Self::Ignore
    }
}

/// How training images are decoded, resized and augmented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Decoding {
    /// The same bytes as Pillow and torchvision.
    #[default]
    Exact,
    /// The same crops from JPEG files that are decoded at a reduced size where the crop allows it, with faster and less exact
    /// arithmetic. Applies to `random_resized` crops.
    Fast,
}

impl Decoding {
    /// Returns whether this is [`Self::Exact`], which is omitted from the parameters of stages.
    pub fn is_exact(&self) -> bool {
        *self == Self::Exact
    }
}

/// Where the color jitter of training images is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColorJitter {
    /// In the data workers, on bytes as Pillow.
    #[default]
    Workers,
    /// On the device, in float32 without rounding to bytes. Leaves more of the CPU for decoding if the device is a GPU.
    Device,
}

impl ColorJitter {
    /// Returns whether this is [`Self::Workers`], which is omitted from the parameters of stages.
    pub fn is_workers(&self) -> bool {
        *self == Self::Workers
    }
}

/// A search space, by name or as a definition. The planner resolves file names before it creates this type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SpaceChoice {
    /// One of the built-in spaces of `tfnas`.
    Named(String),
    /// A custom definition.
    Own(Box<SpaceDefinition>),
}

impl Default for SpaceChoice {
    fn default() -> Self {
        Self::Named("imagenet".to_owned())
    }
}

/// The device to compute on: `cpu`, `cuda`, `cuda:N`, or `auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceChoice {
    /// The first CUDA device if there is one, otherwise the CPU.
    #[default]
    Auto,
    /// `cpu`.
    Cpu,
    /// `cuda:N`; `cuda` is `cuda:0`.
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

    /// Returns the JSON Schema of the configuration of one pipeline.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Returns the stages that this configuration runs, in an order that satisfies their dependencies.
    pub fn stages(&self) -> impl Iterator<Item = Stage> + '_ {
        Stage::ALL.iter().copied().filter(|stage| stage.is_enabled(self))
    }

    /// Checks the values that depend on the `resolution` of the search space, in pixels.
    ///
    /// # Errors
    /// Returns an error if images are resized to less than the resolution, which would add a black frame to them, or to more
    /// than [`DataSection::MAX_RESIZE`].
    pub fn validate_resolution(&self, resolution: usize) -> Result<(), InvalidValue> {
        let (resize, max) = (self.data.evaluation_resize(resolution), DataSection::MAX_RESIZE);
        let requirement = format!("be between {resolution} (the resolution of the space) and {max}");
        InvalidValue::unless((resolution..=max).contains(&resize), "data.resize", &requirement, resize)
    }

    /// Returns how many processes run a stage; 0 means that the machine that runs them decides.
    pub fn processes(&self, stage: Stage) -> usize {
        match self.executor {
            _ if !stage.runs_on_ranks(self) => 1,
            Executor::Local if stage == Stage::Select => self.select.parallel,
            Executor::Local => self.ranks.processes,
            Executor::Slurm => {
                let request = self.slurm_request(stage);
                request.nodes * request.ranks_per_node
            }
        }
    }

    /// Returns the resource request of a Slurm job for a stage.
    pub fn slurm_request(&self, stage: Stage) -> SlurmRequest {
        self.slurm.request(stage, stage.runs_on_ranks(self))
    }

    /// Checks that all processes that run a stage together get the same number of images of every batch. A configuration that
    /// fails this check is valid for other stages.
    ///
    /// # Errors
    /// Returns an error if the batch size is not a multiple of their number.
    pub fn validate_batch_shares(&self, stage: Stage) -> Result<(), InvalidValue> {
        let (key, batch) = match stage {
            Stage::Search => ("search.batch", self.search.batch),
            Stage::Train => ("train.batch", self.train.batch),
            _ => return Ok(()),
        };
        let processes = self.processes(stage);
        if processes <= 1 || batch.is_multiple_of(processes) {
            return Ok(());
        }
        let message = format!("must be a multiple of the number of processes ({processes}), not {batch}");
        Err(InvalidValue::new(key, message))
    }

    /// Checks the values that belong to no stage. Their types are already correct.
    ///
    /// # Errors
    /// Returns the first invalid value.
    pub fn validate_shared(&self) -> Result<(), InvalidValue> {
        positive("resume_every_s", self.resume_every_s)?;
        self.resources.validate().map_err(|invalid| invalid.within("resources"))?;
        self.ranks.validate().map_err(|invalid| invalid.within("ranks"))?;
        self.slurm.validate(self).map_err(|invalid| invalid.within("slurm"))?;
        match self.executor {
            Executor::Local => Ok(()),
            Executor::Slurm => self.validate_cluster(),
        }
    }

    /// Checks that no value depends on this machine, because the stages run on the nodes of a cluster.
    fn validate_cluster(&self) -> Result<(), InvalidValue> {
        let measures = |stage: &Stage| stage.key_facts(self).latency;
        if self.device == DeviceChoice::Auto {
            let message = "auto depends on this machine, but the stage runs on a cluster node; set it to cpu or cuda";
            return Err(InvalidValue::new("device", message).because_of("executor"));
        }
        if let Some(stage) = Stage::ALL.iter().find(|stage| self.threads == 0 && !measures(stage))
            && self.slurm_request(*stage).cores.is_none()
        {
            let message = "0 means all cores of this machine, but the stage runs on a cluster node; set a number, or set \
                           `slurm.cores`";
            return Err(InvalidValue::new("threads", message).because_of("executor"));
        }
        match self.stages().find(measures) {
            Some(stage) if self.slurm.device_model.is_none() => {
                let message = format!(
                    "must be set: {} measures a latency, which depends on the device model of the nodes; or do not \
                     measure: set `lookup.import` and `parse.measure: false`",
                    stage.name()
                );
                Err(InvalidValue::new("slurm.device_model", message).because_of("executor"))
            }
            _ => Ok(()),
        }
    }

    /// Checks the values of a stage's section. Their types are already correct.
    ///
    /// # Errors
    /// Returns the first invalid value.
    pub fn validate(&self, stage: Stage) -> Result<(), InvalidValue> {
        stage.spec().validate(self).map_err(|invalid| invalid.within(stage.name()))
    }
}
