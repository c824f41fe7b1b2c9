//! Figures of a selection: cost and score of the candidates, their training, and the weights of the regression.

use tfnas_select::{Origin, Ranked};
use tfnas_stages::SelectReport;

use super::select::{multiply_adds, origin};
use crate::chart::{Axis, Bar, Bars, Guide, Point, Series, Shape, Unit, XyChart};
use crate::network::Network;
use crate::section::Figure;
use crate::table::{Cell, Table};
use crate::text::{count, counted, ms, number};

/// Maximum number of regression features with a bar.
const FEATURES: usize = 12;

/// Groups of origins: name, color, shape.
const ORIGINS: [(&str, usize, Shape); 5] = [
    ("uniform draw", 7, Shape::Circle),
    ("rule", 4, Shape::Square),
    ("sampled from the search", 2, Shape::Triangle),
    ("proposed by the regression", 0, Shape::Down),
    ("found by the search", 1, Shape::Diamond),
];

/// Color and shape of the selected candidate.
const CHOSEN: (usize, Shape) = (5, Shape::Star);

fn group(origin: Origin) -> usize {
    match origin {
        Origin::Uniform | Origin::ProposalUniform { .. } => 0,
        Origin::Rule => 1,
        Origin::SearchSample => 2,
        Origin::Proposal { .. } => 3,
        Origin::SearchParse => 4,
    }
}

fn finished(ranked: &Ranked, rungs: usize) -> bool {
    !ranked.diverged && ranked.eliminated_after.is_none() && ranked.rungs.len() == rungs
}

fn rung_count(report: &SelectReport) -> usize {
    report.selection.ranking.iter().map(|ranked| ranked.rungs.len()).max().unwrap_or(0)
}

/// The cost of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Predicted latency.
    Latency,
    /// Multiply-adds.
    MultiplyAdds,
}

/// Returns a figure of cost and score in the first rung, which all candidates complete.
pub fn scatter(network: &Network, report: &SelectReport, cost: Cost) -> Figure {
    let (name, title, label, unit) = match cost {
        Cost::Latency => ("candidates-latency", "Candidates: latency and score", "predicted latency, ms", Unit::Plain),
        Cost::MultiplyAdds => ("candidates-macs", "Candidates: multiply-adds and score", "multiply-adds", Unit::Count),
    };
    let of = |ranked: &Ranked| match cost {
        Cost::Latency => Some(ranked.predicted_ms),
        Cost::MultiplyAdds => multiply_adds(network, ranked),
    };
    let shown = |value: f64| if cost == Cost::Latency { ms(value) } else { count(value) };
    let rungs = rung_count(report);
    let mut table =
        Table::new(title, &["candidate", "origin", &format!(">{label}"), ">score, rung 1", "last rung reached"]);
    let mut series: Vec<Series> = ORIGINS
        .iter()
        .map(|(name, color, shape)| Series { shape: *shape, ..Series::marks(name, *color, Vec::new()) })
        .collect();
    let mut chosen = Series { shape: CHOSEN.1, mark: 7.0, ..Series::marks("chosen", CHOSEN.0, Vec::new()) };
    for ranked in &report.selection.ranking {
        let (x, score) = (of(ranked), ranked.rungs.first().map(|score| score.blended));
        let reached = if finished(ranked, rungs) { "last".to_owned() } else { ranked.rungs.len().to_string() };
        table.row([
            Cell::from(ranked.name.as_str()),
            Cell::from(origin(ranked.origin)),
            Cell::number(x, shown),
            Cell::number(score, |score| format!("{score:.2}")),
            Cell::from(reached),
        ]);
        let (Some(x), Some(y)) = (x, score) else { continue };
        let title = format!("{}: {}, score {y:.2}, {}", ranked.name, shown(x), origin(ranked.origin));
        let mut point = Point { x, y, title, label: None, ringed: finished(ranked, rungs) };
        if ranked.id == report.selection.winner {
            point.label = Some("chosen".to_owned());
            chosen.points.push(point);
        } else {
            if ranked.origin == Origin::SearchParse {
                point.label = Some("search".to_owned());
            }
            series[group(ranked.origin)].points.push(point);
        }
    }
    series.push(chosen);
    series.retain(|series| !series.points.is_empty());
    let target = (cost == Cost::Latency && report.target_lat_ms.is_finite()).then_some(report.target_lat_ms);
    let chart = XyChart {
        width: 520.0,
        height: 380.0,
        x: Axis::new(label, unit).including(target.as_slice()),
        y: Axis::new("score after rung 1, lower is better", Unit::Plain),
        series,
        guides: target.map(|target| Guide::Vertical(target, format!("target {}", ms(target)))).into_iter().collect(),
    };
    Figure {
        id: network.id(name),
        title: title.to_owned(),
        description: described(report),
        note: "A ring marks candidates that finished the last rung. Scores are standardized over the candidates."
            .to_owned(),
        drawing: chart.draw(),
        table,
    }
}

