//! L3: recomputes everything that follows from the files.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tfnas::cost::{flops, parameters};
use tfnas::exact_fit::{Preferences, fit_exactly};
use tfnas::state_shapes::state_shapes;
use tfnas::{Architecture, ModelConfig};
use tfnas_images::parse_classes;
use tfnas_planner::machine::build;
use tfnas_pytorch_files::checkpoint::WeightsFile;
use tfnas_stages::{
    Fit, Protocol, SearchResult, Stage, StageOutput as _, TestTally, TestedImage, finite, probabilities,
};

use super::selection;
use crate::audit::Folder;
use crate::audit::checks::{Checks, Level, Verified};
use crate::{Contents, Looks, front_matter, measured, names};

/// Relative tolerance of latencies, because another machine may round sums of the table differently.
const ROUNDING: f64 = 1e-9;
/// Tolerance between the mean of the losses in `predictions.csv`, which have six decimals, and the mean loss of the
/// test, whose batches are summed in single precision.
const MEAN_LOSS: f64 = 1e-4;

/// Makes all checks of the level.
pub fn check(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    checks.note(Level::L3, names::CONFIG, found_by_search(folder, contents));
    checks.note(Level::L3, names::HISTORY, history(folder, contents));
    checks.note(Level::L3, names::ARCHITECTURE, architecture(contents));
    checks.note(Level::L3, names::WEIGHTS, weights(folder, contents));
    checks.note(Level::L3, names::TRAIN, training(folder, contents));
    checks.note(Level::L3, names::TEST, test(folder, contents));
    checks.note(Level::L3, names::MEASURED, latency(contents));
    checks.note(Level::L3, "lists", lists(contents));
    checks.note(Level::L3, "accuracy in the card", card_metrics(folder, contents));
    match card(folder, contents) {
        Ok(true) => checks.pass(Level::L3, names::CARD, "all of its numbers match the other files"),
        Ok(false) if contents.record(Stage::Test).tool != build::TOOL => {
            let tool = &contents.record(Stage::Test).tool;
            checks.skip(Level::L3, names::CARD, format!("its text was written by {tool}, this is {}", build::TOOL));
        }
        Ok(false) => checks.fail(Level::L3, names::CARD, "it does not match the other files"),
        Err(error) => checks.fail(Level::L3, names::CARD, error),
    }
    if contents.measured.measured_lat_ms.is_some() {
        checks.skip(
            Level::L3,
            "latency measured",
            "a measurement is not reproducible on other machines; the record names its machine",
        );
    }
    checks.skip(
        Level::L3,
        "tests in the store of the run",
        "only that store records how often its test images were used",
    );
}

fn near(found: f64, claimed: f64) -> bool {
    (found - claimed).abs() <= ROUNDING * claimed.abs()
}

/// Checks that the network follows from the probabilities and widths of the search.
fn found_by_search(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let Contents { space, network, table, config, .. } = contents;
    let result = SearchResult::from_json(&folder.read(names::SEARCH)?).map_err(|error| error.to_string())?;
    let handed_on = result.architecture(space).map_err(|error| error.to_string())?;
    let preferences = Preferences { log_alphas: &result.log_alphas, betas: &result.betas };
    if config.select.is_enabled() {
        return selection::check(folder, contents, reachable_target(contents)?, &handed_on, preferences);
    }
    let found = if config.parse.fit == Some(Fit::Exact) {
        let target = reachable_target(contents)?;
        let fitted = fit_exactly(space, &handed_on, table, target, Some(&preferences));
        fitted.map_err(|error| error.to_string())?.architecture
    } else {
        handed_on
    };
    let classes = network.classifier.out_features;
    let expected = ModelConfig::from_architecture(space, &found, classes).map_err(|error| error.to_string())?;
    if expected.to_text().as_bytes() != folder.read(names::CONFIG)? {
        return Err("it is not the network that the result of the search prefers".to_owned());
    }
    Ok(Verified(format!("{} blocks, as the result of the search prefers", network.block_count())))
}

