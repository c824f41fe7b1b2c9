//! Waiting for what must happen. No test asserts how long something takes: only what hangs is given up on.

use std::thread;
use std::time::{Duration, Instant};

/// After so long a test counts as hung.
pub const HUNG_AFTER: Duration = Duration::from_secs(45);

/// Waits until `condition` holds; `what` says what that means.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < HUNG_AFTER, "still not true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
