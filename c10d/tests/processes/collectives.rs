//! Collectives of ranks that all do their part.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::ReduceOperation::{Max, Mean, Sum};
use tfnas_c10d::{Environment, ProcessGroup, Reducer, ReducerSettings, rendezvous};

use crate::rank::{Member, TIMEOUT, join};
use crate::world::{say, succeed};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

/// Rank r holds r, r + 1, r + 2, … in this shape.
fn counting(rank: usize, shape: &[i64], kind: Kind) -> Tensor {
    let count: i64 = shape.iter().product();
    let first = rank as i64;
    Tensor::arange_start(first, first + count, (kind, Device::Cpu)).view(shape)
}

pub fn all_reduce() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let rank = environment.rank();
    for operation in [Sum, Mean, Max] {
        let mut tensor = counting(rank, &[3], Kind::Float);
        group.all_reduce(&mut tensor, operation).unwrap();
        say(format!("{:?}", numbers(&tensor)));
    }
    let mut integers = counting(rank, &[2], Kind::Int64);
    group.all_reduce(&mut integers, Sum).unwrap();
    say(format!("{:?}", numbers(&integers)));
    say(group.all_reduce(&mut integers, Mean).unwrap_err());
    // Every second column: neither contiguous nor dense.
    let whole = counting(rank, &[2, 4], Kind::Double);
    group.all_reduce(&mut whole.slice(1, 0, 4, 2), Sum).unwrap();
    say(format!("{:?}", numbers(&whole)));
    let mut parameter = counting(rank, &[2], Kind::Float).set_requires_grad(true);
    group.all_reduce(&mut parameter, Mean).unwrap();
    say(format!("{:?}", numbers(&parameter)));
    group.barrier().unwrap();
}

#[test]
fn an_all_reduce_gives_sum_mean_and_largest_on_every_rank() {
    for said in succeed("all_reduce", 3) {
        assert_eq!(said[0], "[3.0, 6.0, 9.0]");
        assert_eq!(said[1], "[1.0, 2.0, 3.0]");
        assert_eq!(said[2], "[2.0, 3.0, 4.0]");
        assert_eq!(said[3], "[3.0, 6.0]");
        assert!(said[4].contains("no mean of Int64"), "{}", said[4]);
        let column = |index: usize| numbers_of(&said[5])[index];
        assert_eq!([column(0), column(2), column(4), column(6)], [3.0, 9.0, 15.0, 21.0]);
        assert!([1.0, 2.0, 3.0].contains(&column(1)), "the columns between are as they were");
        assert_eq!(said[6], "[1.0, 2.0]");
    }
}

fn numbers_of(text: &str) -> Vec<f64> {
    text.trim_matches(['[', ']']).split(", ").map(|number| number.parse().unwrap()).collect()
}

pub fn broadcast() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let rank = environment.rank();
    let weight = counting(rank, &[1, 2, 2, 2], Kind::Float);
    let layout = weight.empty_like();
    let mut channels_last = layout.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    channels_last.copy_(&weight);
    let parameter = channels_last.set_requires_grad(true);
    let batches = counting(rank, &[], Kind::Int64);
    group.broadcast(&[parameter.shallow_clone(), batches.shallow_clone()], 1).unwrap();
    say(format!("{:?}", numbers(&parameter)));
    say(batches.int64_value(&[]));
    say(group.broadcast(&[batches], 2).unwrap_err());
    group.barrier().unwrap();
}

#[test]
fn a_broadcast_gives_all_ranks_the_values_of_one() {
    for said in succeed("broadcast", 2) {
        assert_eq!(said[0], "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]");
        assert_eq!(said[1], "1");
        assert!(said[2].contains("there is no rank 2"), "{}", said[2]);
    }
}

pub fn all_gather() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let gathered = group.all_gather(&counting(environment.rank(), &[2], Kind::Int64)).unwrap();
    say(format!("{:?}", gathered.iter().map(numbers).collect::<Vec<_>>()));
    group.barrier().unwrap();
}

#[test]
fn an_all_gather_gives_every_rank_all_tensors_in_order() {
    for said in succeed("all_gather", 3) {
        assert_eq!(said, ["[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]"]);
    }
}

/// A rank alone, as there may be one GPU: NCCL gives each rank one of its own.
pub fn nccl() {
    let environment = Environment::read().unwrap().expect("only other tests start this one");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    let group = ProcessGroup::nccl(&store, &environment, TIMEOUT).unwrap();
    let on_gpu = |tensor: Tensor| tensor.to_device(Device::Cuda(0));
    let mut tensor = on_gpu(counting(3, &[2], Kind::Float));
    group.all_reduce(&mut tensor, Mean).unwrap();
    group.broadcast(&[tensor.shallow_clone()], 0).unwrap();
    let gathered = group.all_gather(&tensor).unwrap();
    say(format!("{:?}", numbers(&gathered[0])));
    let weight = on_gpu(counting(1, &[2], Kind::Float)).set_requires_grad(true);
    let mut reducer = Reducer::new(&group, &[weight.shallow_clone()], ReducerSettings::default()).unwrap();
    let gradients = reducer.backward(&weight.square().sum(Kind::Float)).unwrap();
    say(format!("{:?}", gradients[0].as_ref().map(numbers)));
    group.barrier().unwrap();
}

#[test]
fn a_rank_computes_by_nccl_where_there_is_a_gpu() {
    if !tfnas_c10d::NCCL_COMPILED || !tch::Cuda::is_available() {
        eprintln!("NOT TESTED HERE: NCCL needs a libtorch with CUDA, and a GPU");
        return;
    }
    for said in succeed("nccl", 1) {
        assert_eq!(said, ["[3.0, 4.0]", "Some([2.0, 4.0])"]);
    }
}
