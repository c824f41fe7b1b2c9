//! Charts of lines and points on two axes.

use maud::{Markup, html};

use super::scale::Scale;
use super::{Drawing, Px, SERIES, Shape, Unit, characters, text_width};
use crate::text::shortened;

/// Maximum number of points for which a line shows marks with values.
const MARKED_POINTS: usize = 60;
/// Height of a row of the legend, in pixels.
const LEGEND_ROW: f64 = 18.0;
/// Font size of text that is as wide as the labels of points, which have 12 pixels and are bold.
const LABEL_SIZE: f64 = 14.0;
/// Dash patterns of lines, so that series differ by more than color.
const DASHES: [&str; 4] = ["", "7 4", "2 4", "9 3 2 3"];

/// One axis of a chart.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// Label, with the unit.
    pub label: String,
    /// Number format.
    pub unit: Unit,
    /// Values that the axis must include.
    pub include: Vec<f64>,
}

impl Axis {
    pub fn new(label: &str, unit: Unit) -> Self {
        Self { label: label.to_owned(), unit, include: Vec::new() }
    }

    /// Returns the axis extended to include these values.
    pub fn including(self, values: &[f64]) -> Self {
        Self { include: values.to_vec(), ..self }
    }
}

/// A point. A point with a non-finite coordinate is not drawn and interrupts the line.
#[derive(Clone, Debug, Default)]
pub struct Point {
    /// Value on the horizontal axis.
    pub x: f64,
    /// Value on the vertical axis.
    pub y: f64,
    /// Tooltip of its mark.
    pub title: String,
    /// Text next to the mark.
    pub label: Option<String>,
    /// Whether the mark is framed by a ring.
    pub ringed: bool,
}

/// A series of points.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name in the legend; an empty name is not listed.
    pub name: String,
    /// Index of its color.
    pub color: usize,
    /// Shape of its marks.
    pub shape: Shape,
    /// Style of the line, if any: `thin`, `line` or `thick`.
    pub line: Option<&'static str>,
    /// Size of its marks, in pixels; 0 draws none.
    pub mark: f64,
    pub points: Vec<Point>,
}

impl Series {
    /// Creates a line with small marks. Color, dash pattern and shape follow from the number.
    pub fn line(name: &str, number: usize, points: Vec<Point>) -> Self {
        let shape = Shape::ALL[number % Shape::ALL.len()];
        let mark = if points.len() > MARKED_POINTS { 0.0 } else { 3.0 };
        Self { name: name.to_owned(), color: number % SERIES, shape, line: Some("line"), mark, points }
    }

    /// Creates marks without a line.
    pub fn marks(name: &str, number: usize, points: Vec<Point>) -> Self {
        let shape = Shape::ALL[number % Shape::ALL.len()];
        Self { name: name.to_owned(), color: number % SERIES, shape, line: None, mark: 5.0, points }
    }

    fn dash(&self) -> &'static str {
        if self.line == Some("line") { DASHES[self.color % DASHES.len()] } else { "" }
    }
}

/// A reference line across the chart, such as a target.
#[derive(Clone, Debug)]
pub enum Guide {
    /// A horizontal line with a label at its right end.
    Horizontal(f64, String),
    /// A vertical line with a label at its upper end.
    Vertical(f64, String),
    /// A line between two points with a label at its upper end.
    Between((f64, f64), (f64, f64), String),
    /// A vertical band with a label at its lower end.
    Band(f64, f64, String),
}

/// A chart of points and lines on two axes.
#[derive(Clone, Debug)]
pub struct XyChart {
    /// Width, in pixels.
    pub width: f64,
    /// Height, in pixels.
    pub height: f64,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The data; later series are drawn over earlier ones.
    pub series: Vec<Series>,
    /// Reference lines.
    pub guides: Vec<Guide>,
}

/// The plot area.
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Scale,
    y: Scale,
}

