//! The section on the latency table and its accuracy.

use tfnas_stages::{LookupCheck, LookupReport, finite};

use crate::chart::{Axis, Guide, Point, Series, Shape, Unit, XyChart};
use crate::network::Network;
use crate::page::ReportFile;
use crate::section::{Figure, Part, Section};
use crate::table::{Cell, Table};
use crate::text::{counted, ms, percent, signed_percent};

/// Returns the section on the latency table and its accuracy; `None` without a table.
pub fn latency(network: &Network) -> Option<Section> {
    let lookup = network.lookup.get()?;
    let mut section = Section::new(&network.id("latency"), &network.heading("Latency"));
    section.parts.push(Part::Text(words(lookup)));
    let result = network.predicted_ms().zip(network.measured_ms());
    section.parts.extend(result.map(|(predicted, measured)| Part::Text(describe(network, predicted, measured))));
    let networks = lookup.check.as_ref().map(|check| check.networks.as_slice()).unwrap_or_default();
    if networks.is_empty() && result.is_none() {
        return Some(section);
    }
    if let Some(check) = lookup.check.as_ref().filter(|check| !check.networks.is_empty()) {
        section.parts.push(Part::Text(checked(check)));
    }
    section.parts.push(Part::Wide(figure(network.id("predicted-measured"), networks, result)));
    Some(section)
}

fn words(lookup: &LookupReport) -> String {
    let device = lookup.device.as_ref().map(|device| format!(" on {device}")).unwrap_or_default();
    let reach = finite(lookup.min_reachable_ms).zip(finite(lookup.max_reachable_ms));
    let reach = reach
        .map(|(min, max)| format!(" The predicted latency of networks of the space is {} to {}.", ms(min), ms(max)));
    let base = finite(lookup.base_ms).map(|base| format!(" Layers outside the blocks take {}.", ms(base)));
    format!(
        "The table “{}” was {}{device} and has {}.{}{}",
        lookup.name,
        lookup.origin.name(),
        counted(lookup.rows, "row"),
        reach.unwrap_or_default(),
        base.unwrap_or_default()
    )
}

/// Describes the latency of the network.
fn describe(network: &Network, predicted: f64, measured: f64) -> String {
    let corrected = network.measured.and_then(|measured| measured.at_table_speed.map(|_| measured.median));
    let corrected = corrected.map(|now| format!(" at the speed at which the table was measured ({} now)", ms(now)));
    let quartiles =
        network.measured.filter(|_| corrected.is_none()).and_then(|measured| measured.low.zip(measured.high));
    let quartiles = quartiles.map(|(low, high)| format!(" (half of the passes: {} to {})", ms(low), ms(high)));
    format!(
        "The network of this run takes {}{}{}; the table predicts {} ({}).",
        ms(measured),
        corrected.unwrap_or_default(),
        quartiles.unwrap_or_default(),
        ms(predicted),
        signed_percent(predicted / measured - 1.0)
    )
}

fn checked(check: &LookupCheck) -> String {
    let rank = check.rank_correlation.map(|rank| format!("; the rank correlation is {rank:.2}"));
    format!(
        "On {}, the mean error of the prediction is {} and the largest {}{}.",
        counted(check.networks.len(), "complete random network"),
        percent(check.mean_error),
        percent(check.worst_error),
        rank.unwrap_or_default()
    )
}

/// Returns the scatter chart that validates a table as SVG, and its numbers as CSV.
///
/// * `networks`: predicted and measured latency of each, in milliseconds.
pub fn latency_scatter(networks: &[(f64, f64)]) -> [ReportFile; 2] {
    let figure = figure("predicted-measured".to_owned(), networks, None);
    [
        ReportFile {
            name: format!("{}.svg", figure.id),
            text: figure.drawing.file(&figure.title, &figure.description),
        },
        ReportFile { name: format!("{}.csv", figure.id), text: figure.table.csv() },
    ]
}

