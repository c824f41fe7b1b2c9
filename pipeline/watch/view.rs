//! A run as lines of text: its stages, and the curves of the stage at work.

use tfnas_events::{RunProgress, StageProgress, StageState};
use tfnas_humanize as humanize;
use tfnas_humanize::Columns;

use super::panels::{candidates, choices, panels};
use super::style::Style;

/// Minimum width of a plot.
const PLOT_WIDTH: usize = 38;
/// Columns between two plots.
const GAP: usize = 2;
/// Height of a plot where there is enough space, and the minimum.
const PLOT_HEIGHT: [usize; 2] = [11, 6];
/// Width of the bar, and that on a narrow screen.
const BAR: usize = 20;
const SHORT_BAR: usize = 6;
/// Columns from which on a screen is not narrow.
const WIDE: usize = 100;
/// Minimum number of stages that are shown before others are left out.
const STAGES: usize = 10;

/// How to draw a run.
pub struct View {
    /// Columns.
    pub width: usize,
    /// Rows, or `None` without a limit.
    pub height: Option<usize>,
    pub style: Style,
    /// The time for durations, in milliseconds since 1970.
    pub now_ms: i64,
    /// Whether the planner is still running.
    pub alive: bool,
}

impl View {
    /// Returns the lines.
    pub fn lines(&self, run: &RunProgress) -> Vec<String> {
        let mut lines = vec![self.heading(run), String::new()];
        lines.extend(self.stages(run));
        for stage in self.focus(run) {
            let left = self.height.map_or(usize::MAX, |height| height.saturating_sub(lines.len() + 2));
            if left < PLOT_HEIGHT[1] {
                break;
            }
            let detail = self.detail(stage, left);
            if !detail.is_empty() {
                lines.push(String::new());
                lines.push(self.style.paint("1", &stage.id));
                lines.extend(detail);
            }
        }
        if let Some(height) = self.height {
            lines.truncate(height);
        }
        lines
    }

    fn heading(&self, run: &RunProgress) -> String {
        let name = run.run.map_or("run".to_owned(), |run| format!("run {run}"));
        let command = run.arguments.join(" ");
        let state = match run.outcome.as_deref() {
            Some(outcome) => format!("{outcome} after {}", seconds(run.last_ms.saturating_sub(run.started_ms))),
            None if self.alive => format!("running for {}", seconds(self.now_ms.saturating_sub(run.started_ms))),
            None => format!("killed after {}", seconds(run.last_ms.saturating_sub(run.started_ms))),
        };
        [self.style.paint("1", &name), command, state]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("  ·  ")
    }

    /// Returns the state of a stage. A planner that was killed has left none behind that runs.
    fn state(&self, stage: &StageProgress) -> StageState {
        if stage.state.is_at_work() && !self.alive { StageState::Interrupted } else { stage.state }
    }

    fn stages(&self, run: &RunProgress) -> Vec<String> {
        let room = self.height.map_or(usize::MAX, |height| (height / 2).max(STAGES));
        let shown = shown(&run.stages, room);
        let mut columns = Columns::new(&["stage", "state", ">elapsed", ">expected", "progress"]);
        for stage in &shown {
            let elapsed = self.elapsed_ms(stage).map(seconds).unwrap_or_default();
            let is_short = matches!(self.state(stage), StageState::Cached);
            let expected = stage.expected_s.filter(|_| !is_short).map(humanize::duration).unwrap_or_default();
            columns.row([stage.id.as_str(), self.state(stage).name(), &elapsed, &expected, &self.doing(stage)]);
        }
        let mut lines: Vec<String> = columns.to_string().lines().map(str::to_owned).collect();
        for (line, stage) in lines.iter_mut().skip(1).zip(&shown) {
            let (color, word) = (color(self.state(stage)), self.state(stage).name());
            // Only the first occurrence after the name: a message may contain the word, too.
            if let Some(at) = line[stage.id.len()..].find(word).map(|at| at + stage.id.len()) {
                let painted = self.style.paint(color, word);
                line.replace_range(at..at + word.len(), &painted);
            }
        }
        let left_out = run.stages.len() - shown.len();
        if left_out > 0 {
            let over = run.stages.iter().filter(|stage| stage.state.is_over()).count();
            lines.push(format!("… and {left_out} more; {over} of {} stages are over", run.stages.len()));
        }
        lines
    }

