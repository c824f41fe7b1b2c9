//! L2: checks that the lineage is complete. All inputs of a stage must be outputs of other stages or named data, its
//! key must follow from its record, and its outputs must be the files in the folder.

use std::collections::BTreeSet;

use tfnas_artifacts::KeyManifest;
use tfnas_attestations::statement::Statement;
use tfnas_planner::machine::build;
use tfnas_stages::{Source, Stage};

use crate::audit::Folder;
use crate::audit::checks::{Checks, Level, Verified};
use crate::{Contents, FileEntry, Origin, StageRecord, configuration, front_matter, names, research_object, statement};

/// Makes all checks of the level.
pub fn check(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    for stage in contents.config.stages() {
        let record = contents.record(stage);
        let name = names::record(stage);
        let made = sound(record, stage)
            .and_then(|()| inputs(contents, record))
            .and_then(|()| outputs(folder, contents, record));
        checks.note(
            Level::L2,
            name,
            made.map(|()| Verified(format!("key {}, its inputs and outputs fit", record.key.short()))),
        );
        if record.manifest.revision() != stage.revision() {
            let (its, own) = (record.manifest.revision(), stage.revision());
            checks.skip(
                Level::L2,
                format!("{} parameters", stage.name()),
                format!("it was created by revision {its}, this is {own}"),
            );
        } else {
            checks.note(Level::L2, format!("{} parameters", stage.name()), parameters(contents, record));
        }
    }
    checks.note(Level::L2, names::CONFIGURATION, same_configuration(contents));
    checks.note(Level::L2, names::DATA, data(folder, contents));
    checks.note(Level::L2, "file names", known_files(folder, contents));
    derived(folder, contents, checks);
    let unpublished: Vec<String> = unpublished(contents);
    if !unpublished.is_empty() {
        checks.skip(Level::L2, unpublished.join(", "), "only their digests are published, not their bytes");
    }
}

/// Checks that the record of a stage is consistent.
fn sound(record: &StageRecord, stage: Stage) -> Result<(), String> {
    let StageRecord { manifest, key, inputs, outputs, .. } = record;
    if record.stage != stage || manifest.stage() != stage.name() {
        return Err("it is the record of another stage".to_owned());
    }
    if manifest.key() != *key {
        return Err(format!("its key is {}, but its fields result in {}", key.short(), manifest.key().short()));
    }
    if !inputs.iter().map(|input| (&input.port, &input.digest)).eq(manifest.inputs()) {
        return Err("its inputs do not match its key".to_owned());
    }
    let draws_test = manifest.parameter_values().contains_key("split.test_share");
    let mut expected: Vec<&str> = stage.outputs(draws_test).to_vec();
    expected.sort_unstable();
    if !outputs.iter().map(|output| output.name.as_str()).eq(expected) {
        return Err("its outputs do not match the stage".to_owned());
    }
    for (name, fact) in manifest.environment_facts() {
        let recorded = match name.as_str() {
            // The key contains the kind of the device, the record its index.
            "device" => record.fact("device").map(|device| device.split(':').next().unwrap_or(device)),
            "dtype" => continue,
            name => record.fact(name),
        };
        if recorded != Some(fact.as_str()) {
            return Err(format!("its key has {name} {fact}, but its environment {}", recorded.unwrap_or("none")));
        }
    }
    Ok(())
}

/// Checks that each input is the output of another stage, or data that is the same for all stages.
fn inputs(contents: &Contents, record: &StageRecord) -> Result<(), String> {
    let ports = record.stage.inputs(&contents.config);
    if ports.len() != record.inputs.len() {
        return Err("its ports do not match the configuration".to_owned());
    }
    for port in ports {
        let input = record.inputs.iter().find(|input| input.port == port.name);
        let input = input.ok_or_else(|| format!("it has no input {}", port.name))?;
        let (from, expected) = match port.source {
            Source::Output(stage, output) => {
                let made = contents.record(stage).output(output);
                (Origin::Stage { stage, output: output.to_owned() }, made)
            }
            Source::ArchitectureFile | Source::WeightsFile => {
                return Err(format!("{} was given, not created by a stage", port.name));
            }
            given => {
                let key = given.config_key().unwrap_or_default().to_owned();
                let expected = match given {
                    Source::TrainImages => contents.data.train.blake3,
                    Source::TestImages => contents.data.test.blake3,
                    _ => input.digest,
                };
                (Origin::Data { key }, Some(expected))
            }
        };
        if input.from != from {
            return Err(format!("its input {} claims another origin", port.name));
        }
        if expected != Some(input.digest) {
            let expected = expected.map_or_else(|| "nothing".to_owned(), |digest| digest.short());
            return Err(format!("its input {} is {}, expected {expected}", port.name, input.digest.short()));
        }
    }
    Ok(())
}

