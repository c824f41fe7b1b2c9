//! Collects everything that is published about a network from the store, the ledger and the image lists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tfnas_artifacts::{Attempt, Cache, Digest, Outcome};
use tfnas_planner::config::Configuration;
use tfnas_stages::{Protocol, Stage, TEST_LIST};

use crate::PublicationError;
use crate::publish::choose::Chosen;
use crate::publish::images::{Found, Which, find};
use crate::{
    Contents, Data, ListDigest, StageRecord, TestImageUses, canonical, configuration, lists, measured, names, weights,
};

/// The contents of a file of the publication.
pub enum Source {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A verified artifact of the store.
    Artifact {
        /// Path of the artifact.
        path: PathBuf,
        /// Digest of the artifact.
        digest: Digest,
    },
}

/// All files that do not depend on other files, and their parsed contents.
pub struct Gathered {
    /// The files by name.
    pub files: BTreeMap<String, Source>,
    /// The parsed contents.
    pub contents: Contents,
}

/// Collects the files of a publication.
///
/// * `present`: the current configuration, which specifies where the images are.
///
/// # Errors
/// Returns an error if artifacts are missing or damaged, if the images are not those of the run, or if a report cannot
/// be parsed by this version.
pub fn gather(cache: &Cache, chosen: &Chosen, present: &Configuration) -> Result<Gathered, PublicationError> {
    let data = &present.shared().config.data;
    let records = records(chosen);
    let config = configuration(&records, data).map_err(|error| unreadable(chosen, &error))?;
    let weights = weights(&config.test.weights);
    let mut files = artifacts(cache, chosen, weights)?;
    for (stage, record) in &records {
        files.insert(names::record(*stage), Source::Bytes(canonical(record).into_bytes()));
    }
    files.insert(names::CONFIGURATION.to_owned(), Source::Bytes(canonical(&config).into_bytes()));
    files.insert(names::MEASURED.to_owned(), Source::Bytes(canonical(&measured(&records[&Stage::Parse])).into_bytes()));

    let memos = Some(cache.store().folder_memos()).filter(|memos| memos.is_dir());
    let found = |which, stage: Stage, port: &str| {
        let wanted = records[&stage].input(port).ok_or_else(|| unreadable(chosen, port))?;
        find(present, data, which, wanted, memos.as_deref())
    };
    let train = found(Which::Train, Stage::Split, "train_images")?;
    let other = if config.draws_test() { None } else { Some(found(Which::Test, Stage::Test, "test_images")?) };
    if let Some(test) = &other {
        let classes = read(&files, &format!("lists/{}", config.train.protocol.classes()));
        let classes = String::from_utf8(classes.map_err(PublicationError::usage)?).unwrap_or_default();
        files.insert(names::TEST_LIST.to_owned(), Source::Bytes(test.list(&classes)?));
    }
    // Drawn test images are part of the training images, and their list is an output of the split.
    let test = other.as_ref().unwrap_or(&train);
    for (name, found) in [(names::TRAIN_IMAGES, &train), (names::TEST_IMAGES, test)] {
        files.insert(name.to_owned(), Source::Bytes(found.manifest.to_text().into_bytes()));
    }
    let described = described(cache, chosen, &files, &train, test, config.train.protocol)?;
    files.insert(names::DATA.to_owned(), Source::Bytes(canonical(&described).into_bytes()));
    let contents = Contents::read(&|name| read(&files, name)).map_err(|error| unreadable(chosen, &error))?;
    Ok(Gathered { files, contents })
}

fn unreadable(chosen: &Chosen, error: &str) -> PublicationError {
    PublicationError::usage(format!("run {} cannot be published: {error}", chosen.run))
        .with_hint("publish with the version that executed the run, or run again with this version")
}

fn records(chosen: &Chosen) -> BTreeMap<Stage, StageRecord> {
    let record = |(stage, attempt): (&Stage, &Attempt)| {
        let inputs = chosen.inputs.get(stage).cloned().unwrap_or_default();
        Some((*stage, StageRecord::new(*stage, attempt, inputs)?))
    };
    chosen.attempts.iter().filter_map(record).collect()
}

