//! The files that stages write, one module per stage. The worker writes these types; the planner, the reports and the audit
//! read them.
//!
//! Shares are between 0 and 1, latencies are in milliseconds. A number that is not finite is written as `null` and read as NaN
//! ([`finite`]). Fields that earlier releases did not write have a default, so that their files can still be read.

mod lookup;
mod number;
mod parse;
mod predictions;
mod search;
mod select;
mod split;
mod test;
mod train;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Stage;

pub use lookup::{LookupCheck, LookupReport, TableOrigin};
pub use number::finite;
pub use parse::{ArchitectureReport, BlockReport};
pub use predictions::{PredictionsError, TestedImage};
pub use search::{SearchEpoch, SearchResult, SearchResultError, probabilities};
pub use select::{SelectReport, Selected};
pub use split::SplitReport;
pub use test::{ClassReport, ConfusedPair, Confusion, TestReport, TestTally};
pub use train::{TrainEpoch, TrainReport};

/// A JSON file that a stage writes.
///
/// ```
/// use tfnas_stages::{StageOutput, TestReport};
///
/// let text = br#"{"top1": 0.75, "top5": 1.0, "loss": null, "images": 4, "skipped": 0, "classes": []}"#;
/// let report = TestReport::from_json(text)?;
/// assert_eq!((TestReport::FILE, report.top1), ("test.json", 0.75));
/// assert!(report.loss.is_nan() && report.to_json()?.contains("\"loss\": null"));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub trait StageOutput: Serialize + DeserializeOwned {
    /// The stage that writes the file.
    const STAGE: Stage;
    /// File name.
    const FILE: &'static str;

    /// Returns the content of the file: indented JSON.
    ///
    /// # Errors
    /// Returns an error if a value cannot be represented in JSON, which no output has.
    fn to_json(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string_pretty(self)?))
    }

    /// Parses the content of the file.
    ///
    /// # Errors
    /// Returns an error if the bytes are not JSON or do not have the fields of this type.
    fn from_json(bytes: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

macro_rules! outputs {
    ($($type:ty => $stage:ident, $file:literal;)*) => {
        $(impl StageOutput for $type {
            const STAGE: Stage = Stage::$stage;
            const FILE: &'static str = $file;
        })*

        /// All outputs with their stages.
        #[cfg(test)]
        const FILES: &[(Stage, &str)] = &[$((Stage::$stage, $file)),*];
    };
}

outputs! {
    SplitReport => Split, "split.json";
    LookupReport => Lookup, "lookup.json";
    SearchResult => Search, "search.json";
    Vec<SearchEpoch> => Search, "history.json";
    Selected => Select, "selected.json";
    SelectReport => Select, "candidates.json";
    ArchitectureReport => Parse, "architecture.json";
    TrainReport => Train, "train.json";
    TestReport => Test, "test.json";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_output_of_a_stage_has_a_type() {
        for stage in Stage::ALL {
            for output in stage.outputs(true).iter().filter(|output| output.ends_with(".json")) {
                assert!(FILES.contains(&(*stage, *output)), "{output} of {} has no type", stage.name());
            }
        }
        assert!(FILES.iter().all(|(stage, file)| stage.outputs(false).contains(file)));
    }
}
