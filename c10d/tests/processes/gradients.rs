//! Gradients over ranks.

use tch::{Device, Kind, Tensor};
use tfnas_c10d::{BatchNormTensors, ProcessGroup, Reducer, ReducerSettings};

use crate::rank::{Member, TIMEOUT, join};
use crate::world::{report, succeed};

const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

pub fn sum_over_ranks() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let factor = environment.rank() as f64 + 1.0;
    let x = (Tensor::from_slice(&[1f32, -2.0]) * factor).set_requires_grad(true);
    let sum = group.sum_over_ranks(&(&x * 2.0)).unwrap();
    let loss = sum.square().sum(Kind::Float) * factor;
    let gradient = Tensor::run_backward(&[loss], &[&x], false, false).remove(0);
    report(format!("{:?}", Vec::<f32>::try_from(&sum).unwrap()));
    report(format!("{:?}", Vec::<f32>::try_from(&gradient).unwrap()));
    group.barrier().unwrap();
}

/// Expected values computed manually: the sum is 2 (1 + 2) x = 6 (1, -2); the loss of rank r is (r + 1) sum²; the
/// gradient of x on each rank is 2 · Σ (r + 1) · 2 · sum = 12 sum.
#[test]
fn gradients_flow_through_a_sum_over_ranks() {
    for reported in succeed("sum_over_ranks", 2) {
        assert_eq!(reported, ["[6.0, -12.0]", "[72.0, -144.0]"]);
    }
}

/// A small network: convolution with channels-last weight, linear layer, and a frozen bias.
fn network() -> Vec<Tensor> {
    tch::manual_seed(1);
    let convolution = Tensor::randn([4, 3, 3, 3], OPTIONS).permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    vec![
        convolution.set_requires_grad(true),
        Tensor::zeros([4], OPTIONS),
        Tensor::randn([5, 4], OPTIONS).set_requires_grad(true),
        Tensor::randn([5], OPTIONS).set_requires_grad(true),
    ]
}

fn loss(network: &[Tensor], x: &Tensor) -> Tensor {
    let x = x.conv2d(&network[0], Some(&network[1]), 1, 1, 1, 1).relu().mean_dim(&[2i64, 3][..], false, None);
    x.linear(&network[2], Some(&network[3])).square().mean(Kind::Float)
}

/// Returns whether every rank has the same bytes.
fn is_equal_on_all_ranks(group: &ProcessGroup, tensor: &Tensor) -> bool {
    let gathered = group.all_gather(tensor).unwrap();
    gathered.iter().all(|other| other.equal(&gathered[0]))
}

pub fn reducer() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let network = network();
    // Small buckets, so that there are several.
    let settings = ReducerSettings { bucket_bytes: 200, first_bucket_bytes: 50, find_unused: false };
    let mut reducer = Reducer::new(&group, &network, settings).unwrap();
    for step in 0..4 {
        tch::manual_seed(10 * step + environment.rank() as i64);
        let x = Tensor::randn([2, 3, 4, 4], OPTIONS);
        let trained = [&network[0], &network[2], &network[3]];
        let own = Tensor::run_backward(&[loss(&network, &x)], &trained, false, false);
        let means = own.iter().map(|own| {
            let all = group.all_gather(own).unwrap();
            Tensor::stack(&all, 0).to_kind(Kind::Double).mean_dim(0, false, None)
        });
        let means: Vec<Tensor> = means.collect();
        let gradients = reducer.backward(&loss(&network, &x)).unwrap();
        assert!(gradients[1].is_none(), "the frozen bias has no gradient");
        for (gradient, mean) in gradients.iter().flatten().zip(&means) {
            assert!(is_equal_on_all_ranks(&group, gradient));
            let error = (gradient.to_kind(Kind::Double) - mean).abs().max().double_value(&[]);
            let largest = mean.abs().max().double_value(&[]);
            // One rounding per rank.
            assert!(error <= 3e-7 * largest, "{error} {largest}");
        }
        assert!(
            network.iter().all(|parameter| !parameter.grad().defined()),
            "the parameters' own gradients stay empty"
        );
    }
    report("equal");
    group.barrier().unwrap();
}

#[test]
fn a_reducer_averages_gradients_bit_identically() {
    for world_size in [2, 3] {
        for reported in succeed("reducer", world_size) {
            assert_eq!(reported, ["equal"]);
        }
    }
}

pub fn unused() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let parameter = |value: f32| Tensor::from_slice(&[value]).set_requires_grad(true);
    let parameters = [parameter(1.0), parameter(2.0), parameter(3.0)];
    let settings = ReducerSettings { find_unused: true, ..ReducerSettings::default() };
    let mut reducer = Reducer::new(&group, &parameters, settings).unwrap();
    for _ in 0..2 {
        let mut loss = parameters[0].square().sum(Kind::Float);
        if environment.rank() == 0 {
            loss += parameters[1].square().sum(Kind::Float);
        }
        let gradients = reducer.backward(&loss).unwrap();
        let values: Vec<_> = gradients.iter().map(|g| g.as_ref().map(|g| g.double_value(&[0]))).collect();
        report(format!("{values:?}"));
    }
    group.barrier().unwrap();
}

#[test]
fn unused_parameters_have_no_gradient() {
    for reported in succeed("unused", 2) {
        assert_eq!(reported, ["[Some(2.0), Some(2.0), None]"; 2]);
    }
}