/// Checks that the published outputs of the stage match the files in the folder.
fn outputs(folder: &Folder, contents: &Contents, record: &StageRecord) -> Result<(), String> {
    for output in &record.outputs {
        let Some(name) = record.stage.spec().published_file(&output.name, contents.weights()) else { continue };
        let entry = folder.manifest.file(&name).ok_or_else(|| format!("its output {name} is missing"))?;
        if entry.blake3 != output.digest || entry.bytes != output.bytes {
            let (found, claimed) = (entry.blake3.short(), output.digest.short());
            return Err(format!("its output {} is {claimed}, but {name} is {found}", output.name));
        }
    }
    Ok(())
}

/// Checks that the parameters in the key follow from the configuration.
fn parameters(contents: &Contents, record: &StageRecord) -> Result<Verified, String> {
    let params = record.stage.params(&contents.config, contents.space.definition());
    let mut expected = KeyManifest::new(record.stage.name(), record.manifest.revision());
    expected.parameter("", &params).map_err(|error| error.to_string())?;
    let (expected, found) = (expected.parameter_values(), record.manifest.parameter_values());
    let differs = expected.keys().chain(found.keys()).find(|name| expected.get(*name) != found.get(*name));
    match differs {
        None => Ok(Verified(format!("{} parameters match configuration.json", found.len()))),
        Some(name) => Err(format!("{name} does not match configuration.json")),
    }
}

/// Checks that the configuration follows from the keys, and that all other values are defaults.
fn same_configuration(contents: &Contents) -> Result<Verified, String> {
    let made = configuration(&contents.records, &contents.config.data)?;
    let mut claimed = contents.config.clone();
    // Earlier versions had only one fit and did not write it.
    claimed.search.fit = claimed.search.fit.or(made.search.fit);
    if made == claimed {
        Ok(Verified("it matches the keys of all stages".to_owned()))
    } else {
        Err("it does not match the keys of the stages".to_owned())
    }
}

/// Checks that the digests of images and lists match the published manifests and lists.
fn data(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let data = &contents.data;
    let lists = &contents.lists;
    let images =
        [(names::TRAIN_IMAGES, &data.train, &lists.train_images), (names::TEST_IMAGES, &data.test, &lists.test_images)];
    for (name, images, manifest) in images {
        let found = folder.manifest.file(name).map(|file| file.blake3);
        if found != Some(images.blake3) {
            return Err(format!("the digest of {} differs from {name}", images.name));
        }
        if images.is_list != manifest.list().is_some() {
            return Err(format!("{name} has another type than {}", images.name));
        }
        let (files, bytes) =
            (manifest.entries().len() as u64, manifest.entries().iter().map(|entry| entry.bytes).sum());
        if (images.files, images.bytes) != (files, bytes) {
            return Err(format!("the number or size of the files of {} differs from {name}", images.name));
        }
    }
    let named: Vec<_> = lists.train.iter().chain([&lists.test]).collect();
    if data.lists.len() != named.len() {
        return Err("its lists do not match the folder".to_owned());
    }
    for (claimed, named) in data.lists.iter().zip(named) {
        let entry = folder.manifest.file(&claimed.file).map(|file| file.blake3);
        let is_named = claimed.file == format!("lists/{}", named.name);
        if !is_named || entry != Some(claimed.blake3) || claimed.images != named.list.len() as u64 {
            return Err(format!("the entry for {} is wrong", claimed.file));
        }
    }
    let draws_test = contents.config.draws_test();
    if draws_test && data.test != data.train {
        return Err(
            "its test images are drawn from the training images, but are labeled as separate test images".to_owned()
        );
    }
    let of_list = folder.manifest.file(names::TEST_LIST).map(|file| file.blake3);
    if !draws_test && lists.test_images.list().is_some() && lists.test_images.list() != of_list {
        return Err(format!("{} is not the list that the test read", names::TEST_LIST));
    }
    Ok(Verified("digests of images and lists match the listed files".to_owned()))
}