/// Checks that the last epoch has the published network, and that the latency of each epoch's network matches the
/// table.
fn history(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let Contents { space, network, table, history, config, .. } = contents;
    if history.len() != config.search.epochs {
        return Err(format!("it has {} epochs, but the configuration {}", history.len(), config.search.epochs));
    }
    for (index, epoch) in history.iter().enumerate() {
        if epoch.epoch != index || !(-ROUNDING..=1.0 + ROUNDING).contains(&epoch.operation_entropy) {
            return Err(format!("epoch {index} is not valid"));
        }
        let found = Architecture::new(space, epoch.architecture.clone()).map_err(|error| error.to_string())?;
        let ms = table.architecture_ms(space, &found).map_err(|error| error.to_string())?;
        if !near(ms, epoch.after_lat_ms) {
            return Err(format!("epoch {index} has {} ms, but the table gives {ms}", epoch.after_lat_ms));
        }
    }
    // Earlier releases did not write probabilities.
    if let Some(last) = history.last().filter(|last| !last.operations.is_empty()) {
        let result = SearchResult::from_json(&folder.read(names::SEARCH)?).map_err(|error| error.to_string())?;
        if (&last.operations, &last.depths) != (&probabilities(&result.log_alphas), &probabilities(&result.betas)) {
            return Err(format!("the probabilities of its last epoch differ from {}", names::SEARCH));
        }
    }
    let own = Architecture::of_config(space, network).map_err(|error| error.to_string())?;
    match history.last() {
        // With `parse.fit: exact` or a selection, the network may differ from that of the last epoch.
        Some(_) if config.parse.fit == Some(Fit::Exact) || config.select.is_enabled() => {
            Ok(Verified(format!("{} epochs, each with the latency of its network by the table", history.len())))
        }
        Some(last) if last.architecture == own.groups() => Ok(Verified(format!(
            "{} epochs, the last with this network, each with its latency by the table",
            history.len()
        ))),
        _ => Err(format!("the network of its last epoch differs from {}", names::CONFIG)),
    }
}

fn architecture(contents: &Contents) -> Result<Verified, String> {
    let Contents { space, network, table, architecture, .. } = contents;
    let resolution = space.definition().resolution;
    let counts = [
        ("space_resolution", architecture.space_resolution as u64, resolution as u64),
        ("classes", architecture.classes as u64, network.classifier.out_features as u64),
        ("parameters", architecture.parameters, parameters(network)),
        ("flops", architecture.flops, flops(network, resolution)),
    ];
    if let Some((name, claimed, found)) = counts.into_iter().find(|(_, claimed, found)| claimed != found) {
        return Err(format!("{name} is {found}, but the record has {claimed}"));
    }
    let target = reachable_target(contents)?;
    let predicted = table.config_ms(network, resolution).map_err(|error| error.to_string())?;
    let times = [
        ("target_lat_ms", architecture.target_lat_ms, target),
        ("base_lat_ms", architecture.base_lat_ms, table.base_ms()),
        ("predicted_lat_ms", architecture.predicted_lat_ms, predicted),
    ];
    match times.into_iter().find(|(_, claimed, found)| !near(*found, *claimed)) {
        Some((name, claimed, found)) => Err(format!("{name} is {found}, but the record has {claimed}")),
        None => Ok(Verified(format!(
            "{} parameters, {} multiply-adds, {predicted} ms by the table, recomputed",
            architecture.parameters, architecture.flops
        ))),
    }
}

/// Returns the target latency in milliseconds of the table.
fn reachable_target(contents: &Contents) -> Result<f64, String> {
    let reachable = contents.table.reachable_ms(&contents.space).map_err(|error| error.to_string())?;
    contents.config.search.target_lat_ms.within(&reachable).map_err(|error| error.to_string())
}

fn weights(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let bytes = folder.read(names::WEIGHTS)?;
    let file = WeightsFile::read(&bytes).map_err(|error| error.to_string())?;
    file.state_dict.check(&state_shapes(&contents.network)).map_err(|mismatches| {
        let first = mismatches.0.first().map(ToString::to_string).unwrap_or_default();
        format!("{} mismatches with {}, first {first}", mismatches.0.len(), names::CONFIG)
    })?;
    Ok(Verified(format!("{} tensors of the network's shapes, all values finite", file.state_dict.tensors.len())))
}

