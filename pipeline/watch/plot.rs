//! Line plots as text: braille dots on a color terminal, one mark a curve without colors.

use std::collections::BTreeSet;

use super::style::Style;

/// The colors of curves, as ANSI codes.
const COLORS: [&str; 4] = ["36", "33", "35", "32"];
/// The color of the guide.
const GUIDE_COLOR: &str = "90";
/// The marks of curves without colors.
const MARKS: [char; 4] = ['*', '+', 'o', 'x'];
/// The mark of the guide without colors.
const GUIDE_MARK: char = '-';
/// The number of the guide among the curves.
const GUIDE: usize = usize::MAX;
/// The braille character without dots.
const BRAILLE: u32 = 0x2800;
/// The bits of a braille character, by row and column of its dots.
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
/// Width of the labels of the vertical axis.
const LABEL: usize = 8;

/// Formats a value for a label.
pub type Format = fn(f64) -> String;

/// Curves over epochs.
pub struct Plot<'a> {
    pub title: &'a str,
    pub format: Format,
    pub curves: Vec<Curve<'a>>,
    /// A horizontal line with its name, such as a target.
    pub guide: Option<(&'a str, f64)>,
}

/// A curve: its name, and values by epoch, counted from 0.
pub struct Curve<'a> {
    pub name: &'a str,
    pub points: &'a [(u64, f64)],
}

/// Inclusive ranges of the axes.
struct Ranges {
    x: (f64, f64),
    y: (f64, f64),
}

impl Plot<'_> {
    /// Draws the plot as `height` lines of `width` columns: the title with the last values, the curves, and the axis.
    pub fn draw(&self, width: usize, height: usize, style: Style) -> Vec<String> {
        let (columns, rows) = (width.saturating_sub(LABEL + 1).max(4), height.saturating_sub(2).max(2));
        let mut lines = vec![self.heading(width, style)];
        let Some(ranges) = self.ranges() else {
            lines.resize(height, " ".repeat(width));
            return lines;
        };
        let mut canvas = Canvas::new(columns, rows);
        if let Some((_, at)) = self.guide {
            let y = canvas.y(at, ranges.y);
            (0..2 * columns).for_each(|x| canvas.dot(x, y, GUIDE));
        }
        for (index, curve) in self.curves.iter().enumerate() {
            let finite = curve.points.iter().filter(|(_, value)| value.is_finite());
            let places: Vec<(usize, usize)> =
                finite.map(|(x, y)| (canvas.x(*x as f64, ranges.x), canvas.y(*y, ranges.y))).collect();
            places.first().into_iter().for_each(|(x, y)| canvas.dot(*x, *y, index));
            places.windows(2).for_each(|ends| canvas.line(ends[0], ends[1], index));
        }
        for row in 0..rows {
            let label = match row {
                0 => (self.format)(ranges.y.1),
                _ if row + 1 == rows => (self.format)(ranges.y.0),
                _ => String::new(),
            };
            let label = if label.chars().count() < LABEL { label } else { without_unit(&label) };
            lines.push(format!(
                "{label:>pad$} {}{}",
                style.paint(GUIDE_COLOR, "│"),
                canvas.row(row, style),
                pad = LABEL - 1
            ));
        }
        lines.push(axis(&ranges, columns));
        lines
    }

    /// Returns the title with the mark, the name and the last value of each curve; without units or values if there is not
    /// enough space.
    fn heading(&self, width: usize, style: Style) -> String {
        let curves = self.curves.iter().enumerate().filter_map(|(index, curve)| {
            let last = curve.points.last()?.1;
            Some((curve.name, last, COLORS[index % COLORS.len()], MARKS[index % MARKS.len()]))
        });
        let curves: Vec<_> = curves.collect();
        let entry = |name: &str, value: &str, mark: char| {
            let mark = if style.color || self.curves.len() < 2 { String::new() } else { mark.to_string() };
            let words = [mark.as_str(), name, value].into_iter().filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        };
        let title = self.title.chars().count();
        let length = |entries: &[String]| title + entries.iter().map(|entry| 2 + entry.chars().count()).sum::<usize>();
        let values: [&dyn Fn(f64) -> String; 3] =
            [&|value| (self.format)(value), &|value| without_unit(&(self.format)(value)), &|_| String::new()];
        let entries = values.into_iter().map(|shown| {
            curves.iter().map(|(name, last, _, mark)| entry(name, &shown(*last), *mark)).collect::<Vec<_>>()
        });
        let entries = entries.reduce(|best, next| if length(&best) <= width { best } else { next }).unwrap_or_default();
        let mut used = length(&entries);
        let mut text = style.paint("1", self.title);
        for (entry, (_, _, color, _)) in entries.iter().zip(&curves) {
            text.push_str(&format!("  {}", style.paint(color, entry)));
        }
        if let Some((name, value)) = self.guide {
            let guide = entry(name, &without_unit(&(self.format)(value)), GUIDE_MARK);
            if used + 2 + guide.chars().count() <= width {
                used += 2 + guide.chars().count();
                text.push_str(&format!("  {}", style.paint(GUIDE_COLOR, &guide)));
            }
        }
        text + &" ".repeat(width.saturating_sub(used))
    }

    fn ranges(&self) -> Option<Ranges> {
        let points = || self.curves.iter().flat_map(|curve| curve.points).filter(|(_, value)| value.is_finite());
        let values = points().map(|(_, value)| *value).chain(self.guide.map(|(_, value)| value));
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
        };
        points().next()?;
        let x = range(&mut points().map(|(step, _)| *step as f64));
        let (low, high) = range(&mut values.into_iter());
        // A constant curve is drawn in the middle.
        let margin = match high {
            _ if high > low => 0.0,
            0.0 => 1.0,
            _ => 0.05 * high.abs(),
        };
        Some(Ranges { x, y: (low - margin, high + margin) })
    }
}

