use tfnas_onnx::{Normalization, Origin, to_onnx};
use tfnas_planner::machine::build;

use super::network::Network;
use super::preprocessing::batch_norm;
use crate::error::CommandError;

/// Converts the network to an ONNX file whose metadata names the files that it was made from.
pub fn bytes(network: &Network, fold: bool) -> Result<Vec<u8>, CommandError> {
    let properties = [
        ("tool", build::TOOL.to_owned()),
        ("model_config_blake3", network.config_digest.to_string()),
        ("weights_blake3", network.weights_digest.to_string()),
        ("batch_norm", batch_norm(fold).to_owned()),
    ];
    let origin = Origin { producer: "tfnas-pipeline", version: build::VERSION, properties: &properties };
    let normalization = if fold { Normalization::Folded } else { Normalization::Kept };
    to_onnx(&network.config, &network.state, network.resolution, normalization, origin)
        .map_err(|error| CommandError::failed(error.to_string()))
}
