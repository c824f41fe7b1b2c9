use std::num::NonZeroUsize;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::path_text;

/// A request to write a network as a TorchScript file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TorchScriptRequest {
    /// The `model.config` of the network.
    #[serde(with = "path_text")]
    pub config: PathBuf,
    /// The weights of the network, a safetensors file.
    #[serde(with = "path_text")]
    pub weights: PathBuf,
    /// Side length of the input images, in pixels.
    pub resolution: NonZeroUsize,
    /// Whether to fold batch norms into the convolutions before them.
    pub fold: bool,
    /// The file to write.
    #[serde(with = "path_text")]
    pub output: PathBuf,
}
