use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tfnas_humanize as humanize;

/// Time between two log lines if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the number of bytes transferred: as a counter on a terminal, otherwise as log lines.
pub struct Moved {
    bar: Option<ProgressBar>,
    began: Instant,
    so_far: Mutex<(u64, Instant)>,
}

impl Moved {
    /// Creates a counter, which is drawn on `multi` if standard error is a terminal.
    pub fn new(multi: &MultiProgress) -> Self {
        use std::io::IsTerminal;
        let now = Instant::now();
        let bar = if std::io::stderr().is_terminal() {
            let bar = multi.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("{binary_bytes} moved, {binary_bytes_per_sec}") {
                bar.set_style(style);
            }
            Some(bar)
        } else {
            multi.set_draw_target(ProgressDrawTarget::hidden());
            None
        };
        Self { bar, began: now, so_far: Mutex::new((0, now)) }
    }

    pub fn add(&self, bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            return;
        }
        let mut so_far = self.so_far.lock().unwrap_or_else(PoisonError::into_inner);
        so_far.0 += bytes;
        if so_far.1.elapsed() >= LINE_EVERY {
            so_far.1 = Instant::now();
            let rate = so_far.0 as f64 / self.began.elapsed().as_secs_f64();
            tracing::info!("{} moved, {}/s", humanize::bytes(so_far.0), humanize::bytes(rate as u64));
        }
    }
}

impl Drop for Moved {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
