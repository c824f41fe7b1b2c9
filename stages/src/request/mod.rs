//! Requests of the planner to a worker that are not part of a run.

mod check_table;
mod latency;
mod predict;
mod torchscript;

use serde::{Deserialize, Serialize};

pub use check_table::CheckTableRequest;
pub use latency::{LatencyReply, LatencyRequest};
pub use predict::{PredictImage, PredictRequest, Prediction};
pub use torchscript::TorchScriptRequest;

/// A request that `tfnas-stage answer VERSION` reads as JSON from standard input, with the version of the planner. The reply is
/// JSON on standard output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Compare a latency table with measured networks. The reply is a [`LookupCheck`](crate::LookupCheck).
    CheckTable(CheckTableRequest),
    /// Measure the latency of a network. The reply is a [`LatencyReply`].
    Latency(LatencyRequest),
    /// Classify images. The reply is a line with a [`Prediction`] for each image, in their order.
    Predict(PredictRequest),
    /// Write a network as a TorchScript file. There is no reply.
    TorchScript(TorchScriptRequest),
}
