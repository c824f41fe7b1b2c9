//! L3: recomputes everything that follows from the files.

use std::collections::HashMap;

use serde_json::Value;
use tfnas::state_shapes::state_shapes;
use tfnas_planner::machine::build;
use tfnas_pytorch_files::checkpoint::WeightsFile;
use tfnas_stages::{OnBadImage, Protocol, Stage, finite};

use super::{derivation, tested};
use crate::audit::Folder;
use crate::audit::checks::{Checks, Level, Verified};
use crate::{Contents, TestImageUses, front_matter, measured, names};

/// Makes all checks of the level.
pub fn check(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    derivation::check(folder, contents, checks);
    checks.note(Level::L3, names::WEIGHTS, weights(folder, contents));
    checks.note(Level::L3, names::TRAIN, training(folder, contents));
    checks.note(Level::L3, names::TEST, tested::check(folder, contents));
    checks.note(Level::L3, names::MEASURED, latency(contents));
    checks.note(Level::L3, "lists", tested::check_list(folder, contents).and_then(|()| lists(contents)));
    checks.note(Level::L3, "accuracy in the card", card_metrics(folder, contents));
    card(folder, contents, checks);
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
        Protocol::Published => (list("all.list"), tested::labels(contents, &tested::classes(folder, contents)?).len()),
        Protocol::HeldOut => (list("train.list"), list("val.list")),
    };
    if (train.images, train.val_images) != (images, val_images) {
        return Err("its numbers of images do not match the lists".to_owned());
    }
    if config.data.on_bad_image == OnBadImage::Error && train.epochs.iter().any(|epoch| epoch.skipped > 0) {
        return Err("an epoch skipped images, but data.on_bad_image is error".to_owned());
    }
    let tops = train.epochs.iter().map(|epoch| finite(epoch.val_top1).ok_or("an epoch has no val_top1"));
    let tops = tops.collect::<Result<Vec<f64>, _>>()?;
    let best = tops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let first = tops.iter().position(|top1| *top1 == best).unwrap_or(0);
    let recorded = contents.record(Stage::Train).metrics.get("best_val_top1").and_then(Value::as_f64);
    if train.best_epoch != first || train.best_top1 != best || recorded != Some(best) {
        return Err("the best epoch is not the one with the highest val_top1, or differs from the record".to_owned());
    }
    let looks = TestImageUses::training_epochs(train.protocol, train.epochs.len() as u64);
    let claimed = &data.test_images_looked_at;
    if claimed.training_epochs != looks || claimed.tests != 1 || claimed.store_tests == 0 {
        return Err(format!("{} has another number of uses of the test images", names::DATA));
    }
    Ok(Verified(format!("epoch {} of {} is the best on {val_images} images", first + 1, tops.len())))
}

/// Checks that the latencies match the record and the table, and the target if the configuration requires it.
fn latency(contents: &Contents) -> Result<Verified, String> {
    let record = contents.record(Stage::Parse);
    if contents.measured != measured(record) {
        return Err("it does not match the record".to_owned());
    }
    let predicted = contents.architecture.predicted_lat_ms;
    if !contents.measured.predicted_lat_ms.is_some_and(|ms| derivation::near(predicted, ms)) {
        return Err(format!("its predicted latency differs from {}", names::ARCHITECTURE));
    }
    if contents.config.search.verify.is_predicted() {
        return Ok(Verified("it matches the record".to_owned()));
    }
    derivation::meets_target(&record.metrics, contents.architecture.target_lat_ms)?;
    Ok(Verified("it matches the record, whose measured latency meets the target".to_owned()))
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

/// Checks that the card equals the one generated from the other files, or at least the rows of its table if another
/// version wrote it.
fn card(folder: &Folder, contents: &Contents, checks: &mut Checks) {
    let tool = &contents.record(Stage::Test).tool;
    let compared = head(folder).and_then(|(card, head)| {
        if head.name().chars().any(char::is_control) {
            return Err("the name of its model contains control characters".to_owned());
        }
        let made = contents.card(head.name(), head.license());
        if made == card {
            Ok(true)
        } else if tool == build::TOOL {
            Err("it does not match the other files".to_owned())
        } else {
            same_rows(&card, &made).map(|()| false)
        }
    });
    match compared {
        Ok(true) => checks.pass(Level::L3, names::CARD, "all of its numbers match the other files"),
        Ok(false) => {
            let own = build::TOOL;
            checks.skip(
                Level::L3,
                names::CARD,
                format!("only its table; its text was written by {tool}, this is {own}"),
            );
        }
        Err(why) => checks.fail(Level::L3, names::CARD, why),
    }
}

/// Checks that each row of the card's table that is known here has the value of the generated card.
fn same_rows(card: &str, made: &str) -> Result<(), String> {
    let expected: HashMap<&str, &str> = made.lines().filter_map(row).collect();
    let differs = |(label, value): &(&str, &str)| expected.get(label).is_some_and(|expected| expected != value);
    match card.lines().filter_map(row).find(differs) {
        None => Ok(()),
        Some((label, value)) => Err(format!("its {label} is {value}, but the other files give {}", expected[label])),
    }
}

/// Returns the label and the value of a row of a table.
fn row(line: &str) -> Option<(&str, &str)> {
    let (label, value) = line.trim().strip_prefix('|')?.strip_suffix('|')?.rsplit_once('|')?;
    Some((label.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_rows_of_a_card_by_another_version_are_compared() {
        let made = "| | |\n|---|---|\n| top-1 | 75.00 % of 40 test images |\n| parameters | 5 |\n";
        assert_eq!(same_rows(made, made), Ok(()));
        assert_eq!(same_rows("# M\n| Top-1 accuracy | 75 % |\n| parameters | 5 |\n", made), Ok(()));
        for forged in
            ["| top-1 | 99.00 % of 40 test images |\n", " |top-1|99.00 %| ", "| parameters | 5 |\n| parameters | 4 |"]
        {
            assert!(same_rows(forged, made).is_err_and(|why| why.contains("but the other files give")), "{forged}");
        }
    }
}
