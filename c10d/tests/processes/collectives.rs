//! Collectives in which all ranks take part.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::ReduceOperation::{Max, Mean, Sum};
use tfnas_c10d::{Environment, ProcessGroup, Reducer, ReducerSettings, rendezvous};

use crate::rank::{Member, TIMEOUT, join};
use crate::world::{report, succeed};

fn numbers(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).contiguous().view([-1])).unwrap()
}

/// Returns r, r + 1, r + 2, … in this shape for rank r.
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
        report(format!("{:?}", numbers(&tensor)));
    }
    let mut integers = counting(rank, &[2], Kind::Int64);
    group.all_reduce(&mut integers, Sum).unwrap();
    report(format!("{:?}", numbers(&integers)));
    report(group.all_reduce(&mut integers, Mean).unwrap_err());
    // Every second column: neither contiguous nor dense.
    let full = counting(rank, &[2, 4], Kind::Double);
    group.all_reduce(&mut full.slice(1, 0, 4, 2), Sum).unwrap();
    report(format!("{:?}", numbers(&full)));
    let mut parameter = counting(rank, &[2], Kind::Float).set_requires_grad(true);
    group.all_reduce(&mut parameter, Mean).unwrap();
    report(format!("{:?}", numbers(&parameter)));
    group.barrier().unwrap();
}

#[test]
fn all_reduce_computes_sum_mean_and_maximum() {
    for reported in succeed("all_reduce", 3) {
        assert_eq!(reported[0], "[3.0, 6.0, 9.0]");
        assert_eq!(reported[1], "[1.0, 2.0, 3.0]");
        assert_eq!(reported[2], "[2.0, 3.0, 4.0]");
        assert_eq!(reported[3], "[3.0, 6.0]");
        assert!(reported[4].contains("no mean of Int64"), "{}", reported[4]);
        let column = |index: usize| numbers_of(&reported[5])[index];
        assert_eq!([column(0), column(2), column(4), column(6)], [3.0, 9.0, 15.0, 21.0]);
        assert!([1.0, 2.0, 3.0].contains(&column(1)), "the other columns are unchanged");
        assert_eq!(reported[6], "[1.0, 2.0]");
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
    report(format!("{:?}", numbers(&parameter)));
    report(batches.int64_value(&[]));
    report(group.broadcast(&[batches], 2).unwrap_err());
    group.barrier().unwrap();
}

#[test]
fn broadcast_copies_the_values_of_the_root() {
    for reported in succeed("broadcast", 2) {
        assert_eq!(reported[0], "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]");
        assert_eq!(reported[1], "1");
        assert!(reported[2].contains("there is no rank 2"), "{}", reported[2]);
    }
}

pub fn all_gather() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let gathered = group.all_gather(&counting(environment.rank(), &[2], Kind::Int64)).unwrap();
    report(format!("{:?}", gathered.iter().map(numbers).collect::<Vec<_>>()));
    group.barrier().unwrap();
}

#[test]
fn all_gather_returns_all_tensors_in_rank_order() {
    for reported in succeed("all_gather", 3) {
        assert_eq!(reported, ["[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]"]);
    }
}

/// A single rank, because NCCL needs one GPU per rank.
pub fn nccl() {
    let environment = Environment::read().unwrap().expect("started by another test");
    let store = rendezvous(&environment, TIMEOUT).unwrap();
    let group = ProcessGroup::nccl(&store, &environment, TIMEOUT).unwrap();
    let on_gpu = |tensor: Tensor| tensor.to_device(Device::Cuda(0));
    let mut tensor = on_gpu(counting(3, &[2], Kind::Float));
    group.all_reduce(&mut tensor, Mean).unwrap();
    group.broadcast(&[tensor.shallow_clone()], 0).unwrap();
    let gathered = group.all_gather(&tensor).unwrap();
    report(format!("{:?}", numbers(&gathered[0])));
    let weight = on_gpu(counting(1, &[2], Kind::Float)).set_requires_grad(true);
    let mut reducer = Reducer::new(&group, &[weight.shallow_clone()], ReducerSettings::default()).unwrap();
    let gradients = reducer.backward(&weight.square().sum(Kind::Float)).unwrap();
    report(format!("{:?}", gradients[0].as_ref().map(numbers)));
    group.barrier().unwrap();
}

#[test]
fn nccl_collectives_work_on_a_gpu() {
    if !tfnas_c10d::NCCL_COMPILED || !tch::Cuda::is_available() {
        eprintln!("SKIPPED: NCCL needs a CUDA libtorch and a GPU");
        return;
    }
    for reported in succeed("nccl", 1) {
        assert_eq!(reported, ["[3.0, 4.0]", "Some([2.0, 4.0])"]);
    }
}
