//! Waiting for a condition. No test asserts a duration; only a hang is a failure.

use std::thread;
use std::time::{Duration, Instant};

/// A test that waits longer counts as hung.
pub const HUNG_AFTER: Duration = Duration::from_secs(45);

/// Waits until `condition` holds; `what` describes it.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HUNG_AFTER, "still not true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
