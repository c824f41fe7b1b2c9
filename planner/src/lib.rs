//! Determines which stages must run, and why.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the configuration: one YAML file, `--set`, and the origin of each value |
//! | [`plan`] | the graph of stages, their cache keys, results in the ledger, checks of inputs before any work |
//! | [`machine`] | facts about this machine and this build, determined without libtorch |
//! | [`lock`] | `pipeline.lock`: the results of the last run, as a text file for review and version control |
//! | [`output`] | typed outputs of stages, read from the store |
//! | [`table_file`], [`network_file`], [`generated_images`] | files of the user that are checked before a run |
//!
//! The planner starts no processes and writes no results; `tfnas-executor` runs the plan. The planner does not link
//! libtorch.
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
