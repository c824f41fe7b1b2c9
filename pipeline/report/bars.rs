use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tfnas_humanize as humanize;

/// Time between two progress lines of an instance if standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of workers: as bars on a terminal, otherwise as log lines.
pub struct Bars {
    multi: MultiProgress,
    drawn: bool,
    bars: BTreeMap<String, ProgressBar>,
    lines: BTreeMap<String, Pace>,
}

/// When and where an instance started, to compute its rate.
struct Pace {
    began: Instant,
    began_at: u64,
    last_line: Instant,
}

/// The progress of an instance.
pub struct Progress<'a> {
    /// Current activity.
    pub phase: &'a str,
    /// Completed units.
    pub done: u64,
    /// Total number of units.
    pub total: u64,
    /// Name of the unit.
    pub unit: &'a str,
}

impl Bars {
    /// Draws on `multi` if standard error is a terminal and `wanted` is set.
    pub fn new(multi: MultiProgress, wanted: bool) -> Self {
        let drawn = wanted && std::io::stderr().is_terminal();
        if !drawn {
            multi.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self { multi, drawn, bars: BTreeMap::new(), lines: BTreeMap::new() }
    }

    /// Shows the progress of an instance. Returns a line to log if the last one was long enough ago.
    pub fn show(&mut self, id: &str, progress: &Progress<'_>) -> Option<String> {
        if self.drawn {
            self.draw(id, progress);
            return None;
        }
        let now = Instant::now();
        let pace =
            self.lines.entry(id.to_owned()).or_insert(Pace { began: now, began_at: progress.done, last_line: now });
        if progress.done < pace.began_at {
            *pace = Pace { began: now, began_at: progress.done, last_line: now };
        }
        if now.duration_since(pace.last_line) < LINE_EVERY {
            return None;
        }
        pace.last_line = now;
        Some(line(progress, progress.done - pace.began_at, now.duration_since(pace.began).as_secs_f64()))
    }

    fn draw(&mut self, id: &str, progress: &Progress<'_>) {
        let Progress { phase, done, total, unit } = progress;
        let bar = self.bars.entry(id.to_owned()).or_insert_with(|| {
            let bar = self.multi.add(ProgressBar::new(*total));
            let template = "{prefix} [{bar:28}] {pos}/{len} {msg}  {per_sec}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(id.to_owned());
            // Units that were completed before a resume point do not count for the rate.
            bar.set_position(*done);
            bar.reset_eta();
            bar
        });
        bar.set_length(*total);
        bar.set_position(*done);
        bar.set_message(format!("{unit}, {phase}"));
    }

    /// Removes the bar of an instance.
    pub fn end(&mut self, id: &str) {
        self.lines.remove(id);
        if let Some(bar) = self.bars.remove(id) {
            bar.finish_and_clear();
        }
    }
}

/// Formats a progress line: phase, percentage, rate, and remaining time at that rate.
fn line(progress: &Progress<'_>, moved: u64, seconds: f64) -> String {
    let Progress { phase, done, total, unit } = progress;
    let mut text = format!("{phase}: {done} of {total} {unit}");
    if *total > 0 {
        text.push_str(&format!(" ({} %)", done * 100 / total));
    }
    if moved > 0 && seconds > 0.0 {
        let rate = moved as f64 / seconds;
        let left = total.saturating_sub(*done) as f64 / rate;
        text.push_str(&format!(", {rate:.1} {unit}/s, {} left", humanize::duration(left)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_percentage_rate_and_time_left() {
        let progress = Progress { phase: "epoch 2 of 4", done: 50, total: 200, unit: "images" };
        assert_eq!(line(&progress, 30, 10.0), "epoch 2 of 4: 50 of 200 images (25 %), 3.0 images/s, 50 s left");
    }

    #[test]
    fn lines_are_rate_limited() {
        let mut bars = Bars::new(MultiProgress::new(), false);
        let progress = Progress { phase: "a", done: 0, total: 9, unit: "images" };
        assert!((0..1000).all(|_| bars.show("train", &progress).is_none()));
    }
}