/// Checks that `publish` writes files of these names. Other programs would read any other file, such as weights in
/// another format, as a part of the publication.
fn known_files(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let known = published_names(contents.records.values(), contents.weights());
    match folder.manifest.files.iter().find(|file| !known.contains(&file.name)) {
        None => Ok(Verified(format!("{} files that `publish` writes", folder.manifest.files.len()))),
        Some(other) => Err(format!("{} is not a file that `publish` writes", other.name)),
    }
}

/// Returns the names of the files in the manifest of a publication with these records.
fn published_names<'a>(records: impl Iterator<Item = &'a StageRecord>, weights: &str) -> BTreeSet<String> {
    let made = [
        names::CARD,
        names::CONFIGURATION,
        names::DATA,
        names::MEASURED,
        names::TEST_LIST,
        names::TRAIN_IMAGES,
        names::TEST_IMAGES,
        names::CRATE,
    ];
    let mut known: BTreeSet<String> = made.into_iter().map(str::to_owned).collect();
    for record in records {
        known.insert(names::record(record.stage));
        known.extend(
            record.outputs.iter().filter_map(|output| record.stage.spec().published_file(&output.name, weights)),
        );
    }
    known
}

/// Checks that the Statement and the RO-Crate follow from the records.
fn derived(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    let tool = contents.record(Stage::Test).tool.as_str();
    let mut same = |name: &str, made: Result<String, String>| {
        let compared = made.and_then(|made| Ok(folder.read(name)? == made.as_bytes()));
        match compared {
            Ok(true) => checks.pass(Level::L2, name, "it matches the records"),
            // Another version may generate a different text.
            Ok(false) if tool != build::TOOL => {
                checks.skip(Level::L2, name, format!("it was written by {tool}, this is {}", build::TOOL));
            }
            Ok(false) => checks.fail(Level::L2, name, "it does not match the records"),
            Err(error) => checks.fail(Level::L2, name, error),
        }
    };
    let mut subjects = folder.manifest.files.clone();
    subjects.extend(folder.files.get(names::MANIFEST).cloned());
    let made = statement(&subjects, &contents.records, &contents.config, &contents.data).to_json();
    same(names::STATEMENT, Ok(made));
    same(names::CRATE, described(folder, contents));
    checks.note(Level::L2, "subjects", covered(folder, &subjects));
}

/// Generates the RO-Crate again, with the model name and the license of the card.
fn described(folder: &Folder, contents: &Contents) -> Result<String, String> {
    let card = String::from_utf8(folder.read(names::CARD)?).map_err(|_| format!("{}: no text", names::CARD))?;
    let head = front_matter(&card).map_err(|error| format!("{}: {error}", names::CARD))?;
    let files: Vec<FileEntry> =
        folder.manifest.files.iter().filter(|file| file.name != names::CRATE).cloned().collect();
    research_object(head.name(), head.license(), &files, &contents.records, contents.weights())
        .map_err(|error| error.to_string())
}

/// Checks that the subjects of the Statement are exactly all files. This does not depend on the version that wrote it.
fn covered(folder: &Folder, files: &[FileEntry]) -> Result<Verified, String> {
    let claimed = Statement::from_json(&folder.read(names::STATEMENT)?).map_err(|error| error.to_string())?;
    let about: Vec<_> = claimed.subject.iter().map(|subject| (subject.name.as_deref(), subject.sha256())).collect();
    let expected: Vec<_> = files.iter().map(|file| (Some(file.name.as_str()), Some(file.sha256))).collect();
    if about == expected {
        Ok(Verified(format!("the Statement is about all {} files", files.len())))
    } else {
        Err("the Statement is not about exactly the files of the folder".to_owned())
    }
}

/// Returns the outputs whose contents cannot be verified because they are not published.
fn unpublished(contents: &Contents) -> Vec<String> {
    let outputs =
        contents.records.values().flat_map(|record| record.outputs.iter().map(|output| (record.stage, output)));
    outputs
        .filter(|(stage, output)| stage.spec().published_file(&output.name, contents.weights()).is_none())
        .map(|(stage, output)| format!("{}/{}", stage.name(), output.name))
        .collect()
}
