use tfnas::Space;
use tfnas_stages::{
    ArchitectureReport, LookupReport, SearchEpoch, SearchResult, SelectReport, StageOutput, TestReport, TestedImage,
    TrainReport, finite,
};

use crate::mistakes::Mistakes;
use crate::outputs::{Measured, Output};

/// One network that a run found, with what the stages before and after it wrote.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// What tells it from the others of a matrix, as `12`; empty for the only one.
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
    /// The worst mistakes of `predictions.csv`.
    pub mistakes: Output<Mistakes>,
}

impl Network {
    /// Returns the latency that it had to meet, in milliseconds.
    pub fn target_ms(&self) -> Option<f64> {
        let parsed = self.architecture.get().and_then(|architecture| finite(architecture.target_lat_ms));
        parsed.or_else(|| self.select.get().map(|report| report.target_lat_ms))
    }

    /// Returns its latency by the table, in milliseconds.
    pub fn predicted_ms(&self) -> Option<f64> {
        self.architecture.get().and_then(|architecture| finite(architecture.predicted_lat_ms))
    }

    /// Returns its measured latency, in milliseconds.
    pub fn measured_ms(&self) -> Option<f64> {
        self.measured.map(|measured| measured.comparable_ms()).filter(|ms| ms.is_finite() && *ms > 0.0)
    }

    /// Returns an id of a section or figure, unique among networks.
    pub(crate) fn id(&self, name: &str) -> String {
        match crate::text::slug(&self.label) {
            label if self.label.is_empty() || label.is_empty() => name.to_owned(),
            label => format!("{name}-{label}"),
        }
    }

    /// Returns a heading that says which network it is about.
    pub(crate) fn heading(&self, name: &str) -> String {
        if self.label.is_empty() { name.to_owned() } else { format!("{name} ({})", self.label) }
    }

    /// Returns what cannot be read, and why.
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