impl XyChart {
    /// Draws the chart.
    pub fn draw(&self) -> Drawing {
        let legend = self.legend();
        let top = 24.0 + legend.len() as f64 * LEGEND_ROW;
        let area = self.area(top);
        let body = html! {
            (self.legend_markup(&legend, area.left))
            (self.guides(&area))
            (self.axes(&area))
            @for series in &self.series { (lines(series, &area)) }
            @for series in &self.series { (marks(series, &area)) }
            (self.guide_texts(&area))
            @for series in &self.series { (labels(series, &area)) }
        };
        Drawing { width: self.width, height: self.height, body }
    }

    fn area(&self, top: f64) -> Area {
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| is_finite(point));
        let xs = points().map(|point| point.x).chain(self.x.include.iter().copied());
        let ys = points().map(|point| point.y).chain(self.y.include.iter().copied());
        let y = Scale::new(ys, self.y.unit, ((self.height - top) / 40.0) as usize);
        let widest = y.ticks().iter().map(|(_, text)| text_width(text, 12.0)).fold(0.0, f64::max);
        let left = widest + 14.0;
        let bottom = self.height - 42.0;
        let x = Scale::new(xs, self.x.unit, ((self.width - left) / 70.0) as usize);
        // The last label is centered at the end of the axis.
        let last = x.ticks().last().map_or(0.0, |(_, text)| text_width(text, 12.0));
        let right = self.width - (last / 2.0 + 2.0).max(14.0);
        let x = x.between(left, right);
        Area { left, right, top, bottom, x, y: y.between(bottom, top) }
    }

    /// Lays out the rows of the legend: the series in each, with their positions.
    fn legend(&self) -> Vec<Vec<(usize, f64)>> {
        let named: Vec<usize> = (0..self.series.len()).filter(|index| !self.series[*index].name.is_empty()).collect();
        if named.len() < 2 {
            return Vec::new();
        }
        let mut rows: Vec<Vec<(usize, f64)>> = vec![Vec::new()];
        let mut at = 0.0;
        for index in named {
            let wide = 34.0 + text_width(&self.series[index].name, 12.0);
            if at > 0.0 && at + wide > self.width - 60.0 {
                rows.push(Vec::new());
                at = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((index, at));
            }
            at += wide + 8.0;
        }
        rows
    }

    fn legend_markup(&self, rows: &[Vec<(usize, f64)>], left: f64) -> Markup {
        html! {
            @for (row, entries) in rows.iter().enumerate() {
                @let y = 12.0 + row as f64 * LEGEND_ROW;
                @for (index, at) in entries {
                    @let (series, x) = (&self.series[*index], left + at);
                    @if let Some(weight) = series.line {
                        path class={ (weight) " line line" (series.color) } stroke-dasharray=[dash(series)]
                            d={ "M" (Px(x)) " " (Px(y)) "h22" } {}
                    }
                    @if series.mark > 0.0 || series.line.is_none() {
                        (series.shape.draw(x + 11.0, y, series.mark.min(4.5), series.color, None))
                    }
                    text class="ink" x=(Px(x + 28.0)) y=(Px(y + 4.0)) { (series.name) }
                }
            }
        }
    }

    fn axes(&self, area: &Area) -> Markup {
        let (middle, label_y) = ((area.left + area.right) / 2.0, area.bottom + 36.0);
        html! {
            @for (value, text) in area.y.ticks() {
                @let y = area.y.at(value);
                path class="grid" d={ "M" (Px(area.left)) " " (Px(y)) "H" (Px(area.right)) } {}
                text class="end" x=(Px(area.left - 7.0)) y=(Px(y + 4.0)) { (text) }
            }
            @for (value, text) in area.x.ticks() {
                @let x = area.x.at(value);
                path class="axis" d={ "M" (Px(x)) " " (Px(area.bottom)) "v5" } {}
                text class="middle" x=(Px(x)) y=(Px(area.bottom + 19.0)) { (text) }
            }
            path class="axis" d={ "M" (Px(area.left)) " " (Px(area.bottom)) "H" (Px(area.right)) } {}
            text class="middle" x=(Px(middle)) y=(Px(label_y)) { (self.x.label) }
            text class="small" x="0" y=(Px(area.top - 10.0)) { (self.y.label) }
        }
    }

    /// Draws the lines and bands of the guides, below the data.
    fn guides(&self, area: &Area) -> Markup {
        html! {
            @for guide in &self.guides {
                @match guide {
                    Guide::Horizontal(value, _) => {
                        path class="guide" d={ "M" (Px(area.left)) " " (Px(area.y.at(*value))) "H" (Px(area.right)) } {}
                    }
                    Guide::Vertical(value, _) => {
                        path class="guide" d={ "M" (Px(area.x.at(*value))) " " (Px(area.top)) "V" (Px(area.bottom)) } {}
                    }
                    Guide::Between(from, to, _) => {
                        @let (from, to) = (area.place(*from), area.place(*to));
                        path class="guide" d={ "M" (Px(from.0)) " " (Px(from.1)) "L" (Px(to.0)) " " (Px(to.1)) } {}
                    }
                    Guide::Band(from, to, _) => {
                        @let (from, to) = (area.clamped(*from), area.clamped(*to));
                        rect class="band" x=(Px(from)) y=(Px(area.top)) width=(Px(to - from))
                            height=(Px(area.bottom - area.top)) {}
                    }
                }
            }
        }
    }

    /// Draws the labels of the guides, above the data.
    fn guide_texts(&self, area: &Area) -> Markup {
        let text = |x: f64, y: f64, from_right: bool, text: &str| {
            html! { text class={ "small ink halo" @if from_right { " end" } } x=(Px(x)) y=(Px(y)) { (text) } }
        };
        html! {
            @for guide in &self.guides {
                @match guide {
                    Guide::Horizontal(value, words) => (text(area.right, area.y.at(*value) - 5.0, true, words)),
                    Guide::Vertical(value, words) => {
                        @let x = area.x.at(*value);
                        @let turned = x + 4.0 + text_width(words, 11.0) > self.width;
                        (text(if turned { x - 4.0 } else { x + 4.0 }, area.top + 12.0, turned, words))
                    }
                    Guide::Between(_, to, words) => {
                        @let (x, y) = area.place(*to);
                        (text(x - 8.0, y + 12.0, true, words))
                    }
                    Guide::Band(from, _, words) => (text(area.clamped(*from) + 5.0, area.bottom - 7.0, false, words)),
                }
            }
        }
    }
}

