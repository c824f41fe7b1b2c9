use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use tfnas::ModelConfig;
use tfnas_artifacts::{Attempt, Digest};
use tfnas_fs::read_text_limited;
use tfnas_images::parse_classes;
use tfnas_onnx::State;
use tfnas_planner::network_file::{ConfigFile, WeightsBytes};
use tfnas_planner::plan::{InputSource, select};
use tfnas_pytorch_files::checkpoint::{WeightsFormat, to_safetensors};
use tfnas_stages::{DataSection, ExifOrientation, Stage, published_resize};

use crate::error::CommandError;
use crate::options::Options;
use crate::session::{Session, Setup};

/// Maximum size of a file with classes.
const MAX_CLASSES_BYTES: u64 = 16 << 20;

/// The command that needs a network.
#[derive(Clone, Copy, Debug)]
pub enum Purpose {
    Export,
    Predict,
}

/// The files of a network and the preprocessing of its images, before they are read.
pub struct Named {
    config: PathBuf,
    weights: PathBuf,
    /// Key of the weights in their file.
    weights_key: Option<String>,
    classes: Option<PathBuf>,
    resolution: usize,
    resize: usize,
    exif_orientation: ExifOrientation,
}

/// A network that was read and validated.
pub struct Network {
    pub config: ModelConfig,
    pub config_file: PathBuf,
    /// Digest of `config_file`.
    pub config_digest: Digest,
    /// The weights.
    pub state: State,
    pub weights_file: PathBuf,
    /// Digest of `weights_file`.
    pub weights_digest: Digest,
    /// The weights as a safetensors file with the names and data types of the network, if their own file is different.
    pub converted: Option<Vec<u8>>,
    /// The names of the classes in the order of the outputs, if known. The last outputs may have no names.
    pub classes: Option<Vec<String>>,
    /// Side of the input images in pixels.
    pub resolution: usize,
    /// The length in pixels to which the shorter side is resized before the crop.
    pub resize: usize,
    /// Whether the EXIF orientation of photos is applied.
    pub exif_orientation: ExifOrientation,
}

impl Named {
    /// Creates a network from files.
    ///
    /// # Errors
    /// Returns an error if images would be resized to less than the resolution, or to more than a configuration allows.
    pub fn from_files(
        config: &Path,
        weights: (&Path, Option<&str>),
        classes: Option<&Path>,
        resolution: usize,
        resize: Option<usize>,
    ) -> Result<Self, CommandError> {
        let (resize, max) = (resize.unwrap_or_else(|| published_resize(resolution)), DataSection::MAX_RESIZE);
        if !(resolution..=max).contains(&resize) {
            return Err(CommandError::usage(format!(
                "--resize must be between {resolution} (the resolution) and {max}, not {resize}"
            ))
            .with_hint("--resolution sets the resolution of the network"));
        }
        Ok(Self {
            config: config.to_owned(),
            weights: weights.0.to_owned(),
            weights_key: weights.1.map(str::to_owned),
            classes: classes.map(Path::to_owned),
            resolution,
            resize,
            exif_orientation: ExifOrientation::default(),
        })
    }

    /// Returns the trained network of the current configuration. `stage` selects one if the configuration has several.
    pub fn configured(options: &Options, stage: Option<&str>, purpose: Purpose) -> Result<Self, CommandError> {
        let setup = Setup::new(options)?;
        let test = the_one_test(&setup, stage, purpose)?;
        let mut session = setup.read()?;
        session.identify(&BTreeSet::from([test]))?;
        let planner = session.planner();
        let plan = planner.plan(&BTreeSet::from([test]), &BTreeSet::new())?;
        let results = plan.steps.into_iter().filter_map(|step| Some((step.instance, step.hit?))).collect();
        let variant = planner.variant(test);
        let input = |port: &str| input(&session, test, port, &results);
        let resolution = variant.space.definition().resolution;
        let weights = input(variant.config.test.weights.port().name)?;
        Ok(Self {
            config: input("model.config")?,
            weights,
            weights_key: variant.config.test.weights_key.clone(),
            classes: Some(input(variant.config.train.protocol.classes())?),
            resolution,
            resize: variant.config.data.evaluation_resize(resolution),
            exif_orientation: variant.config.data.exif_orientation,
        })
    }

