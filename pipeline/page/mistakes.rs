//! The worst mistakes of a test: rows of its `predictions.csv` with thumbnails of the images.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tfnas_artifacts::{Cache, Run};
use tfnas_images::{ExifOrientation, LoadError, thumbnail};
use tfnas_publication::unflattened;
use tfnas_report::{Mistake, Mistakes, Output, Picture};
use tfnas_stages::{PredictionsError, TestedImage, finite};

use super::Part;

/// Maximum number of mistakes on a page.
const SHOWN: usize = 24;
/// Maximum side of a thumbnail in pixels.
const SIDE: usize = 96;
/// The inputs that the test images may come from: separate test images, or training images if they were drawn from
/// these.
const IMAGES: [&str; 2] = ["test_images", "train_images"];

/// Reads the mistakes of a test.
pub fn mistakes(cache: &Cache, run: &Run, test: Option<&Part>) -> Output<Mistakes> {
    let Some((test, output)) = test.and_then(|test| Some((test, test.attempt.output(TestedImage::FILE)?))) else {
        return Output::Absent;
    };
    let opened = cache.open_verified(&output.digest).map_err(|error| error.to_string());
    let opened = opened.and_then(|path| File::open(path).map_err(|error| error.to_string()));
    let read = opened.and_then(|file| worst(BufReader::new(file)).map_err(|error| error.to_string()));
    let (wrong, rows) = match read {
        Ok(read) => read,
        Err(why) => return Output::Unreadable(why),
    };
    let folders = folders(cache, run, test);
    let orientation = match unflattened(&test.attempt.manifest).get("exif_orientation").and_then(Value::as_str) {
        Some("apply") => ExifOrientation::Apply,
        _ => ExifOrientation::Ignore,
    };
    let mistake = |tested: TestedImage| Mistake { picture: picture(&folders, &tested.image, orientation), tested };
    Output::Read(Mistakes { wrong, worst: rows.into_iter().map(mistake).collect() })
}

/// Returns the number of misclassified images, and those with the largest loss. Keeps only a few rows in memory.
fn worst(file: impl std::io::BufRead) -> Result<(usize, Vec<TestedImage>), PredictionsError> {
    let (mut wrong, mut worst) = (0, Vec::new());
    for row in TestedImage::read(file) {
        let row = row?;
        if row.predicted.as_ref() != Some(&row.class) {
            wrong += 1;
            worst.push(row);
        }
        if worst.len() >= 4 * SHOWN {
            keep_worst(&mut worst);
        }
    }
    keep_worst(&mut worst);
    Ok((wrong, worst))
}

/// Sorts by decreasing loss and truncates. Losses that are not finite come first, and equal losses keep their order.
fn keep_worst(rows: &mut Vec<TestedImage>) {
    let loss = |row: &TestedImage| finite(row.loss).unwrap_or(f64::INFINITY);
    rows.sort_by(|one, other| loss(other).total_cmp(&loss(one)));
    rows.truncate(SHOWN);
}

/// Returns the folders that paths of test images may be relative to: the folder of the images, or `data.root` if they
/// are in a list; both as recorded by the run and relative to the folder of the store.
fn folders(cache: &Cache, run: &Run, test: &Part) -> Vec<PathBuf> {
    let inputs = &test.attempt.inputs;
    let origin = IMAGES.iter().find_map(|port| inputs.iter().find(|input| input.port == *port)?.origin.clone());
    let configuration: Value = serde_json::from_str(&run.configuration).unwrap_or_default();
    let root = configuration.pointer("/data/root").and_then(Value::as_str).map(str::to_owned);
    let store_parent = cache.store().root().parent().map(Path::to_owned);
    let named = [origin, root].into_iter().flatten().map(PathBuf::from);
    named
        .flat_map(|folder| {
            let seen = store_parent.iter().map(|parent| parent.join(&folder)).collect::<Vec<_>>();
            std::iter::once(folder).chain(seen)
        })
        .filter(|folder| folder.is_dir())
        .collect()
}

fn picture(folders: &[PathBuf], image: &str, orientation: ExifOrientation) -> Picture {
    let Some(path) = folders.iter().map(|folder| folder.join(image)).find(|path| path.is_file()) else {
        return Picture::Missing("the image is no longer there".to_owned());
    };
    match thumbnail(&path, orientation, SIDE) {
        Ok(small) => Picture::Png { bytes: small.png, width: small.width, height: small.height },
        Err(LoadError::Read { .. }) => Picture::Missing("the image cannot be read".to_owned()),
        Err(_) => Picture::Missing("the image cannot be decoded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn file(rows: &[(&str, &str, &str)]) -> String {
        let rows: String =
            rows.iter().map(|(image, predicted, loss)| format!("{image},cat,{predicted},0.5,0.2,{loss},2\n")).collect();
        format!("{}\n{rows}", TestedImage::COLUMNS.join(","))
    }

    #[test]
    fn mistakes_are_sorted_by_loss_and_correct_predictions_are_left_out() {
        let rows = [("a", "dog", "1"), ("b", "cat", "9"), ("c", "", ""), ("d", "dog", "3"), ("e", "dog", "3")];
        let (wrong, worst) = worst(file(&rows).as_bytes()).unwrap();
        let names: Vec<&str> = worst.iter().map(|row| row.image.as_str()).collect();
        assert_eq!((wrong, names), (4, vec!["c", "d", "e", "a"]));
    }

    #[test]
    fn only_the_worst_mistakes_are_kept() {
        let losses: Vec<String> = (0..1000).map(|index| ((index * 7919) % 1000).to_string()).collect();
        let rows: Vec<(&str, &str, &str)> = losses.iter().map(|loss| (loss.as_str(), "dog", loss.as_str())).collect();
        let (wrong, worst) = worst(file(&rows).as_bytes()).unwrap();
        assert_eq!(
            (wrong, worst.len(), worst[0].image.as_str(), worst[23].image.as_str()),
            (1000, SHOWN, "999", "976")
        );
    }

    #[test]
    fn a_missing_or_damaged_image_has_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned()];
        let reason = |image: &str| match picture(&folders, image, ExifOrientation::Ignore) {
            Picture::Missing(why) => why,
            Picture::Png { .. } => "a picture".to_owned(),
        };
        std::fs::write(folder.path().join("b.jpg"), "no image").unwrap();
        std::fs::write(folder.path().join("c.ppm"), [&b"P6 2 2 255\n"[..], &[9; 12]].concat()).unwrap();
        assert_eq!(reason("a.jpg"), "the image is no longer there");
        assert_eq!(reason("b.jpg"), "the image cannot be decoded");
        assert_eq!(reason("c.ppm"), "a picture");
    }
}
