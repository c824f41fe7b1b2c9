//! ONNX files of the authors' networks, run by an interpreter: the logits match those of the authors' code.
#![allow(clippy::unwrap_used)]

mod interpreter;

use interpreter::{Tensor, run};
use tfnas::ModelConfig;
use tfnas_onnx::message::Model;
use tfnas_onnx::{Normalization, Origin, State, to_onnx};
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::formula::Scheme;
use tfnas_testutils::weights::Weights;

/// Shape of the input; one image is run.
const INPUT: [usize; 4] = [1, 3, 64, 64];
/// Tolerance of a logit: six times the difference between the authors' own f32 and f64 results.
const TOLERANCE: f64 = 2.4e-7;
/// Number of cases to run; each is a complete network of the published space.
const CASES: usize = 4;

#[test]
fn golden_onnx() {
    let cases = cases::cases("derived");
    for case in cases.iter().take(CASES) {
        let mut config = ModelConfig::parse(case["config_text"].as_str().unwrap()).unwrap();
        let half = &case["n10_64_hash"];
        let expected = cases::f64s(&half["f64"]["eval_logits_b2"][0]);
        config.classifier.out_features = expected.len();
        let scheme = Scheme::of(half);
        let weights = Weights::of(&config, &scheme);
        let state = State::of(&config, &weights.state_dict()).unwrap();
        for normalization in [Normalization::Kept, Normalization::Folded] {
            let origin = Origin { producer: "test", version: "0", properties: &[] };
            let file = to_onnx(&config, &state, INPUT[2], normalization, origin).unwrap();
            let input = Tensor { shape: INPUT.to_vec(), values: scheme.input(INPUT.iter().product()) };
            let logits = run(&Model::parse(&file).unwrap(), input).values;
            let differences =
                logits.iter().zip(&expected).map(|(found, expected)| (f64::from(*found) - expected).abs());
            let largest = differences.fold(0.0, f64::max);
            println!("{} {normalization:?}: {largest:.1e}", cases::id(case));
            assert!(logits.len() == expected.len() && largest <= TOLERANCE, "{}: {largest}", cases::id(case));
        }
    }
    cases::report("golden_onnx", cases.len().min(CASES));
}