    /// Returns the time that a stage has taken so far, in milliseconds.
    fn elapsed_ms(&self, stage: &StageProgress) -> Option<i64> {
        let end = stage.ended_ms.unwrap_or(self.now_ms);
        Some(end.saturating_sub(stage.started_ms?).max(0))
    }

    /// Describes the progress of a stage, what it waits for, or its result.
    fn doing(&self, stage: &StageProgress) -> String {
        match self.state(stage) {
            StageState::Running => match &stage.units {
                Some(units) => {
                    let share = units.share();
                    let bar = bar(share, if self.width < WIDE { SHORT_BAR } else { BAR });
                    let percent = format!("{:.0} %", (100.0 * share).floor());
                    let left_s = |rate| units.total.saturating_sub(units.done) as f64 / rate;
                    let left = units.per_second().map(|rate| format!("  {} left", humanize::duration(left_s(rate))));
                    let rate = units.per_second().map(|rate| {
                        let rate = if rate < 10.0 { format!("{rate:.1}") } else { format!("{rate:.0}") };
                        format!("  {rate} {}/s", units.unit)
                    });
                    format!("{bar} {percent}{}  {}{}", left.unwrap_or_default(), units.phase, rate.unwrap_or_default())
                }
                None => first_line(stage),
            },
            StageState::Waiting | StageState::Queued | StageState::Failed => first_line(stage),
            StageState::Interrupted => {
                stage.units.as_ref().map(|units| format!("in {}", units.phase)).unwrap_or_default()
            }
            StageState::Done => {
                let metrics = stage.metrics.iter().map(|(name, value)| format!("{name} {}", number(*value)));
                metrics.collect::<Vec<_>>().join(", ")
            }
            StageState::Pending | StageState::Cached | StageState::Detached => String::new(),
        }
    }

    /// Returns the stages whose curves are drawn: those that are at work; otherwise all that have any, the last one first.
    fn focus<'a>(&self, run: &'a RunProgress) -> Vec<&'a StageProgress> {
        let at_work = run.stages.iter().filter(|stage| self.state(stage) == StageState::Running);
        let at_work: Vec<_> = at_work.filter(|stage| !stage.series.is_empty()).collect();
        let with_curves = || run.stages.iter().rev().filter(|stage| !stage.series.is_empty());
        match (at_work.is_empty(), run.outcome.is_none() && self.alive) {
            (false, _) => at_work,
            // Between two stages, the curves of the last one.
            (true, true) => with_curves().take(1).collect(),
            (true, false) => with_curves().collect(),
        }
    }

    /// Returns the curves of a stage, and its candidates or most probable choices, in at most `room` lines.
    fn detail(&self, stage: &StageProgress, room: usize) -> Vec<String> {
        let mut lines = candidates(stage, room.min(30));
        // At least one row of curves stays.
        lines.extend(choices(stage, room.saturating_sub(PLOT_HEIGHT[1])));
        let plots = panels(stage);
        let columns = ((self.width + GAP) / (PLOT_WIDTH + GAP)).clamp(1, 4).min(plots.len().max(1));
        let width = ((self.width + GAP) / columns).saturating_sub(GAP);
        let rows = plots.len().div_ceil(columns);
        let room = room.saturating_sub(lines.len());
        let height = (room / rows.max(1)).clamp(PLOT_HEIGHT[1], PLOT_HEIGHT[0]);
        for row in plots.chunks(columns).take(room / height) {
            let drawn: Vec<Vec<String>> = row.iter().map(|plot| plot.draw(width, height, self.style)).collect();
            for line in 0..height {
                let parts: Vec<&str> = drawn.iter().filter_map(|plot| plot.get(line)).map(String::as_str).collect();
                lines.push(parts.join(&" ".repeat(GAP)).trim_end().to_owned());
            }
        }
        lines
    }
}

