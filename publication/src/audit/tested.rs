//! L3: checks the results of the test, image by image, and the list of the test images.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use tfnas_artifacts::FolderManifest;
use tfnas_images::{ImageList, has_image_extension, parse_classes};
use tfnas_stages::{OnBadImage, Stage, TestReport, TestTally, TestedImage};

use crate::audit::Folder;
use crate::audit::checks::Verified;
use crate::{Contents, names};

/// Tolerance between the mean of the losses in `predictions.csv`, which have six decimals, and the mean loss of the
/// test, whose batches are summed in single precision.
const MEAN_LOSS: f64 = 1e-4;

/// The class of each test image, as an index into the classes of the network, by the path of the image.
pub type Labels<'a> = HashMap<&'a str, usize>;

/// Returns the test images whose class the network knows.
///
/// # Errors
/// Returns a message if the names of the classes cannot be read.
pub fn labels<'a>(contents: &'a Contents, classes: &[String]) -> Labels<'a> {
    let list = &contents.lists.test.list;
    // A drawn list contains all classes, even if the network was trained on some of them.
    if contents.config.draws_test() && !contents.data.train.is_list {
        by_folder(list, classes)
    } else {
        by_label(list, classes.len())
    }
}

fn by_folder<'a>(list: &'a ImageList, classes: &[String]) -> Labels<'a> {
    let known: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let label = |path: &str| known.get(path.split('/').next()?).copied();
    list.entries().iter().filter_map(|entry| Some((entry.path.as_str(), label(&entry.path)?))).collect()
}

fn by_label(list: &ImageList, classes: usize) -> Labels<'_> {
    let entries = list.entries().iter().map(|entry| (entry.path.as_str(), entry.label as usize));
    entries.filter(|(_, label)| *label < classes).collect()
}

/// Returns the names of the classes of the network, in the order of their labels.
///
/// # Errors
/// Returns a message if the file of the names cannot be read.
pub fn classes(folder: &Folder, contents: &Contents) -> Result<Vec<String>, String> {
    let file = format!("lists/{}", contents.config.train.protocol.classes());
    let text = String::from_utf8(folder.read(&file)?).map_err(|_| format!("{file}: no text"))?;
    parse_classes(&text, &file).map_err(|error| error.to_string())
}

/// Checks that `test.json` matches the record and the prediction for each image.
pub fn check(folder: &Folder, contents: &Contents) -> Result<Verified, String> {
    let claimed = &contents.test;
    let record = contents.record(Stage::Test);
    for (name, value) in [("top1", claimed.top1), ("top5", claimed.top5)] {
        if record.metrics.get(name).and_then(Value::as_f64) != Some(value) {
            return Err(format!("{name} differs from the record"));
        }
    }
    let names = classes(folder, contents)?;
    let labels = labels(contents, &names);
    images(claimed, &names, &labels, contents.config.data.on_bad_image)?;
    predictions(claimed, &names, &labels, &folder.read(names::PREDICTIONS)?)?;
    Ok(Verified(format!(
        "top-1 {} and top-5 {} of {} images, which match the record and the prediction for each image",
        claimed.top1, claimed.top5, claimed.images
    )))
}

/// Checks the numbers of images and the classes.
fn images(claimed: &TestReport, classes: &[String], labels: &Labels<'_>, on_bad: OnBadImage) -> Result<(), String> {
    if claimed.images.checked_add(claimed.skipped) != Some(labels.len()) {
        let TestReport { images, skipped, .. } = claimed;
        return Err(format!(
            "it reports {images} images and {skipped} skipped ones, but the list has {}",
            labels.len()
        ));
    }
    if claimed.skipped > 0 && on_bad == OnBadImage::Error {
        return Err(format!("it skipped {} images, but data.on_bad_image is error", claimed.skipped));
    }
    if !claimed.classes.iter().map(|class| &class.name).eq(classes) {
        return Err("its classes are not those of the lists".to_owned());
    }
    let mut is_tested = vec![false; classes.len()];
    labels.values().for_each(|label| is_tested[*label] = true);
    let untested = classes.iter().zip(is_tested).filter(|(_, is_tested)| !is_tested).map(|(name, _)| name);
    if !claimed.untested.iter().eq(untested) {
        return Err("its classes without test images are not those of the list".to_owned());
    }
    Ok(())
}

