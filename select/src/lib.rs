//! Selects one of many architectures of equal latency by candidates, features, regression and successive halving.
//!
//! A search on few images cannot distinguish architectures, but short trainings can. This crate decides which
//! architectures to train, for how many epochs, and which one to select. It is independent of tensors, files and
//! processes: the caller runs the trainings that [`Selection::step`] requests, in any order, and passes the losses to
//! [`Selection::record`].
//!
//! # Method
//!
//! 1. Initial candidates, each fitted to the target latency: the architecture found by the search, samples from its
//!    probabilities, a few rules (one operation and one fraction of the depth everywhere), and uniform draws.
//! 2. All are trained for the first rung. A ridge regression of their losses on about 40 features (depth, kernels,
//!    squeeze-excite, expansion, widths and latency share of each block group; size of the network) predicts untrained
//!    candidates. In rounds, it proposes the best of a pool of uniform draws and mutations of the leaders, which are
//!    trained too. Every fourth proposal is a uniform draw, so that a wrong regression can be corrected.
//! 3. The best candidates continue from rung to rung, ranked by a weighted sum of their own losses and the regression.
//!    The weight of their own losses grows with the number of epochs.
//!
//! The regression uses only the order of the losses and does not extrapolate (features are clamped to the observed
//! range). A trained candidate is ranked by the prediction of a regression on all other candidates. The penalty is the
//! one with the smallest leave-one-out error, so the effect of the regression is small if the features explain little.
//!
//! # Limitations
//!
//! * The quality of an architecture after a longer training than the last rung, or on other images, is unknown.
//! * The noise of a training is unknown, because each candidate is trained once. [`Outcome::margin`] compares with the
//!   difference between training and validation loss, which is smaller than the difference between two seeds.
//! * The percentile is an estimate. The winner is chosen by the scores that [`Percentile`] compares, which biases the
//!   estimate upwards: in the simulation (`examples/simulate.rs`), the true value is below [`Percentile::low`] in about
//!   one of five runs with the default settings, and in two of five with 24 candidates and two rounds of 8. Without
//!   this bias it would be one of ten.
//!
//! # Determinism
//!
//! Draws depend on the seed, and sums run in the order of the ids. The same problem, settings and scores give the same
//! outcome bit for bit, regardless of the order in which trainings end. A selection is not saved; it is replayed from
//! its scores.
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