impl Area {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x.at(x), self.y.at(y))
    }

    fn clamped(&self, value: f64) -> f64 {
        self.x.at(value).clamp(self.left, self.right)
    }
}

fn is_finite(point: &Point) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

fn dash(series: &Series) -> Option<&'static str> {
    Some(series.dash()).filter(|dash| !dash.is_empty())
}

fn lines(series: &Series, area: &Area) -> Markup {
    let Some(weight) = series.line else { return html! {} };
    let mut path = String::new();
    let mut broken = true;
    for point in &series.points {
        if is_finite(point) {
            let command = if broken { 'M' } else { 'L' };
            path.push_str(&format!("{command}{:.1} {:.1}", area.x.at(point.x), area.y.at(point.y)));
        }
        broken = !is_finite(point);
    }
    html! {
        @if !path.is_empty() {
            path class={ "line " (weight) " line" (series.color) } stroke-dasharray=[dash(series)] d=(path) {}
        }
    }
}

fn marks(series: &Series, area: &Area) -> Markup {
    html! {
        @if series.mark > 0.0 {
            @for point in series.points.iter().filter(|point| is_finite(point)) {
                @let (x, y) = (area.x.at(point.x), area.y.at(point.y));
                @let title = Some(point.title.as_str()).filter(|title| !title.is_empty());
                (series.shape.draw(x, y, series.mark, series.color, title))
                @if point.ringed { circle class="ring" cx=(Px(x)) cy=(Px(y)) r=(Px(series.mark * 1.9)) {} }
            }
        }
    }
}