/// Checks that `predictions.csv` only contains images of the list with their classes, and that the numbers of
/// `test.json` follow from it.
fn predictions(claimed: &TestReport, classes: &[String], labels: &Labels<'_>, bytes: &[u8]) -> Result<(), String> {
    let file = names::PREDICTIONS;
    let known: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let label =
        |name: &str| known.get(name).copied().ok_or_else(|| format!("{file}: it has an unknown class {name:?}"));
    let (mut tally, mut loss, mut left) = (TestTally::new(classes.len()), 0.0, labels.clone());
    for row in TestedImage::read(bytes) {
        let row = row.map_err(|error| format!("{file}: {error}"))?;
        let class = left.remove(row.image.as_str());
        let class = class.ok_or_else(|| format!("{file}: {:?} is not in the list of the test images", row.image))?;
        if label(&row.class)? != class {
            let listed = &classes[class];
            return Err(format!("{file}: the class of {:?} is {:?}, but {listed:?} in the list", row.image, row.class));
        }
        tally.add(class, row.predicted.as_deref().map(label).transpose()?, row.rank);
        loss += row.loss;
    }
    let same = (tally.images(), tally.top1(), tally.top5()) == (claimed.images, claimed.top1, claimed.top5)
        && tally.classes(classes) == claimed.classes
        && Some(tally.confusion(classes)) == claimed.confusion
        && (loss / tally.images() as f64 - claimed.loss).abs() <= MEAN_LOSS * claimed.loss.abs() + MEAN_LOSS;
    if same { Ok(()) } else { Err(format!("{file} results in other numbers")) }
}

/// Checks that the list of the test images contains all images that the test read: those of the class folders, or those
/// that the list file named.
pub fn check_list(folder: &Folder, contents: &Contents) -> Result<(), String> {
    if contents.config.draws_test() {
        // The list is an output of the split.
        return Ok(());
    }
    let (list, manifest) = (&contents.lists.test.list, &contents.lists.test_images);
    if contents.data.test.is_list {
        let listed: BTreeMap<&str, u32> = list.entries().iter().map(|entry| (entry.path.as_str(), 0)).collect();
        let found = manifest.entries().iter().map(|entry| (&*entry.path, 0)).collect();
        return same_images(&listed, &found);
    }
    let listed = list.entries().iter().map(|entry| (entry.path.as_str(), entry.label)).collect();
    same_images(&listed, &in_folders(manifest, &classes(folder, contents)?))
}

/// Returns the images in the folders of these classes, with their labels.
fn in_folders<'a>(manifest: &'a FolderManifest, classes: &[String]) -> BTreeMap<&'a str, u32> {
    let known: HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let image = |path: &'a str| {
        let (class, rest) = path.split_once('/')?;
        has_image_extension(rest.as_bytes()).then_some((path, *known.get(class)?))
    };
    manifest.entries().iter().filter_map(|entry| image(&entry.path)).collect()
}

