//! Choosing among architectures of one latency: candidates, features, regression, successive halving.

mod candidate;
mod draw;
mod error;
mod features;
mod first;
mod fit;
mod genes;
mod mutate;
mod outcome;
mod propose;
mod report;
mod ridge;
mod rung;
mod score;
mod selection;
mod settings;
mod stats;

pub use candidate::{Candidate, Origin, Problem, SearchResult};
pub use error::SelectError;
pub use outcome::{Coefficient, Outcome, Percentile, Ranked, RegressionReport};
pub use rung::RungScore;
pub use score::EpochScore;
pub use selection::{Selection, Step, Training};
pub use settings::{Settings, SettingsError};

pub(crate) fn tune(name: &str, default: f64) -> f64 {
    std::env::var(name).map_or(default, |t| t.parse().unwrap_or(default))
}
