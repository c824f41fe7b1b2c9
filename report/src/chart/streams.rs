//! Stacked areas over time.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::legend::legend;
use super::{Drawing, Px, SERIES};
use crate::text::{percent, shortened};

/// Height of the plot area of a panel, in pixels.
const HEIGHT: f64 = 84.0;
/// Height of a panel's title above, and of its axis labels below the plot area, in pixels.
const ABOVE: f64 = 20.0;
const BELOW: f64 = 24.0;
/// Gap between panels, in pixels.
const GAP: f64 = 18.0;

/// Stacked fractions over time: one panel for each row, all with the same choices and columns.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Width, in pixels.
    pub width: f64,
    /// Number of panels per row.
    pub across: usize,
    /// Names of the panels.
    pub panels: Vec<String>,
    /// Names of the choices.
    pub choices: Vec<String>,
    /// What a column is, such as `epoch`; columns count from 1.
    pub label: String,
    /// `[panel][column][choice]`; a column with a value that is not finite is empty.
    pub shares: Vec<Vec<Vec<f64>>>,
}

impl Streams {
    /// Draws the panels. The area of each choice is stacked on those of the choices before it.
    pub fn draw(&self) -> Drawing {
        let (legend, legend_height) = legend(&self.choices, self.width);
        let across = self.across.clamp(1, self.panels.len().max(1));
        let wide = (self.width - GAP * (across as f64 - 1.0)) / across as f64;
        let tall = ABOVE + HEIGHT + BELOW;
        let top = legend_height + 10.0;
        let body = html! {
            (legend)
            @for (index, name) in self.panels.iter().enumerate() {
                @let place = ((index % across) as f64 * (wide + GAP), top + (index / across) as f64 * tall);
                (self.panel(name, self.shares.get(index).map(Vec::as_slice).unwrap_or_default(), place, wide))
            }
        };
        Drawing { width: self.width, height: top + self.panels.len().div_ceil(across) as f64 * tall, body }
    }

    fn panel(&self, name: &str, columns: &[Vec<f64>], (left, y): (f64, f64), wide: f64) -> Markup {
        let top = y + ABOVE;
        let step = wide / columns.len().max(1) as f64;
        let last = columns.last().map(Vec::as_slice).unwrap_or_default();
        html! {
            text class="ink" x=(Px(left)) y=(Px(y + 13.0)) { (shortened(name, 28)) }
            rect class="empty" x=(Px(left)) y=(Px(top)) width=(Px(wide)) height=(Px(HEIGHT)) {}
            @for choice in 0..self.choices.len() {
                @let area = area(columns, choice, (left, top), step);
                @if !area.is_empty() {
                    path class={ "stream fill" (choice % SERIES) } d=(area) {
                        title {
                            (name) ", " (self.choices[choice])
                            @if let Some(share) = last.get(choice) { ": " (percent(*share)) " at the end" }
                        }
                    }
                }
            }
            text class="tiny" x=(Px(left)) y=(Px(top + HEIGHT + 13.0)) { (self.label) " 1" }
            @if columns.len() > 1 {
                text class="tiny end" x=(Px(left + wide)) y=(Px(top + HEIGHT + 13.0)) { (columns.len()) }
            }
        }
    }
}

/// Returns the path of a choice's area: for each run of columns with values, its upper edge from left to right and its
/// lower edge back.
fn area(columns: &[Vec<f64>], choice: usize, (left, top): (f64, f64), step: f64) -> String {
    let known = |column: &Vec<f64>| choice < column.len() && column.iter().all(|share| share.is_finite());
    let x = |column: usize| left + column as f64 * step;
    let y = |share: f64| top + (1.0 - share.clamp(0.0, 1.0)) * HEIGHT;
    let edges = |column: &Vec<f64>| {
        let below: f64 = column[..choice].iter().sum();
        (y(below + column[choice]), y(below))
    };
    let mut path = String::new();
    let mut from = 0;
    while let Some(start) = (from..columns.len()).find(|column| known(&columns[*column])) {
        let end = (start..columns.len()).find(|column| !known(&columns[*column])).unwrap_or(columns.len());
        // Writing to a `String` cannot fail.
        let _ = write!(path, "M{:.1} {:.1}", x(start), edges(&columns[start]).1);
        for (place, column) in columns[start..end].iter().enumerate() {
            let _ = write!(path, "V{:.1}H{:.1}", edges(column).0, x(start + place + 1));
        }
        for (place, column) in columns[start..end].iter().enumerate().rev() {
            let _ = write!(path, "V{:.1}H{:.1}", edges(column).1, x(start + place));
        }
        path.push('Z');
        from = end;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_stacked() {
        let columns = vec![vec![0.25, 0.75], vec![0.5, 0.5]];
        assert_eq!(area(&columns, 0, (0.0, 0.0), 10.0), "M0.0 84.0V63.0H10.0V42.0H20.0V84.0H10.0V84.0H0.0Z");
        assert_eq!(area(&columns, 1, (0.0, 0.0), 10.0), "M0.0 63.0V0.0H10.0V0.0H20.0V42.0H10.0V63.0H0.0Z");
    }

    #[test]
    fn columns_without_values_are_gaps() {
        let columns = vec![vec![1.0], vec![f64::NAN], vec![], vec![1.0]];
        let path = area(&columns, 0, (0.0, 0.0), 1.0);
        assert_eq!(path.matches('M').count(), 2);
        assert!(!path.contains("NaN"));
        assert!(area(&columns[1..3], 0, (0.0, 0.0), 1.0).is_empty());
    }

    #[test]
    fn a_single_column_and_zero_panels_are_drawn() {
        let streams = Streams {
            width: 600.0,
            across: 4,
            panels: vec!["<stage1>".to_owned()],
            choices: vec!["k3".to_owned(), "k5".to_owned()],
            label: "epoch".to_owned(),
            shares: vec![vec![vec![0.5, 0.5]]],
        };
        let drawn = streams.draw().body.into_string();
        assert!(drawn.contains("k5: 50.0 % at the end") && drawn.contains("&lt;stage1&gt;"), "{drawn}");
        assert!(Streams { panels: Vec::new(), ..streams }.draw().height.is_finite());
    }
}
