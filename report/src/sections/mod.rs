//! The sections of the page, one a file: each makes figures and tables of what its stages wrote, and nothing where they
//! wrote nothing.

mod architecture;
mod curves;
mod latency;
mod overview;
mod pipeline;
mod provenance;
mod search;
mod search_choices;
mod select;
mod select_figures;
mod test;
mod training;

pub use latency::latency;
pub use overview::overview;
pub use pipeline::pipeline;
pub use provenance::provenance;

use crate::network::Network;
use crate::section::Section;

/// Returns the sections of one network, and the names of those for which there is no output.
pub fn of_network(network: &Network) -> (Vec<Section>, Vec<&'static str>) {
    let sections = [
        ("search", search::search(network)),
        ("selection", select::select(network)),
        ("architecture", architecture::architecture(network)),
        ("training", training::training(network)),
        ("test", test::test(network)),
        ("latency", latency(network)),
    ];
    let missing = sections.iter().filter(|(_, section)| section.is_none()).map(|(name, _)| *name).collect();
    (sections.into_iter().filter_map(|(_, section)| section).collect(), missing)
}
