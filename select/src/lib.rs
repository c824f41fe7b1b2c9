//! Choosing among architectures of one latency: candidates, features, regression, successive halving.
//!
//! A search on few images cannot tell architectures apart. Short trainings can: this crate decides which architectures
//! are worth training, for how long, and which one wins. It has no tensors, opens no files and starts no processes: the
//! caller trains what [`Selection::step`] asks for, in any order, and hands the losses to [`Selection::record`].
//!
//! # How it chooses
//!
//! 1. First candidates, each fitted to the target latency: the search's choice and samples of its probabilities, a few
//!    rules (one operation and one share of the depth everywhere), and uniform draws.
//! 2. All are trained for the first rung. A ridge regression of their losses on some 40 features (depth, kernels,
//!    squeeze-excite, expansion, widths and latency share of each block group; size of the network) predicts untrained
//!    ones. In rounds, it proposes the best of a pool of uniform draws and mutations of the leaders, and these are
//!    trained too. One proposal in four is a uniform draw, so that a wrong regression can be corrected.
//! 3. The best go on from rung to rung, by a weighted sum of their own losses and the regression: the longer the
//!    training, the more it counts.
//!
//! The regression sees the order of the losses alone, does not extrapolate (features are clamped to the range seen),
//! and ranks a trained candidate by what a regression on all others says of it. Its penalty is the one with the
//! smallest leave-one-out error, so that it says little where features explain little.
//!
//! # What it does not know
//!
//! * How good an architecture is after a longer training than the last rung, or on other images.
//! * How noisy a training is: each candidate is trained once. [`Outcome::margin`] compares with how far training and
//!   validation loss disagree, which is less than the difference between two seeds.
//! * The true percentile. The winner is chosen by the scores that [`Percentile`] compares, so it flatters: in the
//!   simulation (`examples/simulate.rs`), it lies below [`Percentile::low`] in about one run of five with the default
//!   settings, and in two of five with 24 candidates and two rounds of 8; without that choice it would in one of ten.
//!
//! # Determinism
//!
//! Draws depend on the seed, sums run in the order of the ids: the same problem, settings and scores give the same
//! outcome to the bit, in whatever order trainings end. A selection is not saved: it is repeated from its scores.
//!
//! # Example
//!
//! ```
//! use tfnas::{LatencyTable, Space};
//! use tfnas_select::{EpochScore, Problem, Selection, Settings, Step};
//!
//! let problem = Problem {
//!     space: Space::imagenet(),
//!     table: LatencyTable::titan_rtx(),
//!     target_ms: 12.0,
//!     seed: 0,
//!     search: None,
//! };
//! let settings = Settings {
//!     candidates: 12,
//!     proposals: vec![4],
//!     rungs: vec![1, 3],
//!     keep: vec![4],
//!     pool: 200,
//!     ..Settings::default()
//! };
//! let mut selection = Selection::new(problem, settings)?;
//! while let Step::Train(trainings) = selection.step() {
//!     let scores = trainings.iter().map(|training| {
//!         // Train `selection.candidates()[training.id].architecture`; here, shallow networks learn faster.
//!         let depth = selection.candidates()[training.id].architecture.block_count() as f64;
//!         let epochs = (1..=training.epochs).map(|epoch| {
//!             let loss = depth / epoch as f64;
//!             EpochScore { epoch, train_loss: loss, val_loss: Some(loss), val_top1: None }
//!         });
//!         (training.id, epochs.collect())
//!     });
//!     let scores = scores.collect();
//!     selection.record(scores)?;
//! }
//! let outcome = selection.outcome().expect("the loop ends when it has finished");
//! let best = &outcome.ranking[0];
//! assert_eq!(best.id, outcome.winner);
//! assert!(best.architecture.block_count() <= 10 && best.predicted_ms <= 12.0);
//! assert!(outcome.regression.coefficients[0].words.contains("fewer blocks"));
//! # Ok::<(), tfnas_select::SelectError>(())
//! ```

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
