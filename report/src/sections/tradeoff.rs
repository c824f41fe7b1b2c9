//! Accuracy and latency of several networks.

use tfnas_stages::finite;

use crate::chart::{Axis, Point, Series, Unit, XyChart};
use crate::network::Network;
use crate::section::Figure;
use crate::table::{Cell, Table};
use crate::text::{count, ms, percent, whole};

/// A network with a distinguishing name.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// Name shown next to its mark.
    pub name: String,
    /// Networks of a group share color and shape; empty if there is only one group.
    pub group: String,
    pub network: &'a Network,
}

impl Named<'_> {
    /// Returns latency and accuracy, if both are known.
    fn point(&self) -> Option<Point> {
        let (x, y) =
            (self.network.measured_ms().or(self.network.predicted_ms())?, finite(self.network.test.get()?.top1)?);
        let title = format!("{}: {}, top-1 {}", self.name, ms(x), percent(y));
        Some(Point { x, y, title, label: Some(self.name.clone()), ringed: false })
    }
}

/// Returns a figure of accuracy and latency with the Pareto front; `None` if no network was tested.
pub fn tradeoff(networks: &[Named<'_>]) -> Option<Figure> {
    let mut points: Vec<(&str, Point)> =
        networks.iter().filter_map(|named| Some((named.group.as_str(), named.point()?))).collect();
    points.sort_by(|(_, one), (_, other)| one.x.total_cmp(&other.x).then(other.y.total_cmp(&one.y)));
    if points.is_empty() {
        return None;
    }
    let is_best = front(&points.iter().map(|(_, point)| (point.x, point.y)).collect::<Vec<_>>());
    let mut table = Table::new("Accuracy against latency", &["network", ">latency, ms", ">top-1", "on the front"]);
    for ((_, point), best) in points.iter().zip(&is_best) {
        table.row([
            Cell::from(point.label.clone().unwrap_or_default()),
            Cell::number(Some(point.x), |ms| format!("{ms:.3}")),
            Cell::number(Some(point.y), percent),
            Cell::from(if *best { "yes" } else { "no" }),
        ]);
    }
    let descriptions: Vec<String> = points.iter().map(|(_, point)| point.title.clone()).collect();
    let best: Vec<Point> = points
        .iter()
        .zip(&is_best)
        .filter(|(_, best)| **best)
        .map(|((_, point), _)| Point { label: None, ..point.clone() })
        .collect();
    let names: Vec<&str> = points
        .iter()
        .zip(&is_best)
        .filter(|(_, best)| **best)
        .filter_map(|((_, point), _)| point.label.as_deref())
        .collect();
    let description = format!("Scatter chart. {}. On the Pareto front: {}.", descriptions.join("; "), names.join(", "));
    let mut groups: Vec<&str> = networks.iter().map(|named| named.group.as_str()).collect();
    groups.dedup();
    let mut line = Series::line("", 7, best);
    (line.mark, line.line) = (0.0, Some("thin"));
    let marks = groups.iter().enumerate().map(|(number, group)| {
        let own = points.iter().filter(|(of, _)| of == group).map(|(_, point)| point.clone());
        Series::marks(group, number, own.collect())
    });
    let chart = XyChart {
        width: 700.0,
        height: 380.0,
        x: Axis::new("latency (measured, otherwise predicted), ms", Unit::Plain),
        y: Axis::new("top-1 on the test images, %", Unit::Percent),
        series: std::iter::once(line).chain(marks).collect(),
        guides: Vec::new(),
    };
    Some(Figure {
        id: "networks-tradeoff".to_owned(),
        title: "Accuracy against latency".to_owned(),
        description,
        note:
            "The line connects the Pareto front: networks for which no other network is both faster and more accurate."
                .to_owned(),
        drawing: chart.draw(),
        table,
    })
}

/// Returns whether each point is better than all before it. The points must be sorted by rising latency, then by
/// falling accuracy.
fn front(points: &[(f64, f64)]) -> Vec<bool> {
    let mut most = f64::NEG_INFINITY;
    let better = |(_, accuracy): &(f64, f64)| {
        let better = *accuracy > most;
        most = most.max(*accuracy);
        better
    };
    points.iter().map(better).collect()
}

/// Returns a table of the networks.
pub fn table(networks: &[Named<'_>]) -> Table {
    let headings = [
        "network",
        ">target, ms",
        ">predicted, ms",
        ">measured, ms",
        ">parameters",
        ">multiply-adds",
        ">top-1",
        ">top-5",
        ">test images",
    ];
    let mut table = Table::new("Networks", &headings);
    let three = |ms: f64| format!("{ms:.3}");
    for Named { name, network, .. } in networks {
        let (architecture, test) = (network.architecture.get(), network.test.get());
        table.row([
            Cell::from(name.as_str()),
            Cell::number(network.target_ms(), three),
            Cell::number(network.predicted_ms(), three),
            Cell::number(network.measured_ms(), three),
            Cell::number(architecture.map(|found| found.parameters as f64), count),
            Cell::number(architecture.map(|found| found.flops as f64), count),
            Cell::number(test.and_then(|test| finite(test.top1)), percent),
            Cell::number(test.and_then(|test| finite(test.top5)), percent),
            Cell::number(test.map(|test| test.images as f64), |images| whole(images as u64)),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pareto_front_is_computed() {
        let points = [(1.0, 0.5), (1.0, 0.4), (2.0, 0.5), (3.0, 0.7), (4.0, 0.6)];
        assert_eq!(front(&points), [true, false, false, true, false]);
        assert!(front(&[]).is_empty());
    }
}