fn described(report: &SelectReport) -> String {
    let ranking = &report.selection.ranking;
    let best = ranking.iter().take(3).map(|ranked| {
        let score = ranked.rungs.first().map_or("no score".to_owned(), |score| format!("score {:.2}", score.blended));
        format!("{} ({}, {score})", ranked.name, ms(ranked.predicted_ms))
    });
    format!(
        "Scatter chart of {}. Best of the selection: {}.",
        counted(ranking.len(), "candidate"),
        best.collect::<Vec<_>>().join("; ")
    )
}

/// Returns a figure of the training losses of all candidates.
pub fn curves(network: &Network, report: &SelectReport) -> Figure {
    let rungs = rung_count(report);
    let mut table =
        Table::new("Training loss of each candidate", &["candidate", ">epoch", ">training loss", ">validation loss"]);
    let mut named = [false; 3];
    let mut series: Vec<(usize, Series)> = Vec::new();
    for ranked in &report.selection.ranking {
        let (kind, name, color, line) = match ranked {
            ranked if ranked.id == report.selection.winner => (2, "selected", CHOSEN.0, "thick"),
            ranked if finished(ranked, rungs) => (1, "completed the last rung", 0, "line"),
            _ => (0, "eliminated", 7, "thin"),
        };
        for epoch in &ranked.epochs {
            table.row([
                Cell::from(ranked.name.as_str()),
                Cell::count(epoch.epoch),
                Cell::number(Some(epoch.train_loss), number),
                Cell::number(epoch.val_loss, number),
            ]);
        }
        let count = ranked.epochs.len();
        let point = |(index, epoch): (usize, &tfnas_select::EpochScore)| Point {
            x: epoch.epoch as f64,
            y: epoch.train_loss,
            title: format!("{}, epoch {}: {}", ranked.name, epoch.epoch, number(epoch.train_loss)),
            label: (index + 1 == count && kind == 2).then(|| "chosen".to_owned()),
            ringed: false,
        };
        let points = ranked.epochs.iter().enumerate().map(point).collect();
        let name = if named[kind] { "" } else { name };
        named[kind] = true;
        let mark = if count == 1 || kind == 2 { 3.0 } else { 0.0 };
        let shape = if kind == 2 { CHOSEN.1 } else { Shape::Circle };
        series.push((kind, Series { name: name.to_owned(), color, shape, line: Some(line), mark, points }));
    }
    series.sort_by_key(|(kind, _)| *kind);
    let mut ends: Vec<(usize, usize)> = report
        .selection
        .ranking
        .iter()
        .flat_map(|ranked| &ranked.rungs)
        .map(|score| (score.rung, score.epochs))
        .collect();
    ends.sort_unstable();
    ends.dedup();
    let guides = ends.iter().map(|(rung, epochs)| Guide::Vertical(*epochs as f64, format!("rung {}", rung + 1)));
    let dropped = report.selection.ranking.iter().filter(|ranked| ranked.eliminated_after.is_some()).count();
    let chart = XyChart {
        width: 520.0,
        height: 380.0,
        x: Axis::new("epoch", Unit::Whole).including(&[1.0]),
        y: Axis::new("training loss", Unit::Plain),
        series: series.into_iter().map(|(_, series)| series).collect(),
        guides: guides.collect(),
    };
    Figure {
        id: network.id("candidates-loss"),
        title: "Candidates: training and rungs".to_owned(),
        description: format!(
            "Line chart of the training losses of {}; {dropped} of them were eliminated before the last rung.",
            counted(report.selection.ranking.len(), "candidate")
        ),
        note: "A line ends where its candidate was eliminated.".to_owned(),
        drawing: chart.draw(),
        table,
    }
}

