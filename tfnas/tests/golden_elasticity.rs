//! Parsing followed by elasticity-scaling, compared with the authors' code.
#![allow(clippy::unwrap_used)]

use tfnas::elasticity::{Branch, refit};
use tfnas::parse::parse;
use tfnas::{LatencyTable, Space};
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::search;

#[test]
fn golden_elasticity() {
    let space = Space::imagenet();
    let (titan_rtx, xeon) = (LatencyTable::titan_rtx(), LatencyTable::xeon_gold_6130());
    let cases = cases::cases("elasticity");
    let mut exact = 0;
    for case in &cases {
        let id = cases::id(case);
        let table = match case["lut"].as_str().unwrap() {
            "gpu" => &titan_rtx,
            "cpu" => &xeon,
            other => panic!("{id}: unknown table {other}"),
        };
        let parsed = parse(
            &space,
            &search::log_alphas(&space, case),
            &search::betas(&space, case),
            &search::widths(&space, case),
        )
        .unwrap();
        let found = refit(&space, &parsed, table, case["target_lat"].as_f64().unwrap()).unwrap();

        let expected = search::architecture(&space, &case["parsed_arch"], &case["new_widths"]);
        assert_eq!(found.architecture, expected, "{id}");
        let branch = match found.branch {
            Branch::Shrink => "shrink",
            Branch::Expand => "expand",
            Branch::None => "none",
        };
        assert_eq!(branch, case["branch"], "{id}");
        for (field, found) in [("before_lat", found.before_ms), ("after_lat", found.after_ms)] {
            let expected = case[field].as_f64().unwrap();
            assert!((found - expected).abs() <= 1e-9, "{id}: {field} {found}, expected {expected}");
            exact += usize::from(found == expected);
        }
    }
    println!("{exact} of {} latencies are equal to the last bit", 2 * cases.len());
    cases::report("golden_elasticity", cases.len());
}
