//! Writes `predictions.csv`, the prediction for each test image, while the test runs.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;

use tch::{Device, Kind, Tensor};
use tfnas_images::ImageSource;
use tfnas_stages::{TestTally, TestedImage};

use crate::error::StageError;
use crate::images::DeviceBatch;

/// Number of values per image that are copied from the device.
const VALUES: usize = 5;

/// Writer of the file, which also counts the results.
pub struct Predictions<'a> {
    path: PathBuf,
    file: BufWriter<File>,
    source: &'a ImageSource,
    classes: &'a [String],
    tally: TestTally,
}

impl<'a> Predictions<'a> {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn create(path: PathBuf, source: &'a ImageSource, classes: &'a [String]) -> Result<Self, StageError> {
        let file = File::create(&path).map_err(|error| StageError::file("write", &path, &error))?;
        let tally = TestTally::new(classes.len());
        let mut predictions = Self { file: BufWriter::new(file), path, source, classes, tally };
        predictions.write(&TestedImage::COLUMNS.join(","))?;
        Ok(predictions)
    }

    /// Writes a row for each image of a batch.
    ///
    /// * `logits`: `[N, classes]` f32.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn add(&mut self, batch: &DeviceBatch, logits: &Tensor) -> Result<(), StageError> {
        let mut labels = vec![0i64; batch.count];
        batch.labels.to_device(Device::Cpu).copy_data(&mut labels, batch.count);
        for ((position, label), found) in batch.positions.iter().zip(labels).zip(scores(logits, &batch.labels)) {
            let class = label as usize;
            self.tally.add(class, found.predicted, found.rank);
            let row = TestedImage {
                image: self.source.path(*position).to_owned(),
                class: self.classes[class].clone(),
                predicted: found.predicted.map(|predicted| self.classes[predicted].clone()),
                confidence: found.confidence,
                class_probability: found.class_probability,
                loss: found.loss,
                rank: found.rank,
            };
            self.write(&row.to_row())?;
        }
        Ok(())
    }

    /// Syncs the file to disk and returns the counts.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn finish(mut self) -> Result<TestTally, StageError> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|error| StageError::file("write", &self.path, &error))?;
        Ok(self.tally)
    }

    fn write(&mut self, row: &str) -> Result<(), StageError> {
        writeln!(self.file, "{row}").map_err(|error| StageError::file("write", &self.path, &error))
    }
}

/// The prediction for one image; the fields are those of [`TestedImage`], with the label of the predicted class.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scores {
    predicted: Option<usize>,
    confidence: f64,
    class_probability: f64,
    loss: f64,
    rank: usize,
}

/// Returns the predictions from logits, `[N, classes]` f32, and labels, `[N]` i64. Copies from the device only once.
fn scores(logits: &Tensor, labels: &Tensor) -> Vec<Scores> {
    let (images, classes) = (logits.size()[0], logits.size()[1]);
    let own = labels.unsqueeze(1);
    let logit = logits.gather(1, &own, false);
    // A class ranks after the true class if its logit is smaller, or equal and its label is larger. NaN ranks first.
    let numbers = Tensor::arange(classes, (Kind::Int64, logits.device()));
    let after = logits.lt_tensor(&logit).logical_or(&logits.eq_tensor(&logit).logical_and(&numbers.gt_tensor(&own)));
    let rank = classes - after.sum_dim_intlist(1i64, true, Kind::Int64);
    let logarithms = logits.to_kind(Kind::Double).log_softmax(-1, Kind::Double);
    let predicted = logits.argmax(1, true);
    let confidence = logarithms.gather(1, &predicted, false).exp();
    let truth = logarithms.gather(1, &own, false);
    let columns = [predicted.to_kind(Kind::Double), confidence, truth.exp(), truth.neg(), rank.to_kind(Kind::Double)];
    let table = Tensor::cat(&columns, 1).to_device(Device::Cpu).contiguous();
    let mut values = vec![0f64; images as usize * VALUES];
    let count = values.len();
    table.copy_data(&mut values, count);
    let from_row = |row: &[f64]| Scores {
        predicted: row[1].is_finite().then_some(row[0] as usize),
        confidence: row[1],
        class_probability: row[2],
        loss: row[3],
        rank: row[4] as usize,
    };
    values.chunks(VALUES).map(from_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(logits: &[f32], label: i64) -> Scores {
        let logits = Tensor::from_slice(logits).unsqueeze(0);
        scores(&logits, &Tensor::from_slice(&[label]))[0]
    }

    #[test]
    fn scores_are_the_predicted_class_the_probabilities_and_the_rank() {
        let guess = of(&[0.0, 3f32.ln(), 0.0], 2);
        assert_eq!((guess.predicted, guess.rank), (Some(1), 3), "ties are broken by label");
        assert!((guess.confidence - 0.6).abs() < 1e-6 && (guess.class_probability - 0.2).abs() < 1e-6);
        assert!((guess.loss - 5f64.ln()).abs() < 1e-6);
        assert_eq!(of(&[0.0, 3f32.ln(), 0.0], 0).rank, 2);
        assert_eq!(of(&[1.0, 1.0], 0), Scores { rank: 1, ..of(&[1.0, 1.0], 0) });
        assert_eq!((of(&[1.0, 1.0], 1).predicted, of(&[1.0, 1.0], 1).rank), (Some(0), 2));
        assert_eq!((of(&[4.0], 0).confidence, of(&[4.0], 0).loss), (1.0, 0.0));
    }

    #[test]
    fn outputs_that_are_not_finite_predict_no_class_and_rank_last() {
        for logits in [[f32::NAN, 0.0], [f32::NAN, f32::NAN], [f32::INFINITY, 0.0]] {
            let guess = of(&logits, 1);
            assert_eq!((guess.predicted, guess.rank), (None, 2), "{logits:?}");
            assert!(guess.confidence.is_nan() && guess.loss.is_nan());
        }
        assert_eq!(of(&[f32::NAN, 0.0], 0).rank, 2, "NaN for the true class is not a hit");
    }
}
