//! Timelines of choices.

use maud::{Markup, html};

use super::legend::legend;
use super::{Drawing, Px, SERIES, text_width};
use crate::text::shortened;

/// Height of a row, in pixels.
const ROW: f64 = 22.0;

/// The choice of each row over time. Consecutive equal choices are one bar.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Width, in pixels.
    pub width: f64,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// What a column is, such as `epoch`; columns count from 1.
    pub label: String,
    /// Names of the choices.
    pub choices: Vec<String>,
    /// `[row][column]`, the index of the choice; `None` if nothing was chosen.
    pub cells: Vec<Vec<Option<usize>>>,
}

impl Timeline {
    /// Draws the bars.
    pub fn draw(&self) -> Drawing {
        let columns = self.cells.iter().map(Vec::len).max().unwrap_or(0);
        let rows: Vec<String> = self.rows.iter().map(|row| shortened(row, 24)).collect();
        let left = rows.iter().map(|row| text_width(row, 12.0)).fold(20.0, f64::max) + 12.0;
        let (legend, legend_height) = legend(&self.choices, self.width);
        let top = legend_height + 8.0;
        let cell = (self.width - left - 6.0) / columns.max(1) as f64;
        let bottom = top + rows.len() as f64 * ROW;
        let every = columns.div_ceil(((self.width - left) / 34.0).max(1.0) as usize).max(1);
        let body = html! {
            (legend)
            @for (index, row) in rows.iter().enumerate() {
                @let y = top + index as f64 * ROW;
                text class="end ink" x=(Px(left - 8.0)) y=(Px(y + 15.0)) { (row) }
                rect class="empty" x=(Px(left)) y=(Px(y + 2.0)) width=(Px(cell * columns as f64)) height=(Px(ROW - 4.0)) {}
                @for run in runs(self.cells.get(index).map(Vec::as_slice).unwrap_or_default()) {
                    (self.bar(&run, left + run.from as f64 * cell, y, run.count as f64 * cell))
                }
            }
            @for column in (0..columns).filter(|column| column % every == 0) {
                text class="middle" x=(Px(left + (column as f64 + 0.5) * cell)) y=(Px(bottom + 16.0)) { (column + 1) }
            }
            text class="middle" x=(Px(left + cell * columns as f64 / 2.0)) y=(Px(bottom + 34.0)) { (self.label) }
        };
        Drawing { width: self.width, height: bottom + 42.0, body }
    }

    fn bar(&self, run: &Run, x: f64, y: f64, width: f64) -> Markup {
        let name = self.choices.get(run.choice).map_or("unknown", String::as_str);
        let (first, last) = (run.from + 1, run.from + run.count);
        html! {
            rect class={ "fill" (run.choice % SERIES) } x=(Px(x + 0.75)) y=(Px(y + 2.0)) width=(Px((width - 1.5).max(0.5)))
                height=(Px(ROW - 4.0)) rx="2" {
                title { (name) ", " (self.label) " " (first) @if last > first { " to " (last) } }
            }
            @if width > text_width(name, 11.0) + 8.0 {
                text class="small middle inverse" x=(Px(x + width / 2.0)) y=(Px(y + 15.0)) { (name) }
            }
        }
    }
}

/// Consecutive equal choices.
struct Run {
    choice: usize,
    from: usize,
    count: usize,
}

fn runs(cells: &[Option<usize>]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (column, choice) in cells.iter().enumerate() {
        let Some(choice) = *choice else { continue };
        match runs.last_mut() {
            Some(run) if run.choice == choice && run.from + run.count == column => run.count += 1,
            _ => runs.push(Run { choice, from: column, count: 1 }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(cells: Vec<Vec<Option<usize>>>) -> String {
        let timeline = Timeline {
            width: 600.0,
            rows: vec!["stage1.block1".to_owned()],
            label: "epoch".to_owned(),
            choices: vec!["k3_e3".to_owned(), "k5_e6".to_owned()],
            cells,
        };
        timeline.draw().body.into_string()
    }

    #[test]
    fn consecutive_equal_choices_are_one_bar() {
        let drawn = timeline(vec![vec![Some(0), Some(0), None, Some(0), Some(1)]]);
        assert!(drawn.contains("k3_e3, epoch 1 to 2</title>") && drawn.contains("k3_e3, epoch 4</title>"), "{drawn}");
        assert!(drawn.contains("k5_e6, epoch 5</title>"));
    }

    #[test]
    fn zero_columns_and_unknown_choices_are_drawn() {
        assert!(timeline(vec![vec![]]).contains("stage1.block1"));
        assert!(timeline(vec![vec![Some(99)]]).contains("unknown, epoch 1"));
    }
}