fn same_images(listed: &BTreeMap<&str, u32>, found: &BTreeMap<&str, u32>) -> Result<(), String> {
    let differs = |path: &&&str| listed.get(**path) != found.get(**path);
    match listed.keys().chain(found.keys()).find(differs) {
        None => Ok(()),
        Some(path) => Err(format!("{path:?} is not the same in {} and {}", names::TEST_LIST, names::TEST_IMAGES)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tfnas_artifacts::Digest;

    use super::*;

    fn classes() -> Vec<String> {
        ["cat", "dog", "fox"].map(str::to_owned).to_vec()
    }

    fn list(text: &str) -> ImageList {
        ImageList::parse(text, "test.list").unwrap()
    }

    const ROWS: [(&str, &str, &str, usize); 2] = [("cat/1.jpg", "cat", "cat", 1), ("dog/2.jpg", "dog", "cat", 2)];

    fn csv(rows: &[(&str, &str, &str, usize)]) -> String {
        let row = |(image, class, predicted, rank): &(&str, &str, &str, usize)| {
            let row = TestedImage {
                image: (*image).to_owned(),
                class: (*class).to_owned(),
                predicted: Some((*predicted).to_owned()),
                confidence: 0.5,
                class_probability: 0.5,
                loss: 1.0,
                rank: *rank,
            };
            format!("{}\n", row.to_row())
        };
        format!("{}\n{}", TestedImage::COLUMNS.join(","), rows.iter().map(row).collect::<String>())
    }

    fn report(rows: &[(usize, usize, usize)]) -> TestReport {
        let mut tally = TestTally::new(3);
        rows.iter().for_each(|(class, predicted, rank)| tally.add(*class, Some(*predicted), *rank));
        TestReport {
            top1: tally.top1(),
            top5: tally.top5(),
            loss: 1.0,
            images: tally.images(),
            skipped: 0,
            untested: vec!["fox".to_owned()],
            classes: tally.classes(&classes()),
            confusion: Some(tally.confusion(&classes())),
        }
    }

    #[test]
    fn the_class_of_a_prediction_is_that_of_the_list() {
        let list = list("cat/1.jpg 0\ndog/2.jpg 1\n");
        let labels = by_label(&list, 3);
        let honest = report(&[(0, 0, 1), (1, 0, 2)]);
        let check = |report: &TestReport, rows: &[_]| predictions(report, &classes(), &labels, csv(rows).as_bytes());
        assert_eq!(check(&honest, &ROWS), Ok(()));
        // The mistake becomes a hit if the image is one of a cat.
        let forged = report(&[(0, 0, 1), (0, 0, 1)]);
        let error = check(&forged, &[ROWS[0], ("dog/2.jpg", "cat", "cat", 1)]).unwrap_err();
        assert!(error.contains("\"dog/2.jpg\" is \"cat\", but \"dog\" in the list"), "{error}");
        let twice = check(&forged, &[ROWS[0], ROWS[0]]).unwrap_err();
        assert!(twice.contains("is not in the list"), "{twice}");
    }

    #[test]
    fn drawn_images_have_the_class_of_their_folder() {
        let list = list("dog/a/2.jpg 0\nowl/1.jpg 1\ncat/1.jpg 7\n");
        assert_eq!(by_folder(&list, &classes()), HashMap::from([("dog/a/2.jpg", 1), ("cat/1.jpg", 0)]));
        assert_eq!(by_label(&list, 3), HashMap::from([("dog/a/2.jpg", 0), ("owl/1.jpg", 1)]));
    }

    #[test]
    fn skipped_images_and_untested_classes_follow_from_the_list() {
        let list = list("cat/1.jpg 0\ndog/2.jpg 1\n");
        let labels = by_label(&list, 3);
        let check = |report: &TestReport, on_bad| images(report, &classes(), &labels, on_bad);
        let honest = report(&[(0, 0, 1), (1, 0, 2)]);
        assert_eq!(check(&honest, OnBadImage::Error), Ok(()));
        let skipped = TestReport { images: 1, skipped: 1, ..honest.clone() };
        assert_eq!(check(&skipped, OnBadImage::Skip), Ok(()));
        assert!(check(&skipped, OnBadImage::Error).unwrap_err().contains("skipped 1 images"));
        for untested in [&[][..], &["dog"], &["fox", "dog"]] {
            let untested = untested.iter().map(|name| (*name).to_owned()).collect();
            let forged = TestReport { untested, ..honest.clone() };
            assert!(check(&forged, OnBadImage::Error).unwrap_err().contains("without test images"));
        }
        let mut renamed = honest.clone();
        renamed.classes[2].name = "owl".to_owned();
        assert!(check(&renamed, OnBadImage::Error).unwrap_err().contains("its classes"));
    }

    #[test]
    fn the_list_of_test_images_contains_every_image_of_the_folders() {
        let paths = ["cat/1.jpg", "cat/a/2.PNG", "cat/notes.txt", "fox/1.gif", "owl/1.jpg", "readme.jpg"];
        let lines = paths.map(|path| format!("{} 1 {path}\n", Digest::of_bytes(path.as_bytes())));
        let manifest = FolderManifest::parse(&format!("tfnas.folder.v1\n{}", lines.concat())).unwrap();
        let found = in_folders(&manifest, &classes());
        assert_eq!(found, BTreeMap::from([("cat/1.jpg", 0), ("cat/a/2.PNG", 0), ("fox/1.gif", 2)]));
        assert_eq!(same_images(&found, &found), Ok(()));
        let mut dropped = found.clone();
        dropped.remove("fox/1.gif");
        assert!(same_images(&dropped, &found).unwrap_err().contains("fox/1.gif"));
        let mut relabeled = found.clone();
        relabeled.insert("fox/1.gif", 1);
        assert!(same_images(&relabeled, &found).unwrap_err().contains("fox/1.gif"));
    }
}
