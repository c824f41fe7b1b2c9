//! Horizontal bar charts.

use maud::{Markup, html};

use super::scale::Scale;
use super::{Drawing, Px, SERIES, Unit, text_width};
use crate::text::shortened;

/// Height of a row, in pixels.
const ROW: f64 = 22.0;
/// Maximum width of the labels, as a fraction of the chart.
const LABELS: f64 = 0.45;

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// Its name, left of the bar.
    pub label: String,
    /// Its length; a bar without a finite value is not drawn.
    pub value: f64,
    /// The text after its end.
    pub text: String,
    /// Index of its color.
    pub color: usize,
}

/// Horizontal bars from zero, one per row.
#[derive(Clone, Debug)]
pub struct Bars {
    /// Width, in pixels.
    pub width: f64,
    /// Label of the axis, with the unit.
    pub label: String,
    /// Number format of the axis.
    pub unit: Unit,
    /// Values that the axis must include.
    pub include: Vec<f64>,
    /// The bars, from top to bottom.
    pub bars: Vec<Bar>,
}

impl Bars {
    /// Draws the bars.
    pub fn draw(&self) -> Drawing {
        let (top, rows) = (8.0, self.bars.len() as f64 * ROW);
        let bottom = top + rows + 4.0;
        let most = ((self.width * LABELS) / (0.56 * 12.0)) as usize;
        let labels: Vec<String> = self.bars.iter().map(|bar| shortened(&bar.label, most)).collect();
        let left = labels.iter().map(|label| text_width(label, 12.0)).fold(30.0, f64::max) + 14.0;
        let values = self.bars.iter().map(|bar| bar.value).chain(self.include.iter().copied()).chain([0.0]);
        let widest = self.bars.iter().map(|bar| text_width(&bar.text, 12.0)).fold(0.0, f64::max);
        let right = (self.width - widest - 16.0).max(left + 40.0);
        let scale = Scale::new(values, self.unit, ((right - left) / 70.0) as usize).between(left, right);
        let zero = scale.at(0.0);
        let body = html! {
            @for (value, text) in scale.ticks() {
                @let x = scale.at(value);
                path class="grid" d={ "M" (Px(x)) " " (Px(top)) "V" (Px(bottom)) } {}
                text class="middle" x=(Px(x)) y=(Px(bottom + 16.0)) { (text) }
            }
            @for (index, (bar, label)) in self.bars.iter().zip(&labels).enumerate() {
                @let y = top + index as f64 * ROW;
                text class="end ink" x=(Px(left - 8.0)) y=(Px(y + 15.0)) {
                    @if *label != bar.label { title { (bar.label) } }
                    (label)
                }
                (one(bar, y, zero, &scale))
            }
            path class="axis" d={ "M" (Px(zero)) " " (Px(top)) "V" (Px(bottom)) } {}
            text class="middle" x=(Px((left + right) / 2.0)) y=(Px(bottom + 34.0)) { (self.label) }
        };
        Drawing { width: self.width, height: bottom + 42.0, body }
    }
}

fn one(bar: &Bar, y: f64, zero: f64, scale: &Scale) -> Markup {
    if !bar.value.is_finite() {
        return html! { text class="small" x=(Px(zero + 6.0)) y=(Px(y + 15.0)) { (bar.text) } };
    }
    let end = scale.at(bar.value);
    let (from, to) = (zero.min(end), zero.max(end));
    html! {
        rect class={ "fill" (bar.color % SERIES) } x=(Px(from)) y=(Px(y + 3.0)) width=(Px((to - from).max(0.5)))
            height=(Px(ROW - 6.0)) { title { (bar.label) ": " (bar.text) } }
        text class="ink halo" x=(Px(to + 6.0)) y=(Px(y + 15.0)) { (bar.text) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars(values: &[(&str, f64)]) -> Drawing {
        let bar = |(label, value): &(&str, f64)| Bar {
            label: (*label).to_owned(),
            value: *value,
            text: "t".to_owned(),
            color: 0,
        };
        let bars = values.iter().map(bar).collect();
        Bars { width: 500.0, label: "top-1".to_owned(), unit: Unit::Percent, include: vec![1.0], bars }.draw()
    }

    #[test]
    fn labels_are_escaped_and_long_ones_truncated_with_a_title() {
        let long = "an extraordinarily long name of a class that does not fit into the chart";
        let drawn = bars(&[("<script>alert(1)</script>", 0.5), (long, 0.2)]).body.into_string();
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;"));
        assert!(drawn.contains(&format!("<title>{long}</title>")) && drawn.contains('…'));
    }

    #[test]
    fn negative_and_missing_values_are_drawn_correctly() {
        let drawn = bars(&[("a", -0.5), ("b", f64::NAN), ("c", 0.5)]).body.into_string();
        assert_eq!(drawn.matches("<rect").count(), 2);
        assert!(!drawn.contains("NaN"));
    }

    #[test]
    fn the_height_grows_with_the_number_of_bars() {
        assert!(bars(&[("a", 0.5)]).height < bars(&[("a", 0.5), ("b", 0.5)]).height);
        assert!(bars(&[]).height > 0.0);
    }
}