/// Returns the stages for which there is room, in their order. Stages at work come before pending ones, and those before
/// stages that are over.
fn shown(stages: &[StageProgress], room: usize) -> Vec<&StageProgress> {
    if stages.len() <= room {
        return stages.iter().collect();
    }
    let rank = |stage: &StageProgress| match stage.state {
        StageState::Running | StageState::Failed => 0,
        StageState::Waiting | StageState::Queued | StageState::Interrupted | StageState::Detached => 1,
        StageState::Pending => 2,
        StageState::Done => 3,
        StageState::Cached => 4,
    };
    let mut order: Vec<usize> = (0..stages.len()).collect();
    order.sort_by_key(|position| (rank(&stages[*position]), *position));
    order.truncate(room);
    order.sort_unstable();
    order.into_iter().map(|position| &stages[position]).collect()
}

fn first_line(stage: &StageProgress) -> String {
    stage.message.as_deref().and_then(|message| message.lines().next()).unwrap_or_default().to_owned()
}

fn bar(share: f64, width: usize) -> String {
    let full = (share * width as f64).floor() as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

fn color(state: StageState) -> &'static str {
    match state {
        StageState::Running => "36",
        StageState::Done => "32",
        StageState::Failed => "31",
        StageState::Interrupted | StageState::Detached => "33",
        StageState::Pending | StageState::Cached | StageState::Waiting | StageState::Queued => "90",
    }
}

fn seconds(ms: i64) -> String {
    humanize::duration(ms.max(0) as f64 / 1e3)
}

