//! The latency of a network, as a card and an audit read it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StageRecord;

/// `metrics/parse.json`: the network's latency, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// By the table.
    pub predicted_lat_ms: Option<f64>,
    /// Of the whole network, measured where the run was made; none where that was not asked for.
    pub measured_lat_ms: Option<f64>,
    /// Where most of the measured passes lie: lower end.
    pub measured_lat_ms_low: Option<f64>,
    /// Upper end.
    pub measured_lat_ms_high: Option<f64>,
    /// The device that measured.
    pub device_model: Option<String>,
}

/// Returns what the record of `parse` says of latency.
pub fn measured(parse: &StageRecord) -> Measured {
    let number = |name: &str| parse.metrics.get(name).and_then(Value::as_f64);
    let measured_lat_ms = number("measured_lat_ms");
    Measured {
        predicted_lat_ms: number("predicted_lat_ms"),
        measured_lat_ms,
        measured_lat_ms_low: number("measured_lat_ms_low"),
        measured_lat_ms_high: number("measured_lat_ms_high"),
        device_model: measured_lat_ms.and_then(|_| parse.fact("device_model").map(str::to_owned)),
    }
}
