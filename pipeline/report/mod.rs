//! Output for the user: log lines and progress on standard error, events and tables on standard output.

mod bars;
mod event_log;
mod expected;
mod found;
mod log;
mod network;
pub mod out;
mod profile;
mod reporter;
mod selection;

pub use event_log::EventLog;
pub use found::found;
pub use log::{LogFormat, set_up};
pub use network::{Network, NetworkResults, closure, networks};
pub use out::{print, print_data, print_json, print_json_line, print_styled};
pub use reporter::Reporter;
pub use selection::{Selection, candidate_table, candidates};