/// Verifies the outputs of all stages, including those that are not published.
fn artifacts(cache: &Cache, chosen: &Chosen, weights: &str) -> Result<BTreeMap<String, Source>, PublicationError> {
    let mut files = BTreeMap::new();
    for (stage, attempt) in &chosen.attempts {
        for output in &attempt.outputs {
            let path = cache.store().open_verified(&output.digest).map_err(|error| {
                PublicationError::failed(format!("{} of {}: {error}", output.name, attempt.instance))
                    .with_hint(format!("`run {}` recreates it", attempt.instance))
            })?;
            if let Some(name) = stage.spec().published_file(&output.name, weights) {
                files.insert(name, Source::Artifact { path, digest: output.digest });
            }
        }
    }
    Ok(files)
}

/// Returns the contents of a file.
fn read(files: &BTreeMap<String, Source>, name: &str) -> Result<Vec<u8>, String> {
    match files.get(name) {
        None => Err(format!("{name}: it is missing")),
        Some(Source::Bytes(bytes)) => Ok(bytes.clone()),
        Some(Source::Artifact { path, digest }) => {
            let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
            if Digest::of_bytes(&bytes) == *digest {
                Ok(bytes)
            } else {
                Err(format!("{name}: it changed while it was read"))
            }
        }
    }
}

fn described(
    cache: &Cache,
    chosen: &Chosen,
    files: &BTreeMap<String, Source>,
    train: &Found,
    test: &Found,
    protocol: Protocol,
) -> Result<Data, PublicationError> {
    let wrong = |error: String| unreadable(chosen, &error);
    let mut data = Data {
        train: train.images.clone(),
        test: test.images.clone(),
        lists: Vec::new(),
        overlaps: Vec::new(),
        test_images_looked_at: looks(cache, chosen, protocol)?,
    };
    let reader = |name: &str| read(files, name);
    let lists = lists(&reader, &data).map_err(wrong)?;
    for named in lists.train.iter().chain([&lists.test]) {
        let file = format!("lists/{}", named.name);
        let blake3 = Digest::of_bytes(&reader(&file).map_err(wrong)?);
        data.lists.push(ListDigest { file, images: named.list.len() as u64, blake3 });
    }
    data.overlaps = lists.overlaps().map_err(wrong)?;
    Ok(data)
}

/// Counts how often the test images were used until the end of this run's test. Later uses cannot have affected it.
fn looks(cache: &Cache, chosen: &Chosen, protocol: Protocol) -> Result<TestImageUses, PublicationError> {
    let test = &chosen.attempts[&Stage::Test];
    let port = |port: &str| test.inputs.iter().find(|input| input.port == port);
    let read = port("test_images").or_else(|| port(TEST_LIST)).ok_or_else(|| unreadable(chosen, "test_images"))?;
    let images = read.digest;
    let readers = cache.ledger().users(&images)?;
    let count = |stage: Stage| {
        let of_stage = readers.iter().filter(|attempt| attempt.stage == stage.name());
        let until = of_stage.filter(|attempt| {
            let reads = attempt.inputs.iter().any(|input| input.port == read.port && input.digest == images);
            reads && attempt.outcome == Some(Outcome::Done) && attempt.ended_ms <= test.ended_ms
        });
        until.count() as u64
    };
    let epochs = epochs(&chosen.attempts[&Stage::Train]);
    Ok(TestImageUses {
        training_epochs: TestImageUses::training_epochs(protocol, epochs),
        tests: 1,
        store_trainings: count(Stage::Train),
        store_tests: count(Stage::Test),
    })
}

fn epochs(train: &Attempt) -> u64 {
    let epochs = train.manifest.parameter_values().get("train.epochs");
    epochs.and_then(|epochs| epochs.to_json().as_u64()).unwrap_or(0)
}
