//! The derived network compared with the authors' code: names and shapes, logits in evaluation and training, loss,
//! gradient norm, one SGD step, running statistics.
#![allow(clippy::unwrap_used)]

mod common;
mod device;

use common::{check, check_relative, device, fill, flat, input, labels, sum_and_l2, values};
use serde_json::{Value, json};
use tch::Tensor;
use tfnas::ModelConfig;
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::formula::Scheme;
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::drop_masks::DropMasks;
use tfnas_torch::optim::{Sgd, SgdSettings};
use tfnas_torch::trainer::Trainer;
use tfnas_torch::{Module, Role};

/// Tolerances relative to the authors' f64 results.
///
/// Each is about six times the difference between the authors' own f32 and f64 results. Sums run in another order here,
/// and batch norm accumulates a channels-last feature map in f32 but a contiguous one in f64.
struct Tolerances {
    eval_logits: f64,
    train_logits: f64,
    loss: f64,
    /// Relative.
    gradient_norm: f64,
    logits_after: f64,
    /// Of the sum and the norm of a tensor, for a norm of 1.
    probe: f64,
}

/// A convolution filled with a sine is a matrix of rank 2, which amplifies rounding under batch statistics. The
/// authors' f32 result differs by 6e-7, 4e-3, 1e-3, 2e-2, 2e-4.
const SIN: Tolerances = Tolerances {
    eval_logits: 4e-6,
    train_logits: 2.4e-2,
    loss: 6e-3,
    gradient_norm: 1.2e-1,
    logits_after: 1.2e-3,
    probe: 3e-2,
};

/// The authors' f32 result differs by 4e-8, 5e-6, 1e-6, 5e-6, 4e-8, 2e-5.
const HASH: Tolerances = Tolerances {
    eval_logits: 2.4e-7,
    train_logits: 3e-5,
    loss: 6e-6,
    gradient_norm: 3e-5,
    logits_after: 2.4e-7,
    probe: 1e-4,
};

#[test]
fn golden_derived() {
    let cases = cases::cases("derived");
    for case in &cases {
        let config = ModelConfig::parse(case["config_text"].as_str().unwrap()).unwrap();
        check_state(case, &config);
        evaluate_at_full_size(case, &config);
        for (half, tolerances) in [("n10_64", SIN), ("n10_64_hash", HASH)] {
            let worst = train_once(&case[half], &config, &tolerances);
            println!("{} {half}: {worst}", cases::id(case));
        }
    }
    cases::report("golden_derived", cases.len());
}

/// Builds the network of a configuration with another number of classes, filled by formula.
fn network(config: &ModelConfig, classes: usize, scheme: &Scheme) -> DerivedNetwork {
    let mut config = config.clone();
    config.classifier.out_features = classes;
    let network = DerivedNetwork::new(&config, device());
    fill(&network, scheme, |_| true);
    network
}

fn check_state(case: &Value, config: &ModelConfig) {
    let network = DerivedNetwork::new(config, device());
    let state = network.state();
    let found = state.iter().map(|(name, tensor)| json!([name, tensor.size()])).collect();
    assert_eq!(Value::Array(found), case["state_dict_shapes"], "{}", cases::id(case));
}

fn evaluate_at_full_size(case: &Value, config: &ModelConfig) {
    let (id, expected) = (cases::id(case), &case["n1000_224"]);
    let network = network(config, 1000, &Scheme::Sin);
    let images = input(&Scheme::Sin, &expected["input"]);
    let folded = network.folded().forward(&images);
    for (how, logits) in [("unfolded", network.forward(&images)), ("folded", folded)] {
        let first = values(&logits.narrow(1, 0, 64));
        check(&format!("{id}, {how}: first logits"), &first, &flat(&expected["logits_first64"]), SIN.eval_logits);
        for row in 0..2 {
            // A sum of 1000 logits, and a norm of 32: both at most 1000 times the tolerance of a logit.
            let [sum, l2] = sum_and_l2(&logits.get(row));
            let row = row as usize;
            let given = |name: &str| expected[name][row].as_f64().unwrap();
            check(&format!("{id}, {how}: sum"), &[sum], &[given("row_sum")], 1e3 * SIN.eval_logits);
            check(&format!("{id}, {how}: norm"), &[l2], &[given("row_l2")], 1e2 * SIN.eval_logits);
            let argmax = logits.get(row as i64).argmax(None, false).int64_value(&[]);
            assert_eq!(argmax, expected["argmax"][row].as_i64().unwrap(), "{id}, {how}");
        }
    }
}

/// Evaluates, trains one step and evaluates again; returns the largest differences as text.
fn train_once(half: &Value, config: &ModelConfig, tolerances: &Tolerances) -> String {
    let scheme = if half.get("scheme").is_some() { Scheme::of(half) } else { Scheme::Sin };
    let network = network(config, 10, &scheme);
    let expected = &half["f64"];
    let number = |name: &str| half[name].as_f64().unwrap();

    let logits = network.forward(&input(&scheme, &half["eval_input"]));
    let eval = compare("eval logits", &logits, &expected["eval_logits_b2"], tolerances.eval_logits);

    let settings =
        SgdSettings { rate: number("lr"), momentum: number("momentum"), weight_decay: number("weight_decay") };
    let optimizer = Sgd::new(network.tensors(Role::Weight), settings);
    let mut trainer = Trainer::single_process(optimizer, number("grad_clip"), number("label_smooth"), device());
    let images = input(&scheme, &half["train_input"]);
    let labels = labels(&half["targets"]);
    let masks = DropMasks::none(&network);
    let outcome = trainer.step(&network, &images, &labels, &masks).unwrap();
    let train = compare("train logits", &outcome.logits, &expected["train_logits_b4"], tolerances.train_logits);
    let loss = compare("loss", &outcome.loss, &expected["loss"], tolerances.loss);
    let norm = outcome.gradient_norm.double_value(&[]);
    let norm = check_relative("gradient norm", norm, expected["grad_norm"].as_f64().unwrap(), tolerances.gradient_norm);

    let after = network.forward(&images);
    let after =
        compare("logits after the step", &after, &expected["eval_logits_after_step_b4"], tolerances.logits_after);
    let state = network.state();
    let mut probe = 0f64;
    for (name, sums) in expected["after_step_probe"].as_object().unwrap() {
        let found = sum_and_l2(state.get(name).unwrap());
        let given = [sums["sum"].as_f64().unwrap(), sums["l2"].as_f64().unwrap()];
        probe = probe.max(check(name, &found, &given, tolerances.probe * given[1].max(1.0)));
    }
    format!("eval {eval:.0e} train {train:.0e} loss {loss:.0e} norm {norm:.0e} after {after:.0e} probe {probe:.0e}")
}

#[track_caller]
fn compare(what: &str, found: &Tensor, expected: &Value, tolerance: f64) -> f64 {
    check(what, &values(found), &flat(expected), tolerance)
}
