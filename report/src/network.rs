use tfnas::Space;
use tfnas_stages::SelectReport;

use crate::outputs::{ArchitectureReport, Lookup, Measured, Output, SearchEpoch, SearchResult, Test, Training};

/// One network that a run found, with what the stages before and after it wrote.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// What tells it from the others of a matrix, as `12`; empty for the only one.
    pub label: String,
    /// The search space.
    pub space: Option<Space>,
    /// `lookup.json`.
    pub lookup: Output<Lookup>,
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
    pub train: Output<Training>,
    /// `test.json`.
    pub test: Output<Test>,
}

impl Network {
    /// Returns the latency that it had to meet, in milliseconds.
    pub fn target_ms(&self) -> Option<f64> {
        let parsed = self.architecture.get().and_then(|architecture| architecture.target_lat_ms);
        parsed.or_else(|| self.select.get().map(|report| report.target_lat_ms))
    }

    /// Returns its latency by the table, in milliseconds.
    pub fn predicted_ms(&self) -> Option<f64> {
        self.architecture.get().and_then(|architecture| architecture.predicted_lat_ms)
    }

    /// Returns its measured latency, in milliseconds.
    pub fn measured_ms(&self) -> Option<f64> {
        self.measured.map(|measured| measured.median).filter(|ms| ms.is_finite() && *ms > 0.0)
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
        let outputs = [
            ("lookup.json", self.lookup.problem()),
            ("search.json", self.search.problem()),
            ("history.json", self.history.problem()),
            ("candidates.json", self.select.problem()),
            ("architecture.json", self.architecture.problem()),
            ("train.json", self.train.problem()),
            ("test.json", self.test.problem()),
        ];
        let said = outputs.into_iter().filter_map(|(name, why)| Some(format!("{name} cannot be read: {}", why?)));
        said.collect()
    }
}
