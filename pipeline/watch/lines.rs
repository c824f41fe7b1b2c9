//! The events of a run as lines of text, for output that is not a terminal.

use std::collections::BTreeMap;

use tfnas_events::{Event, Record};
use tfnas_humanize as humanize;
use tfnas_stages::{TARGET_LAT_MS, split_candidate_metric};

use super::view::number;

/// Time between two progress lines of an instance, in milliseconds.
const PROGRESS_EVERY_MS: i64 = 30_000;

/// Converts events to lines. The metrics of an epoch become one line.
#[derive(Default)]
pub struct Lines {
    /// The metrics that were not returned yet.
    epoch: Option<Epoch>,
    /// When progress of an instance was last returned, in milliseconds since 1970.
    progress: BTreeMap<String, i64>,
}

#[derive(PartialEq)]
struct Epoch {
    id: String,
    candidate: Option<String>,
    step: u64,
    metrics: Vec<(String, f64)>,
}

impl Lines {
    /// Returns the lines of the next event.
    pub fn next(&mut self, record: &Record) -> Vec<String> {
        let id = record.id.clone().unwrap_or_default();
        if let Event::Metric { name, step, value } = &record.event {
            return self.metric(&id, name, *step, *value).into_iter().collect();
        }
        let mut lines: Vec<String> = self.flush().into_iter().collect();
        let text = match &record.event {
            Event::Planned { run, arguments, .. } => Some(format!("run {run}: {}", arguments.join(" "))),
            Event::Finished { outcome } => Some(outcome.clone()),
            event => self.event(&id, event, record.time_ms).map(|text| format!("{id}: {text}")),
        };
        lines.extend(text);
        lines
    }

    /// Returns the line of the metrics that were not returned yet.
    pub fn flush(&mut self) -> Option<String> {
        let Epoch { id, candidate, step, metrics } = self.epoch.take()?;
        let candidate = candidate.map(|candidate| format!("candidate {candidate}, ")).unwrap_or_default();
        let metrics: Vec<String> = metrics.iter().map(|(name, value)| format!("{name} {}", number(*value))).collect();
        let metrics = metrics.join(", ");
        Some(if candidate.is_empty() && metrics.starts_with(TARGET_LAT_MS) {
            format!("{id}: {metrics}")
        } else {
            format!("{id}: {candidate}epoch {}: {metrics}", step.saturating_add(1))
        })
    }

    fn metric(&mut self, id: &str, name: &str, step: u64, value: f64) -> Option<String> {
        let (candidate, metric) = match split_candidate_metric(name) {
            Some((candidate, metric)) => (Some(candidate.to_owned()), metric),
            None => (None, name),
        };
        let next = Epoch { id: id.to_owned(), candidate, step, metrics: Vec::new() };
        let continues = self.epoch.as_ref().is_some_and(|epoch| {
            (&epoch.id, &epoch.candidate, epoch.step) == (&next.id, &next.candidate, next.step)
                && epoch.metrics.iter().all(|(known, _)| known != metric && known != TARGET_LAT_MS)
        });
        let line = if continues { None } else { self.flush() };
        let epoch = self.epoch.get_or_insert(next);
        epoch.metrics.push((metric.to_owned(), value));
        line
    }

