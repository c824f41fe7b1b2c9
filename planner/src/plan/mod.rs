//! Determines which stages run, and why: the graph of instances, their cache keys, and their results in the ledger.

mod action;
mod cause;
mod chain;
mod estimate;
mod graph;
mod input;
mod key;
mod network;
mod planner;
mod precision;
mod search_budget;
mod select;
mod target;
mod test_images;

pub use action::{Action, Plan, Step};
pub use cause::{Cause, CauseField, Changes};
pub use chain::chain;
pub use graph::{External, Graph, InputSource, Instance};
pub use input::{ExternalInputs, IMAGE_FOLDER, IdentifiedImages, InputError, check};
use key::manifest;
pub use network::{NetworkError, check_networks};
pub use planner::{PlanError, Planner};
pub use precision::{PrecisionError, check_precisions};
pub use search_budget::{ShortSearch, short_searches};
pub use select::{SelectError, select};
pub use target::{TargetError, check_targets};
pub use test_images::{Remark, Remarks, TestImagesError, check_test_images};
