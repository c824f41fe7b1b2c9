//! The parsed files of a publication, from which the card, the Statement and the audit are made.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use tfnas::{LatencyTable, ModelConfig, Space};
use tfnas_artifacts::FolderManifest;
use tfnas_images::ImageList;
use tfnas_stages::{
    ArchitectureReport, Config, SearchEpoch, SpaceChoice, Stage, StageOutput, TestReport, TrainReport, WeightsChoice,
    finite,
};

use crate::lists::{ALL, folder_name};
use crate::{Card, Data, ImageLists, Images, Measured, NamedList, StageRecord, names, parse_canonical};

/// The parsed files of a publication, except the weights.
pub struct Contents {
    /// The record of each stage.
    pub records: BTreeMap<Stage, StageRecord>,
    /// The configuration of the run.
    pub config: Config,
    /// The search space.
    pub space: Space,
    /// The contents of `data.json`.
    pub data: Data,
    /// The image lists and the digests of their images.
    pub lists: ImageLists,
    /// The network.
    pub network: ModelConfig,
    /// The description of the network.
    pub architecture: ArchitectureReport,
    /// The latency table.
    pub table: LatencyTable,
    /// The latency of the network.
    pub measured: Measured,
    /// The results of the test.
    pub test: TestReport,
    /// The results of the training.
    pub train: TrainReport,
    /// The epochs of the search.
    pub history: Vec<SearchEpoch>,
}

/// Returns the contents of a file of a publication, or an error message.
pub type Reader<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

impl Contents {
    /// Reads and parses the files.
    ///
    /// # Errors
    /// Returns a message with the name of the first file that cannot be read or parsed.
    pub fn read(reader: Reader<'_>) -> Result<Self, String> {
        let config: Config = exact(reader, names::CONFIGURATION)?;
        let records = config
            .stages()
            .map(|stage| Ok((stage, exact(reader, &names::record(stage))?)))
            .collect::<Result<_, String>>()?;
        let data: Data = exact(reader, names::DATA)?;
        let space = match &config.space {
            SpaceChoice::Named(name) => Space::by_name(name),
            SpaceChoice::Own(definition) => Space::new((**definition).clone()).ok(),
        };
        let network = text(reader, names::CONFIG)?;
        let table = text(reader, names::TABLE)?;
        Ok(Self {
            records,
            space: space.ok_or_else(|| format!("{}: its space is not valid", names::CONFIGURATION))?,
            lists: lists(reader, &data)?,
            network: ModelConfig::parse(&network).map_err(|error| format!("{}: {error}", names::CONFIG))?,
            architecture: output(reader, names::ARCHITECTURE)?,
            table: LatencyTable::parse(&table).map_err(|error| format!("{}: {error}", names::TABLE))?,
            measured: exact(reader, names::MEASURED)?,
            test: tested(reader)?,
            train: output(reader, names::TRAIN)?,
            history: output(reader, names::HISTORY)?,
            config,
            data,
        })
    }

    /// Returns the file name of the weights that were tested.
    pub fn weights(&self) -> &'static str {
        weights(&self.config.test.weights)
    }

    /// Returns the record of a stage.
    pub fn record(&self, stage: Stage) -> &StageRecord {
        self.records.get(&stage).expect("there is one of each stage that the configuration runs")
    }

    /// Generates the model card.
    pub fn card(&self, name: &str, license: Option<&str>) -> String {
        let trained = self.record(Stage::Train);
        let tested = self.record(Stage::Test);
        let weights = self.weights();
        Card {
            name,
            license,
            architecture: &self.architecture,
            measured: &self.measured,
            table: &self.table.header().name,
            test: &self.test,
            train: &self.train,
            weights: weights.strip_suffix(".safetensors").unwrap_or(weights),
            test_precision: self.config.test.precision,
            data: &self.data,
            exif_orientation: self.config.data.exif_orientation,
            drawn: self.config.split.test_share.map(|share| (share, self.config.seed)),
            search_epochs: self.history.len(),
            entropy: self.history.last().map_or(1.0, |epoch| epoch.operation_entropy),
            tool: &tested.tool,
            source_revision: trained.source_revision.as_deref(),
            libtorch: trained.fact("libtorch"),
        }
        .text()
    }
}

/// Returns the output of the training that a test reads.
pub fn weights(choice: &WeightsChoice) -> &'static str {
    match choice {
        WeightsChoice::Last => "last.safetensors",
        WeightsChoice::Best | WeightsChoice::File(_) => "best.safetensors",
    }
}

/// Reads the image lists and the digests of their images.
///
/// # Errors
/// See [`Contents::read`].
pub fn lists(reader: Reader<'_>, data: &Data) -> Result<ImageLists, String> {
    let list = |name: &'static str| {
        let file = format!("lists/{name}");
        let list = ImageList::parse(&text(reader, &file)?, &file).map_err(|error| error.to_string())?;
        Ok::<_, String>(NamedList { name, list })
    };
    let manifest = |name: &str| FolderManifest::parse(&text(reader, name)?).map_err(|error| format!("{name}: {error}"));
    let folder = |images: &Images| {
        let name = (!images.is_list).then(|| folder_name(std::path::Path::new(&images.name)));
        // If the class folders are directly under the root, paths are relative to the root, as in a list.
        name.filter(|name| !name.is_empty())
    };
    Ok(ImageLists {
        train: vec![list("train.list")?, list("val.list")?, list(ALL)?],
        test: list("test.list")?,
        train_images: manifest(names::TRAIN_IMAGES)?,
        test_images: manifest(names::TEST_IMAGES)?,
        train_folder: folder(&data.train),
        test_folder: folder(&data.test),
    })
}

fn text(reader: Reader<'_>, name: &str) -> Result<String, String> {
    String::from_utf8(reader(name)?).map_err(|_| format!("{name}: it is not UTF-8 text"))
}

/// Parses a file in the canonical format.
fn exact<T: DeserializeOwned + serde::Serialize>(reader: Reader<'_>, name: &str) -> Result<T, String> {
    parse_canonical(&reader(name)?).map_err(|error| format!("{name}: {error}"))
}

/// Parses an output of a stage.
fn output<O: StageOutput>(reader: Reader<'_>, name: &str) -> Result<O, String> {
    O::from_json(&reader(name)?).map_err(|error| format!("{name}: {error}"))
}

/// Parses the results of the test. Its numbers must be finite because they are written to the card.
fn tested(reader: Reader<'_>) -> Result<TestReport, String> {
    let test: TestReport = output(reader, names::TEST)?;
    match [("top1", test.top1), ("top5", test.top5), ("loss", test.loss)]
        .iter()
        .find(|(_, value)| finite(*value).is_none())
    {
        Some((name, _)) => Err(format!("{}: its {name} is not finite", names::TEST)),
        None => Ok(test),
    }
}
