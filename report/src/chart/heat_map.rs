//! Heat maps.

use maud::html;

use super::{Drawing, Px, text_width};
use crate::text::shortened;

/// Height of a row, in pixels, if all rows fit.
pub const ROW: f64 = 24.0;
/// Maximum width of a cell, in pixels.
const WIDEST: f64 = 96.0;
/// Minimum width of a cell that shows its value, in pixels.
const READABLE: f64 = 30.0;
/// Minimum height of a cell that shows its value, in pixels.
const READABLE_ROW: f64 = 14.0;
/// Shade above which the text of a cell uses the background color.
const DARK: f64 = 0.55;

/// Fractions in rows and columns; larger values are darker.
#[derive(Clone, Debug)]
pub struct HeatMap {
    /// Maximum width, in pixels.
    pub width: f64,
    /// Height of a row, in pixels.
    pub row: f64,
    /// Whether small values are drawn darker than proportional, so that rare ones are visible.
    pub shows_rare: bool,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Label of the columns.
    pub label: String,
    /// `[row][column]`; cells without a value are empty.
    pub cells: Vec<Vec<Option<f64>>>,
    /// The framed cell of each row.
    pub picked: Vec<Option<usize>>,
}

impl HeatMap {
    /// Draws the cells.
    pub fn draw(&self) -> Drawing {
        let rows: Vec<String> = self.rows.iter().map(|row| shortened(row, 24)).collect();
        let left = rows.iter().map(|row| text_width(row, 12.0)).fold(20.0, f64::max) + 12.0;
        let cell = ((self.width - left - 4.0) / self.columns.len().max(1) as f64).clamp(12.0, WIDEST);
        let longest = self.columns.iter().map(|column| text_width(column, 11.0)).fold(0.0, f64::max);
        let slanted = longest > cell - 2.0;
        let top = if slanted { longest * 0.72 + 26.0 } else { 38.0 };
        let spread = if slanted { longest * 0.7 } else { 0.0 };
        let width = left + cell * self.columns.len() as f64 + 4.0 + spread;
        let body = html! {
            text class="small" x="0" y="12" { (self.label) }
            @for (index, column) in self.columns.iter().enumerate() {
                @let x = left + (index as f64 + 0.5) * cell;
                @if slanted {
                    text class="small ink" transform={ "translate(" (Px(x)) " " (Px(top - 8.0)) ") rotate(-45)" } { (column) }
                } @else {
                    text class="small ink middle" x=(Px(x)) y=(Px(top - 8.0)) { (column) }
                }
            }
            @for (index, row) in rows.iter().enumerate() {
                @let y = top + index as f64 * self.row;
                @let middle = y + self.row / 2.0 + 4.0;
                text class="end ink" x=(Px(left - 8.0)) y=(Px(middle)) { (row) }
                @for (column, value) in self.cells.get(index).into_iter().flatten().enumerate() {
                    @let (x, value) = (left + column as f64 * cell, value.filter(|value| value.is_finite()));
                    @let name = self.columns.get(column).map(String::as_str).unwrap_or_default();
                    rect class="empty" x=(Px(x)) y=(Px(y)) width=(Px(cell)) height=(Px(self.row)) {}
                    @if let Some(value) = value {
                        @let percent = format!("{:.0}", value * 100.0);
                        @let shade = self.shade(value);
                        rect class="heat" x=(Px(x + 0.5)) y=(Px(y + 0.5)) width=(Px(cell - 1.0)) height=(Px(self.row - 1.0))
                            fill-opacity=(format!("{shade:.2}")) {
                            title { (self.rows[index]) ", " (name) ": " (percent) " %" }
                        }
                        @if cell >= READABLE && self.row >= READABLE_ROW {
                            text class={ "small middle " (if shade > DARK { "inverse" } else { "ink" }) }
                                x=(Px(x + cell / 2.0)) y=(Px(middle)) { (percent) }
                        }
                    }
                }
                @if let Some(Some(column)) = self.picked.get(index) {
                    rect class="pick" x=(Px(left + *column as f64 * cell + 1.0)) y=(Px(y + 1.0)) width=(Px(cell - 2.0))
                        height=(Px(self.row - 2.0)) rx="2" {}
                }
            }
        };
        Drawing { width, height: top + rows.len() as f64 * self.row + 4.0, body }
    }
}

impl HeatMap {
    /// Returns the shade of a value, from 0 to 1.
    fn shade(&self, share: f64) -> f64 {
        let share = share.clamp(0.0, 1.0);
        if self.shows_rare { share.sqrt() } else { share }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(columns: usize, value: f64) -> String {
        let map = HeatMap {
            width: 600.0,
            row: ROW,
            shows_rare: false,
            rows: vec!["<stage1>".to_owned()],
            columns: (0..columns).map(|index| format!("k{index}")).collect(),
            label: "operation".to_owned(),
            cells: vec![vec![Some(value); columns]],
            picked: vec![Some(0)],
        };
        map.draw().body.into_string()
    }

    #[test]
    fn cells_show_their_value_if_it_fits() {
        assert!(map(4, 0.5).contains(">50</text>"));
        assert!(!map(40, 0.5).contains(">50</text>"));
        assert!(map(40, 0.5).contains("k0: 50 %"), "the title has the value");
    }

    #[test]
    fn a_missing_value_is_an_empty_cell() {
        let drawn = map(3, f64::NAN);
        assert!(!drawn.contains("heat") && !drawn.contains("NaN") && drawn.contains("&lt;stage1&gt;"));
    }

    #[test]
    fn values_outside_zero_to_one_have_valid_shades() {
        assert!(map(1, 7.0).contains("fill-opacity=\"1.00\""));
    }
}
