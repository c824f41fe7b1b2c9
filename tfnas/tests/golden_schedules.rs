//! Learning rates and temperatures compared with the closed form of the authors' schedules.
#![allow(clippy::unwrap_used)]

use serde_json::Value;
use tfnas::schedule::{cosine, cosine_with_warm_up, temperature};
use tfnas_testutils::golden::cases;

/// Relative to the first value. Cosines of different libraries may differ in the last bit, which is a large relative
/// difference near zero.
const TOLERANCE: f64 = 1e-12;
/// The published training warms up only with batches larger than this.
const WARM_UP_ABOVE: u64 = 256;
/// Number of search epochs before the architecture is trained.
const SEARCH_WARM_UP: usize = 10;

#[test]
fn golden_schedules() {
    let document = cases::document("schedules");
    let mut checked = 0;
    for (name, schedule) in document.as_object().unwrap() {
        let number = |field: &str| schedule[field].as_f64().unwrap();
        let epochs = schedule["epochs"].as_u64().unwrap() as usize;
        if let Some(expected) = schedule.get("T_at_epoch") {
            let at = |epoch| temperature(number("T0"), number("decay"), SEARCH_WARM_UP, epoch);
            compare(name, expected, 0, at);
            checked += 1;
            continue;
        }
        let base = number("base_lr");
        let closed_form = &schedule["variants"]["closed_form"];
        if closed_form.is_array() {
            compare(name, closed_form, 0, |epoch| cosine(base, epoch, epochs));
            checked += 1;
            continue;
        }
        let warm_up = if schedule["batch_size"].as_u64().unwrap() > WARM_UP_ABOVE { 5 } else { 0 };
        let rate = |epoch| cosine_with_warm_up(base, epoch, epochs, warm_up);
        compare(name, &closed_form["optimizer_lr_used_in_epoch"], 0, rate);
        compare(name, &closed_form["get_lr_logged"], 0, |epoch| cosine(base, epoch, epochs));
        checked += 2;
        let resumed = closed_form.get("resumed_from_epoch").and_then(Value::as_object);
        for (first, expected) in resumed.into_iter().flatten() {
            // A resumed run of the authors' code is one epoch ahead in its cosine; a run of this project is not. This
            // checks that nothing else differs.
            let ahead = |epoch: usize| {
                let factor = rate(epoch) / cosine(base, epoch, epochs);
                cosine(base, epoch + 1, epochs) * factor
            };
            compare(name, expected, first.parse().unwrap(), ahead);
            checked += 1;
        }
    }
    cases::report("golden_schedules", checked);
}

fn compare(name: &str, expected: &Value, first_epoch: usize, value: impl Fn(usize) -> f64) {
    let expected = cases::f64s(expected);
    assert!(!expected.is_empty(), "{name}: no epochs");
    let allowed = TOLERANCE * value(0);
    for (epoch, expected) in (first_epoch..).zip(expected) {
        let found = value(epoch);
        assert!((found - expected).abs() <= allowed, "{name}, epoch {epoch}: {found}, expected {expected}");
    }
}
