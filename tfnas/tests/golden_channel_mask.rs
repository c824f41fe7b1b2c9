//! The kept channels, compared with the authors' code.
#![allow(clippy::unwrap_used)]

use tfnas::channels::kept_channels;
use tfnas_testutils::golden::cases;
use tfnas_testutils::golden::formula::Scheme;

#[test]
fn golden_channel_mask() {
    let cases = cases::cases("channel_mask");
    for case in &cases {
        let shape = cases::usizes(&case["shape"]);
        let weights = Scheme::Sin.tensor(case["tensor"].as_str().unwrap(), &shape);
        let width = case["new_width"].as_u64().unwrap() as usize;
        let kept = kept_channels(&weights, shape[0], width);
        assert_eq!(kept, cases::usizes(&case["kept"]), "{}", cases::id(case));
    }
    cases::report("golden_channel_mask", cases.len());
}
