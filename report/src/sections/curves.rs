//! Curves over epochs.

use crate::chart::{Axis, Guide, Point, Series, Unit, XyChart};
use crate::section::Figure;
use crate::table::{Cell, Table};
use crate::text;

/// Values over epochs. Epochs count from 0 here and from 1 on the page.
pub struct Curve<'a> {
    /// Name in the legend and in the table.
    pub name: &'a str,
    /// Pairs of epoch and value.
    pub values: Vec<(usize, Option<f64>)>,
}

/// The texts of a figure of curves.
pub struct Words<'a> {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: &'a str,
    /// Label of the vertical axis, with the unit.
    pub axis: &'a str,
    /// How to read the figure; may be empty.
    pub note: &'a str,
}

/// Returns a figure of curves; `None` if no curve has a value.
pub fn figure(
    words: Words<'_>,
    unit: Unit,
    curves: &[Curve<'_>],
    include: &[f64],
    guides: Vec<Guide>,
) -> Option<Figure> {
    let known: Vec<&Curve<'_>> = curves.iter().filter(|curve| curve.known().next().is_some()).collect();
    if known.is_empty() {
        return None;
    }
    let series = known.iter().enumerate().map(|(number, curve)| {
        let point = |(epoch, value): &(usize, Option<f64>)| Point {
            x: epoch.saturating_add(1) as f64,
            y: value.unwrap_or(f64::NAN),
            title: format!(
                "{}, epoch {}: {}",
                curve.name,
                epoch.saturating_add(1),
                value.map_or("–".to_owned(), |value| shown(unit, value))
            ),
            ..Point::default()
        };
        Series::line(curve.name, number, curve.values.iter().map(point).collect())
    });
    let epochs: Vec<f64> =
        curves.iter().flat_map(|curve| &curve.values).map(|(epoch, _)| epoch.saturating_add(1) as f64).collect();
    let chart = XyChart {
        width: 520.0,
        height: 280.0,
        x: Axis::new("epoch", Unit::Whole).including(&epochs),
        y: Axis::new(words.axis, unit).including(include),
        series: series.collect(),
        guides,
    };
    let description: Vec<String> = known.iter().map(|curve| curve.described(unit)).collect();
    Some(Figure {
        id: words.id,
        title: words.title.to_owned(),
        description: format!("Line chart over epochs. {}.", description.join("; ")),
        note: words.note.to_owned(),
        drawing: chart.draw(),
        table: table(words.title, unit, curves),
    })
}

impl Curve<'_> {
    fn known(&self) -> impl DoubleEndedIterator<Item = (usize, f64)> {
        self.values.iter().filter_map(|(epoch, value)| Some((*epoch, value.filter(|value| value.is_finite())?)))
    }

    /// Describes the curve by its first and last value.
    fn described(&self, unit: Unit) -> String {
        let (first, last) = (self.known().next(), self.known().next_back());
        match (first, last) {
            (Some((from, first)), Some((to, last))) if to > from => format!(
                "{}: {} in epoch {}, {} in epoch {}",
                self.name,
                shown(unit, first),
                from.saturating_add(1),
                shown(unit, last),
                to.saturating_add(1)
            ),
            (Some((epoch, value)), _) => {
                format!("{}: {} in epoch {}", self.name, shown(unit, value), epoch.saturating_add(1))
            }
            _ => format!("{}: no value", self.name),
        }
    }
}

fn table(title: &str, unit: Unit, curves: &[Curve<'_>]) -> Table {
    let headings: Vec<String> = curves.iter().map(|curve| format!(">{}", curve.name)).collect();
    let headings: Vec<&str> = std::iter::once(">epoch").chain(headings.iter().map(String::as_str)).collect();
    let mut table = Table::new(title, &headings);
    let mut epochs: Vec<usize> = curves.iter().flat_map(|curve| &curve.values).map(|(epoch, _)| *epoch).collect();
    epochs.sort_unstable();
    epochs.dedup();
    for epoch in epochs {
        let value = |curve: &Curve<'_>| curve.values.iter().find(|(at, _)| *at == epoch).and_then(|(_, value)| *value);
        let cells = curves.iter().map(|curve| Cell::number(value(curve), |value| shown(unit, value)));
        table.row(std::iter::once(Cell::count(epoch.saturating_add(1))).chain(cells));
    }
    table
}

/// Formats a value.
pub fn shown(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Percent => text::percent(value),
        Unit::Count => text::count(value),
        Unit::Plain | Unit::Whole => text::number(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: Vec<(usize, Option<f64>)>) -> Option<Figure> {
        let words = Words { id: "loss".to_owned(), title: "Loss", axis: "loss", note: "" };
        figure(
            words,
            Unit::Plain,
            &[Curve { name: "train", values }, Curve { name: "none", values: Vec::new() }],
            &[],
            Vec::new(),
        )
    }

    #[test]
    fn a_figure_needs_at_least_one_epoch() {
        let one = drawn(vec![(0, Some(2.5))]);
        assert!(one.is_some_and(|figure| figure.description.contains("train: 2.5000 in epoch 1")));
        assert!(drawn(Vec::new()).is_none());
        assert!(drawn(vec![(0, None), (1, Some(f64::NAN))]).is_none());
    }

    #[test]
    fn missing_epochs_are_gaps_in_the_table() {
        let figure = drawn(vec![(0, Some(2.0)), (1, None), (4, Some(1.0))]);
        let csv = figure.map(|figure| figure.table.csv()).unwrap_or_default();
        assert_eq!(csv, "epoch,train,none\r\n1,2,\r\n2,,\r\n5,1,\r\n");
    }
}
