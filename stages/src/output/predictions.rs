//! The predictions of `test` for each image.

use std::io::{self, BufRead};

use super::number::finite;
use crate::csv::{csv_field, read_record};

/// One row of `predictions.csv`: the prediction for one test image.
#[derive(Clone, Debug, PartialEq)]
pub struct TestedImage {
    /// Path of the image, relative to the image folder, as in the list.
    pub image: String,
    /// True class.
    pub class: String,
    /// Class with the largest probability; `None` if the network's output is not finite.
    pub predicted: Option<String>,
    /// Probability of the predicted class.
    pub confidence: f64,
    /// Probability of the true class.
    pub class_probability: f64,
    /// Cross-entropy loss.
    pub loss: f64,
    /// Rank of the true class among all classes by probability, from 1. Ties are broken by the order of the classes.
    pub rank: usize,
}

/// Why `predictions.csv` cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PredictionsError {
    /// The file cannot be read, or is not CSV.
    #[error("row {row}: {source}")]
    Read {
        /// Number of the row, from 1.
        row: usize,
        /// The I/O or syntax error.
        source: io::Error,
    },
    /// The header or a row does not have the expected columns or values.
    #[error("row {row}: {what}")]
    Row {
        /// Number of the row, from 1; 0 for the header.
        row: usize,
        /// The reason.
        what: String,
    },
}

impl TestedImage {
    /// File name.
    pub const FILE: &'static str = "predictions.csv";
    /// Column names.
    pub const COLUMNS: [&'static str; 7] =
        ["image", "class", "predicted", "confidence", "class_probability", "loss", "rank"];

    /// Returns the row as CSV, without a line break. Numbers that are not finite become empty fields.
    pub fn to_row(&self) -> String {
        let number = |number: f64| finite(number).map(|number| format!("{number:.6}")).unwrap_or_default();
        [
            csv_field(&self.image),
            csv_field(&self.class),
            self.predicted.as_deref().map(csv_field).unwrap_or_default(),
            number(self.confidence),
            number(self.class_probability),
            number(self.loss),
            self.rank.to_string(),
        ]
        .join(",")
    }

    /// Returns an iterator over the rows of a file. It ends after the first error.
    pub fn read(reader: impl BufRead) -> impl Iterator<Item = Result<Self, PredictionsError>> {
        let (mut reader, mut row, mut ended) = (reader, 0, false);
        std::iter::from_fn(move || {
            if ended {
                return None;
            }
            let mut next = || -> Result<Option<Self>, PredictionsError> {
                if row == 0 {
                    match record(&mut reader, row)? {
                        Some(columns) if columns == Self::COLUMNS => {}
                        _ => {
                            return Err(PredictionsError::Row { row, what: "unexpected column names".to_owned() });
                        }
                    }
                }
                row += 1;
                record(&mut reader, row)?.map(|fields| Self::parse(&fields, row)).transpose()
            };
            let found = next().transpose();
            ended = !matches!(found, Some(Ok(_)));
            found
        })
    }

    fn parse(fields: &[String], row: usize) -> Result<Self, PredictionsError> {
        let wrong = |what: String| PredictionsError::Row { row, what };
        let [image, class, predicted, confidence, class_probability, loss, rank] = fields else {
            return Err(wrong(format!("expected {} fields, found {}", Self::COLUMNS.len(), fields.len())));
        };
        let number = |text: &str, column: &str| match text {
            "" => Ok(f64::NAN),
            text => text.parse().map_err(|_| wrong(format!("{column} `{text}` is not a number"))),
        };
        Ok(Self {
            image: image.clone(),
            class: class.clone(),
            predicted: Some(predicted.clone()).filter(|predicted| !predicted.is_empty()),
            confidence: number(confidence, "confidence")?,
            class_probability: number(class_probability, "class_probability")?,
            loss: number(loss, "loss")?,
            rank: rank.parse().map_err(|_| wrong(format!("rank `{rank}` is not a whole number")))?,
        })
    }
}

fn record(reader: &mut impl BufRead, row: usize) -> Result<Option<Vec<String>>, PredictionsError> {
    read_record(reader).map_err(|source| PredictionsError::Read { row, source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn image(image: &str, predicted: Option<&str>, loss: f64) -> TestedImage {
        TestedImage {
            image: image.to_owned(),
            class: "cat, \"the\"".to_owned(),
            predicted: predicted.map(str::to_owned),
            confidence: 0.75,
            class_probability: 0.25,
            loss,
            rank: 2,
        }
    }

    fn text(rows: &[TestedImage]) -> String {
        let rows: String = rows.iter().map(|row| format!("{}\n", row.to_row())).collect();
        format!("{}\n{rows}", TestedImage::COLUMNS.join(","))
    }

    #[test]
    fn rows_survive_a_round_trip() {
        let rows = [image("a,b/\"1\".jpg", Some("dog"), 1.5), image("größe\n.jpg", Some("a,b"), 0.0)];
        let read: Vec<TestedImage> = TestedImage::read(text(&rows).as_bytes()).map(Result::unwrap).collect();
        assert_eq!(read, rows);
        assert_eq!(rows[0].to_row(), "\"a,b/\"\"1\"\".jpg\",\"cat, \"\"the\"\"\",dog,0.750000,0.250000,1.500000,2");
    }

    #[test]
    fn numbers_that_are_not_finite_are_empty_fields() {
        let row = image("a.jpg", None, f64::INFINITY);
        assert!(row.to_row().ends_with(",,0.750000,0.250000,,2"), "{}", row.to_row());
        let read = TestedImage::read(text(&[row]).as_bytes()).next().unwrap().unwrap();
        assert!(read.predicted.is_none() && read.loss.is_nan());
    }

    #[test]
    fn errors_in_invalid_or_truncated_files_name_the_row() {
        let valid = text(&[image("a.jpg", None, 1.0)]);
        let cut = &valid[..valid.len() - 3];
        for (bytes, expected) in [
            ("", "row 0: unexpected column names"),
            ("a,b\n", "row 0: unexpected column names"),
            (cut, "row 1: expected 7 fields, found 6"),
            (&valid.replace("0.75", "many"), "row 1: confidence `many0000` is not a number"),
            (&format!("{valid}x\n"), "row 2: expected 7 fields, found 1"),
            (&format!("{valid}\"x\n"), "row 2: a quoted field is not closed"),
        ] {
            let mut rows = TestedImage::read(bytes.as_bytes()).skip_while(Result::is_ok);
            assert_eq!(rows.next().unwrap().unwrap_err().to_string(), expected);
            assert!(rows.next().is_none(), "the rows end after an error");
        }
    }
}