    fn event(&mut self, id: &str, event: &Event, time_ms: i64) -> Option<String> {
        Some(match event {
            Event::Cached {} => "cached".to_owned(),
            Event::Waiting { holder } => format!("waiting for {holder}, which computes the same result"),
            Event::Started { expected_s, .. } => {
                self.progress.insert(id.to_owned(), time_ms);
                let expected = expected_s.map(|seconds| format!(" (expected: {})", humanize::duration(seconds)));
                format!("started{}", expected.unwrap_or_default())
            }
            Event::Reattached { .. } => "attached to a job that an earlier run submitted".to_owned(),
            Event::Submitted { job } => format!("submitted as job {job}"),
            Event::Queued { job, reason } => format!("job {job} waits ({reason})"),
            Event::Resumed { at } => format!("resumed from {at}"),
            Event::Progress { phase, done, total, unit } => {
                let last = self.progress.entry(id.to_owned()).or_insert(time_ms);
                if time_ms.saturating_sub(*last) < PROGRESS_EVERY_MS {
                    return None;
                }
                *last = time_ms;
                let percent = (u128::from(*done) * 100).checked_div(u128::from(*total));
                let share = percent.map(|percent| format!(" ({percent} %)")).unwrap_or_default();
                format!("{phase}: {done} of {total} {unit}{share}")
            }
            // The metrics of an epoch have a line of their own.
            Event::Log { level, message } if level != "warn" && message.starts_with("epoch ") => return None,
            Event::Log { level, message } if level == "warn" => format!("warning: {message}"),
            Event::Log { message, .. } => message.clone(),
            Event::Done { duration_s, metrics } => {
                let metrics = metrics.iter().map(|(name, value)| format!("{name} {}", number(*value)));
                let metrics = metrics.collect::<Vec<_>>().join(", ");
                let metrics = if metrics.is_empty() { metrics } else { format!(": {metrics}") };
                format!("done in {}{metrics}", humanize::duration(*duration_s))
            }
            Event::UsedResult {} => "cached: another process computed it in the meantime".to_owned(),
            Event::Failed { message } => format!("failed: {message}"),
            Event::Interrupted => "interrupted".to_owned(),
            Event::Detached {} => "its job is still running; the next run attaches to it".to_owned(),
            Event::Remade { upstream } => format!("an input is damaged; {upstream} recreates it"),
            Event::Planned { .. } | Event::Finished { .. } | Event::Metric { .. } | Event::Other => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(events: &[&str]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for (second, event) in events.iter().enumerate() {
            let record = format!("{{\"time_ms\":{},{event}}}", 1000 * second);
            found.extend(lines.next(&serde_json::from_str(&record).expect("a record")));
        }
        found.extend(lines.flush());
        found
    }

    #[test]
    fn the_metrics_of_an_epoch_are_one_line() {
        let metric = |name: &str, step, value| {
            format!(r#""event":"metric","name":"{name}","step":{step},"value":{value},"id":"search""#)
        };
        let events = [
            metric("target_lat_ms", 0, 1.5),
            metric("train_loss", 0, 2.0),
            metric("after_lat_ms", 0, 1.25),
            metric("train_loss", 1, 1.0),
            metric("candidate/3 rule/train_loss", 1, 0.5),
            r#""event":"log","level":"info","message":"epoch 2 of 2: as above","id":"search""#.to_owned(),
            r#""event":"done","duration_s":65,"metrics":{"predicted_lat_ms":1.5},"id":"search""#.to_owned(),
        ];
        assert_eq!(
            lines(&events.iter().map(String::as_str).collect::<Vec<_>>()),
            [
                "search: target_lat_ms 1.500",
                "search: epoch 1: train_loss 2.000, after_lat_ms 1.250",
                "search: epoch 2: train_loss 1.000",
                "search: candidate 3 rule, epoch 2: train_loss 0.5000",
                "search: done in 1 min 5 s: predicted_lat_ms 1.500",
            ]
        );
    }

    #[test]
    fn extreme_numbers_are_shown() {
        let record = |time_ms: i64, event: &str| -> Record {
            serde_json::from_str(&format!("{{\"time_ms\":{time_ms},{event},\"id\":\"a\"}}")).expect("a record")
        };
        let most = u64::MAX;
        let progress = format!(r#""event":"progress","phase":"p","done":{most},"total":1,"unit":"images""#);
        let metric = format!(r#""event":"metric","name":"loss","step":{most},"value":1"#);
        let mut lines = Lines::default();
        assert!(lines.next(&record(i64::MIN, &progress)).is_empty());
        assert_eq!(lines.next(&record(i64::MAX, &progress)), [format!("a: p: {most} of 1 images ({most}00 %)")]);
        assert!(lines.next(&record(0, &metric)).is_empty());
        assert_eq!(lines.flush(), Some(format!("a: epoch {most}: loss 1.000")));
    }

    #[test]
    fn progress_has_a_line_now_and_then() {
        let progress = r#""event":"progress","phase":"epoch 1 of 2","done":30,"total":120,"unit":"images","id":"a""#;
        let events = [&[r#""event":"started","attempt":"x","id":"a""#][..], &[progress; 70]].concat();
        let found = lines(&events);
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[1], "a: epoch 1 of 2: 30 of 120 images (25 %)");
    }
}