fn training(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let Contents { train, config, lists, data, .. } = contents;
    if train.protocol != config.train.protocol {
        return Err("its protocol is not the one of the configuration".to_owned());
    }
    if train.epochs.len() != config.train.epochs {
        return Err(format!("it has {} epochs, but the configuration {}", train.epochs.len(), config.train.epochs));
    }
    let list = |name: &str| lists.train.iter().find(|named| named.name == name).map_or(0, |named| named.list.len());
    let (images, val_images) = match train.protocol {
        Protocol::Published => (list("all.list"), tested(folder, contents)?),
        Protocol::HeldOut => (list("train.list"), list("val.list")),
    };
    if (train.images, train.val_images) != (images, val_images) {
        return Err("its numbers of images do not match the lists".to_owned());
    }
    let tops = train.epochs.iter().map(|epoch| finite(epoch.val_top1).ok_or("an epoch has no val_top1"));
    let tops = tops.collect::<Result<Vec<f64>, _>>()?;
    let best = tops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = tops.iter().position(|top1| *top1 == best).unwrap_or(0);
    let recorded = contents.record(Stage::Train).metrics.get("best_val_top1").and_then(Value::as_f64);
    if train.best_epoch != first || train.best_top1 != best || recorded != Some(best) {
        return Err("the best epoch is not the one with the highest val_top1, or differs from the record".to_owned());
    }
    let looks = Looks::training_epochs(train.protocol, train.epochs.len() as u64);
    let claimed = &data.test_images_looked_at;
    if claimed.training_epochs != looks || claimed.tests != 1 || claimed.store_tests == 0 {
        return Err(format!("{} has another number of uses of the test images", names::DATA));
    }
    Ok(Verified(format!("epoch {} of {} is the best on {val_images} images", first + 1, tops.len())))
}

/// Returns the number of images in the test list whose class the network knows.
fn tested(folder: &Folder, contents: &Contents) -> Result<usize, String> {
    let (config, list) = (&contents.config, &contents.lists.test.list);
    let entries = list.entries().iter();
    // A drawn list contains all classes, even if the network was trained on some of them.
    if config.draws_test() && !contents.data.train.is_list {
        let file = format!("lists/{}", config.train.protocol.classes());
        let text = String::from_utf8(folder.read(&file)?).map_err(|_| format!("{file}: no text"))?;
        let known: HashSet<String> =
            parse_classes(&text, &file).map_err(|error| error.to_string())?.into_iter().collect();
        return Ok(entries
            .filter(|entry| entry.path.split('/').next().is_some_and(|class| known.contains(class)))
            .count());
    }
    Ok(entries.filter(|entry| (entry.label as usize) < contents.network.classifier.out_features).count())
}

/// Checks that `test.json` matches the record, and that its classes add up to the totals.
fn test(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let claimed = &contents.test;
    let record = contents.record(Stage::Test);
    for (name, value) in [("top1", claimed.top1), ("top5", claimed.top5)] {
        if record.metrics.get(name).and_then(Value::as_f64) != Some(value) {
            return Err(format!("{name} differs from the record"));
        }
    }
    let images = tested(folder, contents)?;
    if claimed.images + claimed.skipped != images {
        return Err(format!("it reports {} images, but the list has {images}", claimed.images + claimed.skipped));
    }
    let rows = if predictions(folder, contents)? { ", which match the prediction for each image" } else { "" };
    let counted: usize = claimed.classes.iter().map(|class| class.images).sum();
    let hits: f64 = claimed.classes.iter().map(|class| class.images as f64 * class.top1.unwrap_or(0.0)).sum();
    // The accuracy of a class is rounded, so multiplying it by the number of images does not give an integer.
    if counted != claimed.images || (hits - claimed.top1 * counted as f64).abs() > 0.01 {
        return Err("the numbers of its classes do not add up to it".to_owned());
    }
    Ok(Verified(format!(
        "top-1 {} and top-5 {} of {} images, which match the record{rows}",
        claimed.top1, claimed.top5, claimed.images
    )))
}

