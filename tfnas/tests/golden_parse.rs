//! Parsing compared with the authors' code, including ties.
#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};
use tfnas::parse::parse;
use tfnas::{Space, Widths};
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::search;

#[test]
fn golden_parse() {
    let space = Space::imagenet();
    let widths = Widths::initial(&space);
    let cases = cases::cases("parse");
    for case in &cases {
        let log_alphas = search::log_alphas(&space, case);
        let betas = search::betas(&space, case);
        let parsed = parse(&space, &log_alphas, &betas, &widths).unwrap();
        let mut found: Map<String, Value> = Map::new();
        for (block, choice) in parsed.choices(&space) {
            let stage = found.entry(format!("stage{}", block.group + 1)).or_insert(json!({}));
            stage[format!("block{}", block.index + 1)] = choice.operation.into();
        }
        assert_eq!(Value::Object(found), case["parsed_arch"], "{}", cases::id(case));
    }
    cases::report("golden_parse", cases.len());
}
