//! The outputs of all stages for one network.

use tfnas::Space;
use tfnas_stages::{
    ArchitectureReport, LookupReport, SearchEpoch, SearchResult, SelectReport, StageOutput, TestReport, TestedImage,
    TrainReport, finite,
};

use crate::mistakes::Mistakes;
use crate::outputs::{Measured, Output};

/// A network of a run, with the outputs of all stages.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Label that distinguishes it from the other networks of a matrix, such as `12`; empty if there is only one.
    pub label: String,
    /// The search space.
    pub space: Option<Space>,
    /// `lookup.json`.
    pub lookup: Output<LookupReport>,
    /// `search.json`.
    pub search: Output<SearchResult>,
    /// `history.json`.
    pub history: Output<Vec<SearchEpoch>>,
    /// `candidates.json`.
    pub select: Output<SelectReport>,
    /// `architecture.json`.
    pub architecture: Output<ArchitectureReport>,
    /// The measured latency.
    pub measured: Option<Measured>,
    /// `train.json`.
    pub train: Output<TrainReport>,
    /// `test.json`.
    pub test: Output<TestReport>,
    /// The wrong predictions with the largest loss, from `predictions.csv`.
    pub mistakes: Output<Mistakes>,
}

impl Network {
    /// Returns the target latency, in milliseconds.
    pub fn target_ms(&self) -> Option<f64> {
        let parsed = self.architecture.get().and_then(|architecture| finite(architecture.target_lat_ms));
        parsed.or_else(|| self.select.get().map(|report| report.target_lat_ms))
    }

    /// Returns the predicted latency, in milliseconds.
    pub fn predicted_ms(&self) -> Option<f64> {
        self.architecture.get().and_then(|architecture| finite(architecture.predicted_lat_ms))
    }

    /// Returns the measured latency, in milliseconds.
    pub fn measured_ms(&self) -> Option<f64> {
        self.measured.map(|measured| measured.comparable_ms()).filter(|ms| ms.is_finite() && *ms > 0.0)
    }

    /// Returns the id of a section or figure, unique among networks.
    pub(crate) fn id(&self, name: &str) -> String {
        match crate::text::slug(&self.label) {
            label if self.label.is_empty() || label.is_empty() => name.to_owned(),
            label => format!("{name}-{label}"),
        }
    }

    /// Returns a heading that names the network.
    pub(crate) fn heading(&self, name: &str) -> String {
        if self.label.is_empty() { name.to_owned() } else { format!("{name} ({})", self.label) }
    }

    /// Returns the outputs that cannot be read, with the reason.
    pub(crate) fn problems(&self) -> Vec<String> {
        fn problem<O: StageOutput>(output: &Output<O>) -> Option<String> {
            Some(format!("{} cannot be read: {}", O::FILE, output.problem()?))
        }
        let problems = [
            problem(&self.lookup),
            problem(&self.search),
            problem(&self.history),
            problem(&self.select),
            problem(&self.architecture),
            problem(&self.train),
            problem(&self.test),
            self.mistakes.problem().map(|why| format!("{} cannot be read: {why}", TestedImage::FILE)),
        ];
        problems.into_iter().flatten().collect()
    }
}