fn figure(id: String, networks: &[(f64, f64)], result: Option<(f64, f64)>) -> Figure {
    let error = |predicted: f64, measured: f64| predicted / measured - 1.0;
    let mut table = Table::new(
        "Predicted and measured latency",
        &["network", ">predicted, ms", ">measured, ms", ">error of the prediction"],
    );
    let mut points = Vec::new();
    let named = networks.iter().enumerate().map(|(index, pair)| (format!("check network {}", index + 1), *pair));
    for (name, (predicted, measured)) in named.chain(result.map(|pair| ("this network".to_owned(), pair))) {
        let off = error(predicted, measured);
        table.row([
            Cell::from(name.as_str()),
            Cell::number(Some(predicted), |ms| format!("{ms:.3}")),
            Cell::number(Some(measured), |ms| format!("{ms:.3}")),
            Cell::number(Some(off), signed_percent),
        ]);
        let title = format!("{name}: predicted {}, measured {} ({})", ms(predicted), ms(measured), signed_percent(off));
        points.push(Point { x: predicted, y: measured, title, ..Point::default() });
    }
    let mut chosen = Series::marks("this network", 1, points.split_off(networks.len()));
    chosen.shape = Shape::Star;
    let description = chosen.points.first().map(|point| format!(" {}.", point.title)).unwrap_or_default();
    let places = networks.iter().copied().chain(result);
    let all: Vec<f64> =
        places.flat_map(|(predicted, measured)| [predicted, measured]).filter(|ms| ms.is_finite()).collect();
    let (low, high) = all.iter().fold((f64::INFINITY, 0.0f64), |(low, high), ms| (low.min(*ms), high.max(*ms)));
    let mut series = vec![Series::marks("check networks", 0, points), chosen];
    series.retain(|series| !series.points.is_empty());
    let chart = XyChart {
        width: 560.0,
        height: 420.0,
        x: Axis::new("predicted latency, ms", Unit::Plain).including(&[low, high]),
        y: Axis::new("measured latency, ms", Unit::Plain).including(&[low, high]),
        series,
        guides: vec![Guide::Between((low, low), (high, high), "exact".to_owned())],
    };
    Figure {
        id,
        title: "Predicted against measured latency".to_owned(),
        description: format!("Scatter chart of {}.{description}", counted(networks.len(), "check network")),
        note: "Predictions on the dashed line are exact; those below it are too high.".to_owned(),
        drawing: chart.draw(),
        table,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::{Measured, Output};

    fn network(check: &str) -> Network {
        let json = format!(
            r#"{{"origin": "measured", "name": "<t>", "device": "CPU & co", "base_ms": 0.1, "rows": 20,
                "min_reachable_ms": 0.3, "max_reachable_ms": 1.2, "suspicious": 0, "check": {check}}}"#
        );
        Network { lookup: Output::from_json(json.as_bytes()), ..Network::default() }
    }

    #[test]
    fn check_networks_have_relative_errors() {
        let check = r#"{"mean_error": 0.1, "worst_error": 0.2, "rank_correlation": null, "scale": 1.0, "offset_ms": 0.0,
            "fitted_mean_error": 0.0, "fitted_worst_error": 0.0, "networks": [[0.5, 0.4], [0.6, 0.8]]}"#;
        let section = latency(&network(check));
        let csv = section.as_ref().and_then(|section| section.tables().next()).map(|(_, table)| table.csv());
        assert!(csv.is_some_and(
            |csv| csv.contains("check network 1,0.5,0.4,0.25") && csv.contains("check network 2,0.6,0.8,-0.25")
        ));
        let html = section.map(|section| section.html().into_string()).unwrap_or_default();
        assert!(
            html.contains("“&lt;t&gt;”")
                && html.contains("CPU &amp; co")
                && html.contains("the mean error of the prediction is 10.0 %")
        );
    }

    #[test]
    fn an_imported_table_has_text_but_no_figure() {
        let html = latency(&network("null")).map(|section| section.html().into_string()).unwrap_or_default();
        assert!(html.contains("20 rows") && !html.contains("<svg"));
        assert!(latency(&Network::default()).is_none());
    }

    #[test]
    fn the_measured_latency_is_compared_with_the_prediction() {
        let network = Network {
            measured: Some(Measured { median: 0.5, low: Some(0.4), high: Some(0.6), at_table_speed: None }),
            ..network("null")
        };
        let text = describe(&network, 0.6, 0.5);
        let expected =
            "takes 0.500 ms (half of the passes: 0.400 ms to 0.600 ms); the table predicts 0.600 ms (+20.0 %).";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn implausible_measurements_are_omitted() {
        let mut network = network("null");
        network.measured = Some(Measured { median: 0.0, low: None, high: None, at_table_speed: None });
        let html = latency(&network).map(|section| section.html().into_string()).unwrap_or_default();
        assert!(!html.contains("<svg") && !html.contains("inf"));
    }
}