/// Checks that `predictions.csv` only contains images of the list, and that the numbers of `test.json` follow from it.
/// Returns whether there is such a file, which earlier releases did not write.
fn predictions(folder: &Folder, contents: &Contents) -> Result<bool, String> {
    if contents.record(Stage::Test).output(TestedImage::FILE).is_none() {
        return Ok(false);
    }
    let (claimed, file) = (&contents.test, names::PREDICTIONS);
    let names: Vec<String> = claimed.classes.iter().map(|class| class.name.clone()).collect();
    let labels: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let label =
        |name: &str| labels.get(name).copied().ok_or_else(|| format!("{file}: it has an unknown class {name:?}"));
    let listed: HashSet<&str> = contents.lists.test.list.entries().iter().map(|entry| entry.path.as_str()).collect();
    let (mut tally, mut loss, mut tested) = (TestTally::new(names.len()), 0.0, HashSet::new());
    for row in TestedImage::read(&folder.read(file)?[..]) {
        let row = row.map_err(|error| format!("{file}: {error}"))?;
        if !listed.contains(row.image.as_str()) {
            return Err(format!("{file}: {:?} is not in the list of the test images", row.image));
        }
        tally.add(label(&row.class)?, row.predicted.as_deref().map(label).transpose()?, row.rank);
        loss += row.loss;
        tested.insert(row.image);
    }
    let same = tested.len() == claimed.images
        && (tally.images(), tally.top1(), tally.top5()) == (claimed.images, claimed.top1, claimed.top5)
        && tally.classes(&names) == claimed.classes
        && Some(tally.confusion(&names)) == claimed.confusion
        && (loss / tally.images() as f64 - claimed.loss).abs() <= MEAN_LOSS * claimed.loss.abs() + MEAN_LOSS;
    if same { Ok(true) } else { Err(format!("{file} results in other numbers")) }
}

fn latency(contents: &Contents) -> Result<Verified, String> {
    if contents.measured == measured(contents.record(Stage::Parse)) {
        Ok(Verified("it matches the record".to_owned()))
    } else {
        Err("it does not match the record".to_owned())
    }
}

fn lists(contents: &Contents) -> Result<Verified, String> {
    let found = contents.lists.overlaps()?;
    if found != contents.data.overlaps {
        return Err(format!("the overlap of the lists differs from {}", names::DATA));
    }
    let some: Vec<String> = found
        .iter()
        .filter(|overlap| !overlap.is_none())
        .map(|overlap| {
            format!("{} and {}: {} by content, {} by name", overlap.a, overlap.b, overlap.by_content, overlap.by_name)
        })
        .collect();
    if some.is_empty() {
        Ok(Verified("training, validation and test share no image, by name or content".to_owned()))
    } else {
        Ok(Verified(format!("images are in two lists, as recorded in {}: {}", names::DATA, some.join("; "))))
    }
}

fn head(folder: &Folder) -> Result<(String, crate::FrontMatter), String> {
    let card = String::from_utf8(folder.read(names::CARD)?).map_err(|_| "it is not UTF-8 text".to_owned())?;
    let head = front_matter(&card)?;
    Ok((card, head))
}

/// Checks that the front matter of the card contains exactly the accuracies of the test.
fn card_metrics(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let (_, head) = head(folder)?;
    let found: Vec<f64> = head
        .model_index
        .iter()
        .flat_map(|model| &model.results)
        .flat_map(|result| &result.metrics)
        .map(|metric| metric.value)
        .collect();
    if found == [contents.test.top1, contents.test.top5] {
        Ok(Verified(format!("equal to {}", names::TEST)))
    } else {
        Err(format!("it differs from {}", names::TEST))
    }
}

/// Returns whether the card equals the one generated from the other files.
fn card(folder: &Folder, contents: &Contents) -> Result<bool, String> {
    let (card, head) = head(folder)?;
    Ok(contents.card(head.name(), head.license()) == card)
}
