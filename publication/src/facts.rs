//! The latency of a network, as used by the card and the audit.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StageRecord;

/// The latency of a network in milliseconds, as written to `metrics/parse.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Predicted by the latency table.
    pub predicted_lat_ms: Option<f64>,
    /// Measured for the complete network, on the machine of the run; `None` if it was not measured.
    pub measured_lat_ms: Option<f64>,
    /// Lower end of the interval that contains most measured passes.
    pub measured_lat_ms_low: Option<f64>,
    /// Upper end of the interval that contains most measured passes.
    pub measured_lat_ms_high: Option<f64>,
    /// Model of the device that was measured.
    pub device_model: Option<String>,
}

/// Returns the latency from the record of `parse`.
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