    pub fn read(self) -> Result<Network, CommandError> {
        let ConfigFile { config, digest: config_digest } = ConfigFile::read(&self.config)?;
        let weights_bytes = WeightsBytes::read(&self.weights)?;
        let fitted = weights_bytes.parse_for(&config, self.weights_key.as_deref());
        let (weights, conversions) = fitted.map_err(|error| {
            CommandError::from(error).with_hint(format!("the network is that of {}", self.config.display()))
        })?;
        weights_bytes.tell(&weights, &conversions);
        let state = State::of(&config, &weights.state_dict).map_err(in_file(&self.weights))?;
        let as_in_file = weights.format == WeightsFormat::Safetensors
            && weights.state_dict.prefix.is_empty()
            && weights.state_dict.key.is_empty()
            && conversions.in_words().is_none();
        let converted = (!as_in_file).then(|| to_safetensors(&weights.state_dict.tensors)).transpose();
        let classes = self.classes.as_deref().map(|path| names(path, config.classifier.out_features)).transpose()?;
        Ok(Network {
            state,
            config_digest,
            weights_digest: weights_bytes.digest(),
            converted: converted.map_err(in_file(&self.weights))?,
            config,
            config_file: self.config,
            weights_file: self.weights,
            classes,
            resolution: self.resolution,
            resize: self.resize,
            exif_orientation: self.exif_orientation,
        })
    }
}

/// Returns the instance of `test` that is meant. Its inputs are what is exported.
fn the_one_test(setup: &Setup, stage: Option<&str>, purpose: Purpose) -> Result<usize, CommandError> {
    let graph = &setup.graph;
    let chosen = select(graph, &[stage.unwrap_or("all").to_owned()])?;
    let tests: Vec<usize> = (0..graph.instances.len())
        .filter(|&position| graph.instances[position].stage == Stage::Test)
        .filter(|&position| !graph.closure([position]).is_disjoint(&chosen))
        .collect();
    match tests[..] {
        [test] => Ok(test),
        _ => {
            let ids: Vec<&str> = tests.iter().map(|&position| graph.instances[position].id.as_str()).collect();
            let hint = match purpose {
                Purpose::Export => format!("name one before the file: {}", ids.join(", ")),
                Purpose::Predict => format!("choose one with --stage: {}", ids.join(", ")),
            };
            Err(CommandError::usage(format!("the configuration has {} networks", tests.len())).with_hint(hint))
        }
    }
}

/// Returns the path of the file that an instance reads at a port.
fn input(
    session: &Session,
    instance: usize,
    port: &str,
    results: &BTreeMap<usize, Attempt>,
) -> Result<PathBuf, CommandError> {
    let graph = &session.graph;
    let input = graph.instances[instance].inputs.iter().find(|input| input.port == port);
    match &input.expect("the ports are those of the stage").source {
        InputSource::External(external) => Ok(external.path().to_owned()),
        InputSource::Instance(upstream, output) => {
            let digest = results.get(upstream).and_then(|result| result.output(output)).map(|output| output.digest);
            let id = &graph.instances[*upstream].id;
            let digest = digest.ok_or_else(|| {
                CommandError::usage(format!("{id} has no result yet")).with_hint(format!("`run {id}` first"))
            })?;
            Ok(session.cache.store().open_verified(&digest)?)
        }
    }
}

/// Reads the names of the classes. There may be fewer names than outputs.
fn names(path: &Path, outputs: usize) -> Result<Vec<String>, CommandError> {
    let text = read_text_limited(path, MAX_CLASSES_BYTES).map_err(in_file(path))?;
    let names = parse_classes(&text, &path.display().to_string());
    let names = names.map_err(|error| CommandError::usage(error.to_string()))?;
    if names.len() > outputs {
        return Err(in_file(path)(format!("{} classes, and the network has {outputs} outputs", names.len())));
    }
    if names.len() < outputs {
        tracing::warn!("{}: {} classes: the other of the {outputs} outputs have no name", path.display(), names.len());
    }
    Ok(names)
}

/// Creates an error about a file.
fn in_file<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> CommandError {
    let path = path.display().to_string();
    move |error| CommandError::usage(format!("{path}: {error}"))
}
