//! Failing ranks: the other ranks end with an error that names the cause, in time.

use std::time::{Duration, Instant};

use tch::{Device, Kind, Tensor};
use tfnas_c10d::environment::Address;
use tfnas_c10d::store::StoreError;
use tfnas_c10d::{
    Cause, CollectiveError, Environment, ProcessGroup, ReduceOperation, Reducer, ReducerSettings, Store, rendezvous,
};

use crate::rank::{Member, TIMEOUT, join};
use crate::world::{environment, free_port, report, run, start, succeed};

/// Timeout of scenarios in which a rank does not respond.
pub const SHORT: Duration = Duration::from_secs(3);

fn report_cause(error: &CollectiveError) {
    let kind = match error.cause {
        Cause::TimedOut { .. } => "timed out",
        Cause::ConnectionLost { .. } => "lost",
        Cause::Refused { .. } => "refused",
    };
    report(kind);
    report(error);
}

pub fn one_leaves() {
    let Member { environment, group, store } = join(SHORT);
    if environment.rank() == 1 {
        // Its connections stay open until rank 0 has failed.
        store.wait("done", TIMEOUT).unwrap();
        return;
    }
    let began = Instant::now();
    report_cause(&group.barrier().unwrap_err());
    assert!(began.elapsed() < TIMEOUT / 2, "{:?}", began.elapsed());
    if environment.rank() == 0 {
        store.add("done", 1).unwrap();
        store.wait("left", TIMEOUT).unwrap();
    } else {
        store.set("left", b"").unwrap();
    }
}

#[test]
fn a_barrier_times_out_and_names_the_missing_rank() {
    let reported = succeed("one_leaves", 3);
    assert_eq!(reported[0][0], "timed out");
    assert!(reported[0][1].starts_with("rank 0 of 3, barrier:"), "{reported:?}");
    assert!(reported[0][1].contains("Ranks 1 failed"), "{reported:?}");
    assert!(reported[2][1].starts_with("rank 2 of 3, barrier:"), "{reported:?}");
}

pub fn one_dies() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let mut tensor = Tensor::ones([1 << 20], (Kind::Float, Device::Cpu));
    group.all_reduce(&mut tensor, ReduceOperation::Sum).unwrap();
    if environment.rank() == 1 {
        std::process::abort();
    }
    let began = Instant::now();
    report_cause(&group.all_reduce(&mut tensor, ReduceOperation::Sum).unwrap_err());
    assert!(began.elapsed() < TIMEOUT / 2, "a lost connection is detected long before the timeout");
}

#[test]
fn a_rank_that_exits_is_detected_immediately() {
    let exited = run("one_dies", 3);
    assert!(!exited[1].is_success);
    for rank in [0, 2] {
        let exited = &exited[rank];
        assert!(exited.is_success, "{}", exited.output);
        assert_eq!(exited.reported[0], "lost", "{exited:?}");
        assert!(exited.reported[1].starts_with(&format!("rank {rank} of 3, all_reduce:")), "{exited:?}");
    }
}

pub fn one_hangs() {
    let Member { environment, group, store } = join(SHORT);
    if environment.rank() == 1 {
        store.wait("done", TIMEOUT).unwrap();
        return;
    }
    let weight = Tensor::ones([4], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let began = Instant::now();
    let sum = group.sum_over_ranks(&weight);
    report_cause(&sum.unwrap_err());
    assert!(began.elapsed() < TIMEOUT / 2, "{:?}", began.elapsed());
    store.set("done", b"").unwrap();
}

#[test]
fn a_rank_that_hangs_is_detected_by_the_timeout() {
    let reported = succeed("one_hangs", 2);
    assert_eq!(reported[0][0], "timed out", "{reported:?}");
    assert!(
        reported[0][1].starts_with("rank 0 of 2, sum_over_ranks:") && reported[0][1].contains("3 s"),
        "{reported:?}"
    );
}

pub fn other_shapes() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let size = 3 + environment.rank() as i64;
    let parameter = Tensor::ones([size], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    report(Reducer::new(&group, &[parameter], ReducerSettings::default()).unwrap_err());
}

#[test]
fn parameters_of_different_shapes_are_rejected() {
    let exited = run("other_shapes", 2);
    let reported: Vec<&String> = exited.iter().flat_map(|rank| &rank.reported).collect();
    assert!(
        reported.iter().any(|text| text.contains("reducer:") && text.contains("appears not to match")),
        "{exited:?}"
    );
}

pub fn meet(timeout: Duration) {
    let environment = Environment::read().unwrap().expect("a rank");
    match rendezvous(&environment, timeout) {
        Ok(_) => report("met"),
        Err(error) => report(error),
    }
}

#[test]
fn ranks_with_different_world_sizes_fail() {
    let port = free_port();
    let ranks = [start("meet", &environment(0, 2, port), &[]), start("meet", &environment(1, 3, port), &[])];
    for exited in ranks.map(crate::world::Rank::finish) {
        assert!(exited.reported[0].contains("WORLD_SIZE is 2 on rank 0, but 3 on rank 1"), "{exited:?}");
    }
}

#[test]
fn a_rank_that_never_starts_is_named() {
    let exited = start("meet_soon", &environment(0, 2, free_port()), &[]).finish();
    assert!(exited.reported[0].contains("rank 1 did not connect within 3 s"), "{exited:?}");
    let exited = start("meet_soon", &environment(1, 2, free_port()), &[]).finish();
    assert!(exited.reported[0].starts_with("rank 1 of 2, rendezvous: no store responds at 127.0.0.1"), "{exited:?}");
}

#[test]
fn a_port_in_use_fails_all_ranks() {
    let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ranks = [0, 1].map(|rank| start("meet_soon", &environment(rank, 2, port), &[]));
    let [first, second] = ranks.map(crate::world::Rank::finish);
    assert!(first.reported[0].contains(&format!("cannot listen on port {port}")), "{first:?}");
    assert!(second.reported[0].starts_with("rank 1 of 2, rendezvous:"), "{second:?}");
}

pub fn no_nccl() {
    let environment = Environment::read().unwrap().expect("a rank");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    if !tfnas_c10d::NCCL_COMPILED {
        report(ProcessGroup::nccl(&store, &environment, TIMEOUT).unwrap_err());
    }
}

#[test]
fn nccl_without_cuda_is_an_error() {
    for reported in succeed("no_nccl", 1) {
        assert!(reported.iter().all(|text| text.contains("this build does not support NCCL")), "{reported:?}");
    }
}

pub fn store() {
    let short = Duration::from_millis(200);
    let nobody = Address { host: "127.0.0.1".to_owned(), port: free_port() };
    let error = Store::connect(&nobody, short).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");

    let server = Store::host(&Address { port: 0, ..nobody }, TIMEOUT).unwrap();
    let client = Store::connect(server.address(), TIMEOUT).unwrap();
    let error = client.get("never", short).unwrap_err();
    assert!(matches!(&error, StoreError::NotSet { key, .. } if key == "never"), "{error}");
    client.set("after", b"1").expect("the connection still works");

    drop(server);
    let error = client.get("after", short).unwrap_err();
    assert!(matches!(error, StoreError::Lost { .. }), "{error}");
}

#[test]
fn absent_silent_and_lost_stores_are_distinguished() {
    assert_eq!(succeed("store", 1), [[""; 0]]);
}