pub fn used_by_all() {
    let Member { group, .. } = join(TIMEOUT);
    let parameters = [1f32, 2.0].map(|value| Tensor::from_slice(&[value]).set_requires_grad(true));
    let mut reducer = Reducer::new(&group, &parameters, ReducerSettings::default()).unwrap();
    report(reducer.backward(&parameters[0].sum(Kind::Float)).unwrap_err());
}

#[test]
fn an_unexpected_unused_parameter_is_an_error() {
    for (rank, reported) in succeed("used_by_all", 2).iter().enumerate() {
        assert!(reported[0].starts_with(&format!("rank {rank} of 2, backward:")), "{reported:?}");
        assert!(reported[0].contains("Expected to have finished reduction"), "{reported:?}");
    }
}

/// The tensors of a batch norm with 4 channels.
struct Norm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
}

const MOMENTUM: f64 = 0.1;
const EPSILON: f64 = 1e-5;

impl Norm {
    fn new() -> Self {
        Self {
            weight: Tensor::from_slice(&[1f32, 2.0, -0.5, 0.1]).set_requires_grad(true),
            bias: Tensor::from_slice(&[0f32, 1.0, 2.0, -3.0]).set_requires_grad(true),
            mean: Tensor::from_slice(&[0.5f32; 4]),
            variance: Tensor::from_slice(&[2f32; 4]),
        }
    }

    /// libtorch's batch norm in one process.
    fn alone(&self, x: &Tensor) -> Tensor {
        let (weight, bias, mean, variance) = (&self.weight, &self.bias, &self.mean, &self.variance);
        x.batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), true, MOMENTUM, EPSILON, true)
    }

    fn over_ranks(&self, x: &Tensor, group: &ProcessGroup) -> Tensor {
        let norm = BatchNormTensors {
            weight: &self.weight,
            bias: &self.bias,
            running_mean: &self.mean,
            running_variance: &self.variance,
            momentum: MOMENTUM,
            epsilon: EPSILON,
        };
        group.batch_norm(x, &norm).unwrap()
    }
}

fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!((found.size(), found.kind()), (expected.size(), expected.kind()));
    let [found, expected] = [found, expected].map(|tensor| tensor.to_kind(Kind::Double));
    let largest = expected.abs().max().double_value(&[]);
    let error = (found - expected).abs().max().double_value(&[]);
    assert!(error <= tolerance * largest, "{error} of {largest}");
}

/// Compares ranks with parts of a batch to one process with the full batch.
pub fn batch_norm() {
    let Member { environment, group, .. } = join(TIMEOUT);
    let rank = environment.rank() as i64;
    // Rank r has r + 1 samples. A channel's mean is 30 standard deviations from 0, where the spacing of f32, times the
    // weight, is 4e-6; bf16 has 8 significant bits.
    let samples: i64 = (1..=environment.world_size() as i64).sum();
    let (first, count) = (rank * (rank + 1) / 2, rank + 1);
    for (kind, is_channels_last, tolerance) in
        [(Kind::Float, false, 5e-6), (Kind::Float, true, 5e-6), (Kind::BFloat16, true, 8e-3)]
    {
        tch::manual_seed(7);
        let offsets = Tensor::from_slice(&[0f32, 30.0, -5.0, 1.0]).view([1, 4, 1, 1]);
        let lay_out = |tensor: Tensor| match is_channels_last {
            true => tensor.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]),
            false => tensor,
        };
        let full = lay_out((Tensor::randn([samples, 4, 3, 5], OPTIONS) + offsets).to_kind(kind));
        let d_full = lay_out(Tensor::randn([samples, 4, 3, 5], OPTIONS).to_kind(kind));

        let expected_norm = Norm::new();
        let x = full.copy().set_requires_grad(true);
        let y = expected_norm.alone(&x);
        let inputs = [&x, &expected_norm.weight, &expected_norm.bias];
        let expected = Tensor::run_backward(&[(&y * &d_full).sum(Kind::Float)], &inputs, false, false);

        let norm = Norm::new();
        let own_x = full.narrow(0, first, count).copy().set_requires_grad(true);
        let own_y = norm.over_ranks(&own_x, &group);
        let loss = (&own_y * d_full.narrow(0, first, count)).sum(Kind::Float);
        let found = Tensor::run_backward(&[loss], &[&own_x, &norm.weight, &norm.bias], false, false);

        assert_close(&own_y, &y.narrow(0, first, count), tolerance);
        assert_close(&found[0], &expected[0].narrow(0, first, count), 10.0 * tolerance);
        for (found, expected) in found.iter().zip(&expected).skip(1) {
            let sum = group.sum_over_ranks(found).unwrap();
            assert_close(&sum, expected, 10.0 * tolerance);
        }
        assert_close(&norm.mean, &expected_norm.mean, tolerance);
        assert_close(&norm.variance, &expected_norm.variance, tolerance);
        assert!(is_equal_on_all_ranks(&group, &norm.mean) && is_equal_on_all_ranks(&group, &norm.variance));
    }
    report("equal");
    group.barrier().unwrap();
}

#[test]
fn batch_norm_over_ranks_matches_one_process() {
    for reported in succeed("batch_norm", 3) {
        assert_eq!(reported, ["equal"]);
    }
}
