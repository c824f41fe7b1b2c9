//! Training and search in bf16 and f16 on a CPU.
#![allow(clippy::unwrap_used)]

mod device;
mod synthetic;

use device::device;
use synthetic::{CLASSES, SEED, SGD, batch, flat_table, masks, network};
use tch::{Kind, Tensor};
use tfnas::{Space, Widths};
use tfnas_c10d::{Precision, autocast};
use tfnas_kernels::{SqueezeExcite, is_supported, squeeze_excite};
use tfnas_random::{Stream, StreamId};
use tfnas_torch::drop_masks::DropMasks;
use tfnas_torch::gumbel::draw_noise;
use tfnas_torch::mixed_precision::MixedPrecision;
use tfnas_torch::optim::{Adam, AdamSettings, Sgd};
use tfnas_torch::search_step::{LatencyObjective, OptimizerStep, architecture_step, weight_step};
use tfnas_torch::supernet::Latencies;
use tfnas_torch::supernet_state::SupernetState;
use tfnas_torch::trainer::Trainer;
use tfnas_torch::weights::to_bytes;
use tfnas_torch::{Module, NamedTensors, Role};

/// Creates a trainer; prints a notice and returns `None` if this CPU cannot train in the precision.
fn trainer(network: &impl Module, precision: Precision) -> Option<Trainer> {
    tch::set_num_threads(1);
    let precision = match MixedPrecision::new(precision, device()) {
        Ok(precision) => precision,
        Err(error) => {
            assert!(error.to_string().contains("use bf16 or f32"), "{error}");
            eprintln!("SKIPPED: {error}");
            return None;
        }
    };
    let optimizer = Sgd::new(network.tensors(Role::Weight), SGD);
    Some(Trainer { precision, ..Trainer::single_process(optimizer, 5.0, 0.1, device()) })
}

fn losses(precision: Precision, steps: u32) -> Option<Vec<f64>> {
    let network = network(SEED);
    let mut trainer = trainer(&network, precision)?;
    let losses = (0..steps).map(|step| {
        let (x, labels) = batch(step);
        let outcome = trainer.step(&network, &x, &labels, &masks(&network, step)).unwrap();
        assert_eq!((outcome.logits.kind(), outcome.loss.kind()), (Kind::Float, Kind::Float));
        outcome.loss.double_value(&[])
    });
    let losses = losses.collect();
    let is_f32 = |(_, tensor): (&str, &Tensor)| tensor.kind() == Kind::Float;
    assert!(network.tensors(Role::Weight).iter().all(is_f32), "the weights stay f32");
    Some(losses)
}

#[test]
fn the_forward_pass_uses_the_requested_precision() {
    for precision in [Precision::F32, Precision::Bf16, Precision::F16] {
        let network = network(SEED);
        let Some(trainer) = trainer(&network, precision) else { continue };
        let (x, _) = batch(0);
        let pass = || network.forward_training(&x, &DropMasks::none(&network));
        assert_eq!(trainer.precision.forward(pass).kind(), precision.kind());
    }
}

/// Without kernels for bf16, training in it would be correct but slow.
#[test]
fn fused_kernels_support_the_feature_maps_of_autocast_only() {
    let x = Tensor::ones([2, 5, 5, 8], (Kind::Float, device())).permute([0, 3, 1, 2]);
    let half = x.to_kind(Kind::BFloat16);
    if !is_supported(&x) {
        return;
    }
    let supported = || (is_supported(&x), is_supported(&half));
    assert_eq!(supported(), (true, true));
    assert_eq!(autocast(device(), Precision::Bf16, supported), Ok((false, true)));
    assert_eq!(autocast(device(), Precision::F16, supported), Ok((false, false)));
}

/// The linear layers of squeeze-excite are libtorch's, which autocast would compute in bf16.
#[test]
fn autocast_does_not_affect_squeeze_excite_of_bf16_maps() {
    let numbers = |shape: &[i64]| {
        let count: i64 = shape.iter().product();
        Tensor::arange(count, (Kind::Float, device())).sin().view(shape)
    };
    let x = numbers(&[2, 5, 5, 8]).permute([0, 3, 1, 2]).to_kind(Kind::BFloat16);
    if !is_supported(&x) {
        return;
    }
    let weights = [numbers(&[2, 8]), numbers(&[2]), numbers(&[8, 2]), numbers(&[8])];
    let [reduce_weight, reduce_bias, expand_weight, expand_bias] = &weights;
    let activation = tfnas_kernels::Activation::Silu;
    let layers = SqueezeExcite { reduce_weight, reduce_bias, activation, expand_weight, expand_bias };
    let pass = || squeeze_excite(&x, &layers).unwrap();
    assert!(autocast(device(), Precision::Bf16, pass).unwrap().equal(&pass()));
}

