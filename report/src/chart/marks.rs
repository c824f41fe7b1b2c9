//! Shapes of data points.

use maud::{Markup, html};

use super::{Px, SERIES};

/// The shape of a mark. Series differ by shape as well as by color.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A filled circle.
    Circle,
    /// A filled square.
    Square,
    /// A filled triangle.
    Triangle,
    /// A filled diamond.
    Diamond,
    /// A triangle pointing down.
    Down,
    /// A cross of two lines.
    Cross,
    /// A star of five points.
    Star,
}

impl Shape {
    /// All shapes, in the order of the series.
    pub const ALL: [Self; 7] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Down, Self::Cross, Self::Star];

    /// Draws the mark of a series. `size` is approximately the distance from its center to its edge, in pixels.
    pub fn draw(self, x: f64, y: f64, size: f64, series: usize, title: Option<&str>) -> Markup {
        let series = series % SERIES;
        let title = html! { @if let Some(title) = title { title { (title) } } };
        let class = format!("fill{series}");
        match self {
            Self::Circle => html! { circle class=(class) cx=(Px(x)) cy=(Px(y)) r=(Px(size)) { (title) } },
            Self::Cross => {
                let arm = size * 0.9;
                let path = format!(
                    "M{:.1} {:.1}L{:.1} {:.1}M{:.1} {:.1}L{:.1} {:.1}",
                    x - arm,
                    y - arm,
                    x + arm,
                    y + arm,
                    x - arm,
                    y + arm,
                    x + arm,
                    y - arm
                );
                html! { path class={ "mark line" (series) } d=(path) { (title) } }
            }
            _ => html! { path class=(class) d=(outline(&self.corners(), x, y, size)) { (title) } },
        }
    }

    /// The corners around (0, 0) for a size of 1.
    fn corners(self) -> Vec<(f64, f64)> {
        match self {
            Self::Circle | Self::Cross => Vec::new(),
            Self::Square => vec![(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => vec![(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Self::Diamond => vec![(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Down => vec![(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
            Self::Star => (0..10)
                .map(|corner| {
                    let radius = if corner % 2 == 0 { 1.7 } else { 0.7 };
                    let angle = f64::from(corner) * std::f64::consts::PI / 5.0;
                    (radius * angle.sin(), -radius * angle.cos())
                })
                .collect(),
        }
    }
}

fn outline(corners: &[(f64, f64)], x: f64, y: f64, size: f64) -> String {
    let mut path = String::new();
    for (index, (dx, dy)) in corners.iter().enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{command}{:.1} {:.1}", x + dx * size, y + dy * size));
    }
    path.push('Z');
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_is_distinct_and_has_a_title() {
        let drawn: Vec<String> =
            Shape::ALL.iter().map(|shape| shape.draw(5.0, 5.0, 4.0, 9, Some("<a>")).into_string()).collect();
        for (index, drawing) in drawn.iter().enumerate() {
            assert!(drawing.contains("<title>&lt;a&gt;</title>"), "{drawing}");
            assert!(drawing.contains("fill1") || drawing.contains("line1"), "series repeat: {drawing}");
            assert!(!drawn[..index].contains(drawing));
        }
    }
}