/// Formats a number with four significant digits.
pub fn number(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    match magnitude {
        -4..=-1 => format!("{value:.4}"),
        0..=3 => format!("{value:.*}", (3 - magnitude) as usize),
        4..=14 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use tfnas_events::Record;

    use super::*;

    fn run(lines: &[&str]) -> RunProgress {
        let record = |(second, line): (usize, &&str)| -> Record {
            serde_json::from_str(&format!("{{\"time_ms\":{},{line}}}", 1000 * (second + 1))).expect("a record")
        };
        RunProgress::of(&lines.iter().enumerate().map(record).collect::<Vec<_>>())
    }

    fn training() -> RunProgress {
        let mut lines = vec![
            r#""event":"planned","run":3,"arguments":["run","all"],"stages":[{"id":"search","action":"cached"},{"id":"train","action":"run","expected_s":60},{"id":"test","action":"unknown"}]"#.to_owned(),
            r#""event":"cached","id":"search""#.to_owned(),
            r#""event":"started","attempt":"a","expected_s":75,"id":"train""#.to_owned(),
        ];
        for epoch in 0..6 {
            for (name, value) in [("train_loss", 2.0), ("val_loss", 2.5), ("val_top1", 0.25), ("lr", 0.1), ("odd", 1.0)]
            {
                let value = value / (1.0 + f64::from(epoch));
                lines.push(format!(r#""event":"metric","name":"{name}","step":{epoch},"value":{value},"id":"train""#));
            }
        }
        lines.push(
            r#""event":"progress","phase":"epoch 7 of 8","done":100,"total":200,"unit":"images","id":"train""#
                .to_owned(),
        );
        lines.push(
            r#""event":"progress","phase":"epoch 7 of 8","done":150,"total":200,"unit":"images","id":"train""#
                .to_owned(),
        );
        run(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn view(width: usize, height: Option<usize>) -> View {
        View { width, height, style: Style { color: false }, now_ms: 63_000, alive: true }
    }

    #[test]
    fn stages_progress_and_curves_are_shown() {
        let text = view(90, Some(40)).lines(&training()).join("\n");
        for words in [
            "run 3  ·  run all  ·  running for 1 min 2 s",
            "search  cached",
            "train   running  1 min 0 s  1 min 15 s  ████░░ 75 %  1.0 s left  epoch 7 of 8  50 images/s",
            "test    pending",
            "loss  * train 0.3333  + validation 0.4167",
            "accuracy  validation 4.2 %",
            "learning rate",
            "odd",
        ] {
            assert!(text.contains(words), "`{words}` is missing from\n{text}");
        }
    }

    #[test]
    fn lines_fit_the_screen() {
        for (width, height) in [(80, 24), (120, 30), (200, 60), (80, 8)] {
            let lines = view(width, Some(height)).lines(&training());
            assert!(lines.len() <= height, "{width} x {height}: {lines:#?}");
            let plots = lines.iter().skip(6);
            assert!(plots.clone().all(|line| line.chars().count() <= width), "{width} x {height}: {lines:#?}");
            assert_eq!(plots.count() > 0, height > 8);
        }
    }

    #[test]
    fn a_killed_planner_leaves_no_running_stage() {
        let killed = View { alive: false, ..view(80, None) };
        let text = killed.lines(&training()).join("\n");
        assert!(text.contains("killed after 34 s") && text.contains("train   interrupted"), "{text}");
        assert!(text.contains("in epoch 7 of 8") && text.contains("loss"), "{text}");
    }

    #[test]
    fn stages_without_room_are_counted() {
        let stages: Vec<String> =
            (0..40).map(|number| format!(r#"{{"id":"train@{number}","action":"run"}}"#)).collect();
        let planned = format!(r#""event":"planned","run":1,"stages":[{}]"#, stages.join(","));
        let run = run(&[
            &planned,
            r#""event":"cached","id":"train@0""#,
            r#""event":"started","attempt":"a","id":"train@30""#,
        ]);
        let text = view(80, Some(24)).lines(&run).join("\n");
        assert!(text.contains("train@30  running") && text.contains("28 more; 1 of 40 stages are over"), "{text}");
    }

    #[test]
    fn candidates_are_ranked_by_epochs_and_loss() {
        let metric = |candidate: &str, epoch: u64, loss: f64| {
            format!(
                r#""event":"metric","name":"candidate/{candidate}/train_loss","step":{epoch},"value":{loss},"id":"select""#
            )
        };
        let lines = [
            r#""event":"started","attempt":"a","id":"select""#.to_owned(),
            metric("0 first", 0, 1.5),
            metric("1 second", 0, 2.5),
            metric("1 second", 1, 1.75),
            metric("2 third", 0, 1.25),
        ];
        let lines = view(80, Some(30)).lines(&run(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
        let order: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.split_whitespace().nth(2))
            .filter(|word| ["first", "second", "third"].contains(word))
            .collect();
        assert_eq!(order, ["second", "third", "first"], "{lines:#?}");
    }

    #[test]
    fn the_most_probable_choices_of_a_search_are_shown_if_there_is_room() {
        let mut lines = vec![r#""event":"started","attempt":"a","id":"search""#.to_owned()];
        let last = [("operations/stage1.block10/k3_e3", 0.25), ("operations/stage1.block2/k5_e6", 0.75)];
        for (name, value) in [("train_loss", 2.0), ("operations/stage1.block2/k3_e3", 0.5), ("depths/stage1/2", 0.625)]
            .into_iter()
            .chain(last)
        {
            lines.push(format!(r#""event":"metric","name":"{name}","step":0,"value":{value},"id":"search""#));
        }
        let run = run(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let text = |height| view(80, Some(height)).lines(&run).join("\n");
        let words = "stage1  2 blocks 62 %  k5_e6 75 %, k3_e3 25 %";
        assert!(text(30).contains(words) && text(30).contains("loss  train 2.000"), "{}", text(30));
        assert!(!text(12).contains(words) && text(12).contains("loss  train 2.000"), "{}", text(12));
    }

    #[test]
    fn numbers_have_four_digits() {
        let numbers = [0.0, 0.01234, 1.0, 12.345, 1234.5, 123_456.7, 1e-7, -0.5].map(number);
        assert_eq!(numbers, ["0.000", "0.0123", "1.000", "12.35", "1234", "123457", "1.00e-7", "-0.5000"]);
    }
}