#[test]
fn training_in_bf16_twice_gives_the_same_weights() {
    let trained = |threads| {
        let network = network(SEED);
        let mut trainer = trainer(&network, Precision::Bf16).unwrap();
        tch::set_num_threads(threads);
        for step in 0..3 {
            let (x, labels) = batch(step);
            trainer.step(&network, &x, &labels, &masks(&network, step)).unwrap();
        }
        to_bytes(&network.tensors(Role::Weight)).unwrap()
    };
    for threads in [1, 2] {
        assert!(trained(threads) == trained(threads), "{threads} threads");
    }
}

/// bf16 has 8 significant bits, f16 has 11. The losses of a step differ by about that much, and the difference grows
/// with the steps.
#[test]
fn training_in_lower_precision_has_losses_close_to_f32() {
    let expected = losses(Precision::F32, 10).unwrap();
    assert!(expected[9] < 0.95 * expected[0], "{expected:?}");
    for (precision, first, all) in [(Precision::Bf16, 0.02, 0.1), (Precision::F16, 0.004, 0.1)] {
        let Some(found) = losses(precision, 10) else { continue };
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let tolerance = if step == 0 { first } else { all };
            assert!((found - expected).abs() < tolerance, "{precision:?}, step {step}: {found}, in f32 {expected}");
        }
    }
}

#[test]
fn an_overflowing_f16_step_is_skipped_and_lowers_the_scale() {
    let network = network(SEED);
    let Some(mut trainer) = trainer(&network, Precision::F16) else { return };
    let scale = |trainer: &Trainer| trainer.precision.state().get("scale").unwrap().double_value(&[]);
    let state = |scale: f64| -> NamedTensors {
        [("scale", Tensor::from(scale)), ("good_steps", Tensor::from(0i64))]
            .map(|(n, t)| (n.to_owned(), t))
            .into_iter()
            .collect()
    };
    // Larger than f16's largest number, whatever the loss.
    let huge = 2f64.powi(40);
    trainer.precision.restore(&state(huge)).unwrap();
    let weights = || to_bytes(&network.tensors(Role::Weight)).unwrap();
    let before = weights();
    let (x, labels) = batch(0);
    let outcome = trainer.step(&network, &x, &labels, &masks(&network, 0)).unwrap();
    assert!(!outcome.gradient_norm.double_value(&[]).is_finite());
    assert!(weights() == before, "the weights have changed");
    assert_eq!(scale(&trainer), huge / 2.0);
    trainer.precision.restore(&state(1024.0)).unwrap();
    trainer.step(&network, &x, &labels, &masks(&network, 0)).unwrap();
    assert!(weights() != before, "a step with finite gradients changes them");
    assert_eq!(scale(&trainer), 1024.0);
}

/// Returns the losses of a weight step and of an architecture step, and the expected latency of the latter, in
/// milliseconds.
fn search_steps(precision: Precision) -> Option<[f64; 3]> {
    tch::set_num_threads(1);
    let space = Space::small();
    let table = flat_table(&space);
    let latencies = Latencies::look_up(&table, &space, &Widths::initial(&space), device()).unwrap();
    let supernet = SupernetState::new(&space, CLASSES, SEED, device()).slice();
    let precision = || MixedPrecision::new(precision, device()).ok();
    let weights = Sgd::new(supernet.tensors(Role::Weight), SGD);
    let mut weights = OptimizerStep { precision: precision()?, ..OptimizerStep::in_f32(weights, 5.0, device()) };
    let adam = AdamSettings { rate: 0.01, betas: (0.5, 0.999), epsilon: 1e-8, weight_decay: 5e-4 };
    let adam = Adam::new(supernet.tensors(Role::Architecture), adam);
    let mut architecture = OptimizerStep { precision: precision()?, ..OptimizerStep::in_f32(adam, 5.0, device()) };
    let (x, labels) = batch(0);
    let path = vec![0; space.blocks().len()];
    let weight_loss = weight_step(&supernet, &mut weights, &x, &labels, &[path]).unwrap().losses[0].double_value(&[]);
    let before = supernet.read_log_alphas();
    let noise = draw_noise(before.len(), before[0].len(), &mut Stream::new(SEED, StreamId::Gumbel, 0, 0));
    let objective = LatencyObjective { latencies: &latencies, target_ms: 3.0, weight: 0.1 };
    let step = architecture_step(&supernet, &mut architecture, &objective, &x, &labels, &noise, 5.0).unwrap();
    assert_ne!(supernet.read_log_alphas(), before, "the architecture should have changed");
    assert_eq!((step.logits.kind(), step.latency_ms.kind()), (Kind::Float, Kind::Float));
    Some([weight_loss, step.cross_entropy.double_value(&[]), step.latency_ms.double_value(&[])])
}

#[test]
fn search_in_lower_precision_has_similar_losses_and_equal_latency() {
    let [weights, architecture, latency_ms] = search_steps(Precision::F32).unwrap();
    for precision in [Precision::Bf16, Precision::F16] {
        let Some(found) = search_steps(precision) else { continue };
        assert!((found[0] - weights).abs() < 0.05, "{precision:?}: {} and {weights}", found[0]);
        assert!((found[1] - architecture).abs() < 0.1, "{precision:?}: {} and {architecture}", found[1]);
        assert_eq!(found[2], latency_ms, "{precision:?}");
    }
}