fn labels(series: &Series, area: &Area) -> Markup {
    html! {
        @for point in series.points.iter().filter(|point| is_finite(point)) {
            @if let Some(label) = &point.label {
                @let (x, y) = (area.x.at(point.x), area.y.at(point.y));
                @let gap = series.mark * 2.0 + 5.0;
                @let (left, right) = (x - gap - area.left, area.right - x - gap);
                @let is_right = text_width(label, LABEL_SIZE) < right || left < right;
                @let label = shortened(label, characters(left.max(right), LABEL_SIZE));
                text class={ "strong halo" @if !is_right { " end" } } x=(Px(if is_right { x + gap } else { x - gap }))
                    y=(Px(y + 4.0)) { (label) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: &[f64]) -> Vec<Point> {
        let point = |(index, y): (usize, &f64)| Point { x: index as f64, y: *y, ..Point::default() };
        values.iter().enumerate().map(point).collect()
    }

    fn chart(series: Vec<Series>) -> String {
        let (x, y) = (Axis::new("epoch", Unit::Whole), Axis::new("<loss>", Unit::Plain));
        XyChart { width: 400.0, height: 240.0, x, y, series, guides: Vec::new() }.draw().body.into_string()
    }

    #[test]
    fn missing_values_interrupt_a_line() {
        let drawn = chart(vec![Series::line("a", 0, points(&[1.0, 2.0, f64::NAN, 1.0, 2.0]))]);
        let path = drawn.split("line line0\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 2, "{path}");
        assert!(!drawn.contains("NaN"));
    }

    #[test]
    fn labels_are_escaped() {
        let mut one = points(&[1.0]);
        one[0].label = Some("<script>".to_owned());
        one[0].title = "\"&".to_owned();
        let drawn = chart(vec![Series::marks("", 0, one)]);
        assert!(drawn.contains("&lt;script&gt;") && drawn.contains("&quot;&amp;") && drawn.contains("&lt;loss&gt;"));
    }

    #[test]
    fn a_label_without_room_on_either_side_is_shortened() {
        let mut three = points(&[1.0, 2.0, 1.0]);
        three[1].label = Some("x".repeat(500));
        three[1].title = "title".to_owned();
        let drawn = chart(vec![Series::marks("", 0, three)]);
        let label = drawn.split("halo").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default();
        assert!(label.ends_with("x…") && label.matches('x').count() < 100, "{label}");
    }

    #[test]
    fn a_chart_without_values_is_empty() {
        let drawn = chart(vec![Series::line("a", 0, Vec::new()), Series::line("b", 1, points(&[f64::NAN]))]);
        assert!(drawn.contains("epoch") && !drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }

    #[test]
    fn many_points_are_drawn_without_marks() {
        let many: Vec<f64> = (0..1000).map(f64::from).collect();
        assert!(!chart(vec![Series::line("a", 0, points(&many))]).contains("circle"));
        assert!(chart(vec![Series::line("a", 0, points(&many[..9]))]).contains("circle"));
    }

    #[test]
    fn a_long_legend_has_several_rows() {
        let series: Vec<Series> =
            (0..9).map(|index| Series::line("a series with a long name", index, points(&[1.0]))).collect();
        let chart = XyChart {
            width: 400.0,
            height: 400.0,
            x: Axis::default(),
            y: Axis::default(),
            series,
            guides: vec![Guide::Horizontal(1.0, "target".to_owned()), Guide::Vertical(0.0, "best".to_owned())],
        };
        assert!(chart.legend().len() > 3);
        assert!(chart.draw().body.into_string().contains("target"));
    }
}
