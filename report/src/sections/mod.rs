//! The sections of the page, one per file. Each builds figures and tables from the outputs of its stages, or nothing
//! without outputs.

mod architecture;
mod comparison;
mod curves;
mod latency;
mod overview;
mod pipeline;
mod provenance;
mod search;
mod search_choices;
mod search_probabilities;
mod select;
mod select_figures;
mod test;
mod test_confusion;
mod test_mistakes;
mod tradeoff;
mod training;
mod under_way;

pub use comparison::comparison;
use latency::latency;
pub use latency::latency_scatter;
pub use overview::overview;
pub use pipeline::pipeline;
pub use provenance::provenance;
pub use under_way::under_way;

use crate::network::Network;
use crate::section::Section;

/// Returns the sections of one network, and the names of those without outputs.
pub fn of_network(network: &Network) -> (Vec<Section>, Vec<&'static str>) {
    let unsearched = network.search.is_absent() && network.history.is_absent();
    let sections = [
        ("search", unsearched, search::search(network)),
        ("selection", network.select.is_absent(), select::select(network)),
        ("architecture", network.architecture.is_absent(), architecture::architecture(network)),
        ("training", network.train.is_absent(), training::training(network)),
        ("test", network.test.is_absent(), test::test(network)),
        ("latency", network.lookup.is_absent(), latency(network)),
    ];
    let missing = sections.iter().filter(|(_, absent, _)| *absent).map(|(name, _, _)| *name).collect();
    (sections.into_iter().filter_map(|(_, _, section)| section).collect(), missing)
}
