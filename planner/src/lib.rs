//! What must run, and why.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | the configuration: one YAML file, `--set`, where each value came from |
//! | [`plan`] | the graph of stages, their cache keys, what the ledger knows of them, checks of inputs before work |
//! | [`machine`] | facts about this machine and this build, found without libtorch |
//! | [`lock`] | `pipeline.lock`: the results of the last run, as text to review and commit |
//! | [`output`] | typed outputs of stages, read from the store |
//! | [`table_file`], [`network_file`], [`generated_images`] | files of users that the checks read |
//!
//! The planner starts nothing and writes no result: `tfnas-executor` runs what it plans. It does not link libtorch.
//!
//! ```
//! use tfnas_planner::config::Configuration;
//! use tfnas_planner::plan::{Graph, select};
//!
//! let configuration = Configuration::load(None, &["search.target_lat_ms=0.3".to_owned()])?;
//! let graph = Graph::new(&configuration);
//! let chosen = select(&graph, &["parse".to_owned()])?;
//! let needed: Vec<_> = graph.closure(chosen).into_iter().map(|at| graph.instances[at].id.as_str()).collect();
//! assert_eq!(needed, ["split", "lookup", "search", "select", "parse"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod generated_images;
pub mod lock;
pub mod machine;
pub mod network_file;
pub mod output;
pub mod plan;
pub mod table_file;
