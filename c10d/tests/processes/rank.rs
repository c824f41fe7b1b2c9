//! Runs one scenario as a rank.

use std::time::Duration;

use tfnas_c10d::{Environment, ProcessGroup, Store, rendezvous};

use crate::world::SCENARIO;
use crate::{collectives, faults, gradients};

/// Timeout of scenarios without failures.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A connected rank.
pub struct Member {
    pub environment: Environment,
    pub store: Store,
    pub group: ProcessGroup,
}

/// Connects to the other ranks.
pub fn join(timeout: Duration) -> Member {
    let environment = Environment::read().unwrap().expect("started by another test");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    let group = ProcessGroup::gloo(&store, &environment, timeout).unwrap();
    Member { environment, store, group }
}

#[test]
#[ignore = "a rank of other tests"]
fn run() {
    tch::set_num_threads(1);
    match std::env::var(SCENARIO).expect("started by another test").as_str() {
        "all_reduce" => collectives::all_reduce(),
        "broadcast" => collectives::broadcast(),
        "nccl" => collectives::nccl(),
        "all_gather" => collectives::all_gather(),
        "sum_over_ranks" => gradients::sum_over_ranks(),
        "batch_norm" => gradients::batch_norm(),
        "reducer" => gradients::reducer(),
        "unused" => gradients::unused(),
        "used_by_all" => gradients::used_by_all(),
        "one_leaves" => faults::one_leaves(),
        "one_dies" => faults::one_dies(),
        "one_hangs" => faults::one_hangs(),
        "other_shapes" => faults::other_shapes(),
        "meet" => faults::meet(TIMEOUT),
        "meet_soon" => faults::meet(faults::SHORT),
        "store" => faults::store(),
        "no_nccl" => faults::no_nccl(),
        unknown => panic!("no scenario {unknown}"),
    }
}
