//! One file per command: its options and its implementation.

mod artifact;
pub mod audit;
pub mod cache;
pub mod check;
pub mod compare;
pub mod completions;
pub mod config;
pub mod doctor;
pub mod explain;
pub mod export;
pub mod gc;
pub mod init;
pub mod keys;
pub mod lineage;
pub mod log;
pub mod man;
pub mod plan;
pub mod predict;
pub mod publish;
pub mod report;
mod results;
pub mod run;
pub mod show;
pub mod split;
pub mod status;
pub mod table;
pub mod weights;