/// Returns a figure of the largest weights of the regression; `None` if all are zero.
pub fn regression(network: &Network, report: &SelectReport) -> Option<Figure> {
    let coefficients = &report.selection.regression.coefficients;
    let largest: Vec<_> = coefficients.iter().filter(|one| one.weight != 0.0).take(FEATURES).collect();
    let first = largest.first()?;
    let bars = Bars {
        width: 520.0,
        label: "change of the loss".to_owned(),
        unit: Unit::Plain,
        include: Vec::new(),
        bars: largest
            .iter()
            .map(|one| Bar {
                label: one.feature.clone(),
                value: one.weight,
                text: format!("{:+.2}", one.weight),
                color: usize::from(one.weight > 0.0),
            })
            .collect(),
    };
    let mut table = Table::new("Weights of the regression, largest first", &["feature", ">weight", "in words"]);
    for one in coefficients {
        table.row([
            Cell::from(one.feature.as_str()),
            Cell::number(Some(one.weight), |weight| format!("{weight:+.3}")),
            Cell::from(one.words.as_str()),
        ]);
    }
    Some(Figure {
        id: network.id("regression"),
        title: "What matters for the loss".to_owned(),
        description: format!("Bar chart of the {} largest weights of the regression. The largest: {}.", largest.len(), first.words),
        note: "By how much the loss (as a standard normal quantile of its rank) changes with one standard deviation of a feature: to \
               the left (blue) the loss falls, to the right (orange) it rises."
            .to_owned(),
        drawing: bars.draw(),
        table,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::select::tests::report;
    use super::*;
    use crate::outputs::Output;

    fn read(candidates: &[(&str, &str, usize, bool)]) -> SelectReport {
        let json = report(candidates);
        let read: Output<SelectReport> = Output::from_json(json.as_bytes());
        read.get().cloned().unwrap()
    }

    #[test]
    fn each_origin_has_a_mark_and_the_selected_candidate_a_label() {
        let origins =
            ["uniform", "rule", "search_sample", "search_parse"].map(|kind| format!("{{\"kind\": \"{kind}\"}}"));
        let proposal = r#"{"kind": "proposal", "round": 0}"#.to_owned();
        let all: Vec<(&str, &str, usize, bool)> =
            origins.iter().chain([&proposal, &proposal]).map(|origin| ("n", origin.as_str(), 2, false)).rev().collect();
        let figure = scatter(&Network::default(), &read(&all), Cost::Latency);
        let drawn = figure.drawing.body.into_string();
        for (name, _, _) in ORIGINS {
            assert!(drawn.contains(&format!(">{name}</text>")), "{name}");
        }
        assert!(
            drawn.contains(">chosen</text>")
                && drawn.contains(">search</text>")
                && drawn.contains(">target 0.600 ms</text>")
        );
    }

    #[test]
    fn diverged_candidates_have_no_line() {
        let figure = curves(
            &Network::default(),
            &read(&[("a", r#"{"kind": "rule"}"#, 2, false), ("b", r#"{"kind": "rule"}"#, 0, true)]),
        );
        assert!(!figure.drawing.body.into_string().contains("NaN"));
        assert!(figure.table.csv().contains("b,1,,\r\n"), "{}", figure.table.csv());
    }

    #[test]
    fn a_regression_without_weights_has_no_figure() {
        assert!(regression(&Network::default(), &read(&[("a", r#"{"kind": "rule"}"#, 2, false)])).is_none());
    }
}