fn without_unit(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// The horizontal axis with the first and the last epoch, counted from 1.
fn axis(ranges: &Ranges, columns: usize) -> String {
    let (first, last) = (format!("{}", ranges.x.0 + 1.0), format!("{}", ranges.x.1 + 1.0));
    let (first, last) = if first == last { (first, String::new()) } else { (first, last) };
    let between = columns.saturating_sub(first.len() + last.len());
    format!("{}{first}{}{last}", " ".repeat(LABEL + 1), " ".repeat(between))
}

/// A grid of characters with 2 × 4 dots each, for each curve.
struct Canvas {
    columns: usize,
    rows: usize,
    /// For each character, the dots of each curve: pairs of curve and bits.
    cells: Vec<Vec<(usize, u8)>>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, cells: vec![Vec::new(); columns * rows] }
    }

    fn x(&self, value: f64, (low, high): (f64, f64)) -> usize {
        let dots = 2 * self.columns - 1;
        if high > low { ((value - low) / (high - low) * dots as f64).round() as usize } else { 0 }
    }

    fn y(&self, value: f64, (low, high): (f64, f64)) -> usize {
        let dots = 4 * self.rows - 1;
        ((high - value) / (high - low) * dots as f64).round() as usize
    }

    fn dot(&mut self, x: usize, y: usize, curve: usize) {
        let (x, y) = (x.min(2 * self.columns - 1), y.min(4 * self.rows - 1));
        let bit = DOTS[y % 4][x % 2];
        let cell = &mut self.cells[y / 4 * self.columns + x / 2];
        match cell.iter_mut().find(|(known, _)| *known == curve) {
            Some((_, bits)) => *bits |= bit,
            None => cell.push((curve, bit)),
        }
    }

    fn line(&mut self, from: (usize, usize), to: (usize, usize), curve: usize) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
        let between = |from: usize, to: usize, step: usize| {
            (from as f64 + (to as f64 - from as f64) * step as f64 / steps.max(1) as f64).round() as usize
        };
        (0..=steps).for_each(|step| self.dot(between(from.0, to.0, step), between(from.1, to.1, step), curve));
    }

    fn row(&self, row: usize, style: Style) -> String {
        let curves: BTreeSet<usize> = self.cells.iter().flatten().map(|(curve, _)| *curve).collect();
        let one = curves.into_iter().filter(|curve| *curve != GUIDE).count() < 2;
        let cell = |cell: &Vec<(usize, u8)>| {
            // Later curves are drawn over earlier ones, and all of them over the guide.
            let Some((top, _)) = cell.last() else { return " ".to_owned() };
            let bits = cell.iter().fold(0, |bits, (_, more)| bits | more);
            let braille = char::from_u32(BRAILLE + u32::from(bits)).unwrap_or(' ').to_string();
            match (*top, style.color) {
                (GUIDE, true) => style.paint(GUIDE_COLOR, &braille),
                (GUIDE, false) => GUIDE_MARK.to_string(),
                (top, true) => style.paint(COLORS[top % COLORS.len()], &braille),
                (_, false) if one => braille,
                (top, false) => MARKS[top % MARKS.len()].to_string(),
            }
        };
        self.cells[row * self.columns..(row + 1) * self.columns].iter().map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(curves: &[&[(u64, f64)]], guide: Option<(&str, f64)>) -> Vec<String> {
        let names = ["train", "validation"];
        let curves = curves.iter().zip(names).map(|(points, name)| Curve { name, points }).collect();
        let plot = Plot { title: "loss", format: |value| format!("{value:.1}"), curves, guide };
        plot.draw(32, 5, Style { color: false })
    }

    #[test]
    fn one_curve_is_drawn_with_braille_dots() {
        let lines = plain(&[&[(0, 4.0), (1, 2.0), (2, 1.0)]], None);
        assert_eq!(lines[0], "loss  train 1.0                 ");
        assert!(lines[1].starts_with("    4.0 │") && lines[3].starts_with("    1.0 │"), "{lines:#?}");
        assert!(lines[1..4].iter().all(|line| line.chars().count() == 32), "{lines:#?}");
        assert_eq!(lines[4], "         1                     3");
    }

    #[test]
    fn several_curves_have_marks_without_colors() {
        let lines = plain(&[&[(0, 4.0), (9, 1.0)], &[(0, 4.0), (9, 2.0)]], Some(("target", 1.5)));
        assert_eq!(lines[0], "loss  * train  + validation     ", "values are left out if they do not fit");
        let text = lines.concat();
        assert!(text.contains('*') && text.contains('+') && text.contains("--"), "{lines:#?}");
    }

    #[test]
    fn constant_short_and_missing_curves_are_drawn() {
        assert!(plain(&[&[(0, 0.0), (5, 0.0)]], None)[2].contains('⠤'), "a constant is in the middle");
        assert_eq!(plain(&[&[(3, 1.0)]], None)[4].trim(), "4");
        assert_eq!(plain(&[&[]], None).len(), 5);
        assert_eq!(plain(&[&[(0, f64::NAN)]], None).len(), 5);
    }
}
