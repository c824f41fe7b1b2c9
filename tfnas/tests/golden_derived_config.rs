//! The derived network without tensors, compared with the authors' code: `model.config`, tensor shapes, parameters,
//! FLOPs, latency, drop-connect rates.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tfnas::schedule::drop_connect_rates;
use tfnas::state_shapes::state_shapes;
use tfnas::{LatencyTable, ModelConfig, Space, cost};
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::search;

#[test]
fn golden_derived_config() {
    let space = Space::imagenet();
    let resolution = space.definition().resolution;
    let tables = [("gpu", LatencyTable::titan_rtx()), ("cpu", LatencyTable::xeon_gold_6130())];
    let cases = cases::cases("derived");
    for case in &cases {
        let id = cases::id(case);
        let architecture = search::architecture(&space, &case["parsed_arch"], &case["widths"]);
        let config = ModelConfig::from_architecture(&space, &architecture, 1000).unwrap();

        let text = case["config_text"].as_str().unwrap();
        assert_eq!(config.to_text(), text, "{id}");
        assert_eq!(ModelConfig::parse(text).unwrap(), config, "{id}");

        let millions = |count: u64| count as f64 / 1e6;
        assert_eq!(millions(cost::parameters(&config)), case["params_mb"].as_f64().unwrap(), "{id}");
        assert_eq!(millions(cost::flops(&config, resolution)), case["flops_m"].as_f64().unwrap(), "{id}");

        for (name, table) in &tables {
            let expected = case["lut_latency_ms"][name].as_f64().unwrap();
            let by_space = table.architecture_ms(&space, &architecture).unwrap();
            let by_config = table.config_ms(&config, resolution).unwrap();
            assert_eq!(by_space, by_config, "{id}");
            assert!((by_space - expected).abs() <= 1e-9, "{id}: {by_space}, expected {expected}");
        }

        let shapes = state_shapes(&config).into_iter().map(|tensor| json!([tensor.name, tensor.shape]));
        assert_eq!(shapes.collect::<Value>(), case["state_dict_shapes"], "{id}");

        let rates = drop_connect_rates(0.2, architecture.block_count());
        assert_eq!(rates, cases::f64s(&case["drop_connect_rates_at_0_2"]), "{id}");
    }
    cases::report("golden_derived_config", cases.len());
}
