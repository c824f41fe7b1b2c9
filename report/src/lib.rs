//! Builds the report of a run: a self-contained HTML page, each figure also as SVG, each table also as CSV.
//!
//! The caller reads the outputs of the stages and passes them as plain values; this crate opens no files. Sections of
//! stages without output are omitted, and the page lists them.
//!
//! The page loads no resources and runs no scripts. It supports light and dark themes, printing, keyboards and screen
//! readers: each figure has a title, a description and its numbers as a table.
//!
//! | section | content |
//! |---|---|
//! | result | accuracy, latency against the target, size |
//! | under way | stages at work, while the run is under way |
//! | pipeline | stages: which ran, which were cached, and how long they took |
//! | search | probabilities of operations and depths, and the progress of the search by epoch |
//! | selection | candidates: cost, score, training; weights of the regression |
//! | architecture | the network, block by block |
//! | training, test | curves over epochs; accuracy per class |
//! | latency | predicted and measured latency |
//! | provenance | digests, keys, seeds, environment; commands that reproduce and audit |
//!
//! # Example
//!
//! ```
//! use tfnas_report::{Network, Output, Report, RunFacts};
//!
//! let test = br#"{"top1": 0.67, "top5": 0.97, "loss": 0.9, "images": 500, "skipped": 0,
//!     "classes": [{"name": "<star>", "images": 50, "top1": 0.54}]}"#;
//! let report = Report {
//!     run: RunFacts { id: "3".to_owned(), outcome: "done".to_owned(), ..RunFacts::default() },
//!     networks: vec![Network { test: Output::from_json(test), ..Network::default() }],
//! };
//! let page = report.html();
//! assert!(page.starts_with("<!DOCTYPE html>") && page.contains("Top-1 67.0 %"));
//! assert!(page.contains("&lt;star&gt;"), "names are escaped");
//! assert!(page.contains("No output of this run: search"), "the page lists what is missing");
//! let names: Vec<String> = report.files().into_iter().map(|file| file.name).collect();
//! assert!(names.contains(&"classes.svg".to_owned()) && names.contains(&"classes.csv".to_owned()));
//! ```

mod chart;
mod mistakes;
mod network;
mod outputs;
mod page;
mod run;
mod section;
mod sections;
mod table;
mod text;

pub use mistakes::{Mistake, Mistakes, Picture};
pub use network::Network;
pub use outputs::{Measured, Output};
pub use page::{Comparison, ReportFile};
pub use run::{Artifact, CandidateSoFar, Invocation, Report, RunFacts, StageRun, UnderWay};
pub use sections::latency_scatter;
