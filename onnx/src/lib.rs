//! Export of a network to ONNX.
//!
//! [`State`] holds the weights of the network that a [`ModelConfig`] describes, and [`to_onnx`] writes the file. Its
//! graph has the input [`IMAGES`], `[N, 3, H, W]` f32, normalized, and the output [`LOGITS`], `[N, classes]` f32, with
//! any batch size N. Weights have the names of the authors' `state_dict`. The same network gives the same bytes. The
//! crate is independent of libtorch, images and checkpoints.
//!
//! ```
//! use tfnas::ModelConfig;
//! use tfnas_onnx::{Normalization, Origin, State, to_onnx};
//! # use tfnas_pytorch_files::checkpoint::StateDict;
//! # fn export(config: &ModelConfig, weights: &StateDict<'_>) -> Result<(), Box<dyn std::error::Error>> {
//! let state = State::of(config, weights)?;
//! let origin = Origin { producer: "example", version: "1.0", properties: &[] };
//! let bytes = to_onnx(config, &state, 224, Normalization::Folded, origin)?;
//! std::fs::write("model.onnx", bytes)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! * [`message`]: ONNX's protobuf messages.
//! * `state`: the weights of a network; `fold`: folds a batch norm into the preceding convolution.
//! * `graph`: a builder for nodes and values; `network`: the nodes of a network.

mod fold;
mod graph;
pub mod message;
mod network;
mod state;

use prost::Message;
use tfnas::ModelConfig;

use fold::fold;
pub use state::State;

/// The name of the input: `[N, 3, H, W]` f32, normalized.
pub const IMAGES: &str = "images";
/// The name of the output: `[N, classes]` f32.
pub const LOGITS: &str = "logits";
/// The operator set. Later ones add only types that these networks do not use, and fewer runtimes support them: this one needs
/// ONNX Runtime 1.12 (2022).
pub const OPSET: i64 = 17;
/// The version of the file format that belongs to [`OPSET`].
pub const IR_VERSION: i64 = 8;

/// Protobuf's size limit: files must be smaller.
const TOO_LARGE: usize = 1 << 31;

/// How batch norms are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// As separate nodes.
    Kept,
    /// Folded into the preceding convolutions: equal up to rounding, and faster.
    Folded,
}

/// The metadata of a file.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The program that writes the file.
    pub producer: &'a str,
    /// The version of the program.
    pub version: &'a str,
    /// Names and values of properties, in order.
    pub properties: &'a [(&'a str, String)],
}

/// Why a network cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnnxError {
    /// The network exceeds the size limit of the format.
    #[error("the ONNX file would have {bytes} bytes, but the format allows fewer than 2^31")]
    TooLarge {
        /// The size that the file would have.
        bytes: usize,
    },
    /// A folded convolution is not finite: the variance of its batch norm is negative, or far too small for its scale.
    #[error("{name} cannot be folded into its convolution: the result is not finite, because of {name}.running_var")]
    NotFinite {
        /// Name of the batch norm.
        name: String,
    },
}

/// Returns the bytes of an ONNX file.
///
/// * `state`: the weights of the same configuration.
/// * `resolution`: side of the images, in pixels.
///
/// # Errors
/// Returns [`OnnxError`] if the file would exceed protobuf's limit of 2 GiB, or a batch norm cannot be folded.
pub fn to_onnx(
    config: &ModelConfig,
    state: &State,
    resolution: usize,
    normalization: Normalization,
    origin: Origin<'_>,
) -> Result<Vec<u8>, OnnxError> {
    if normalization == Normalization::Folded
        && let Some(name) = state.batch_norms().find(|name| !fold(state, name).is_finite())
    {
        return Err(OnnxError::NotFinite { name: format!("{name}.bn") });
    }
    let entry = |(key, value): &(&str, String)| message::Entry { key: (*key).to_owned(), value: value.clone() };
    let model = message::Model {
        ir_version: IR_VERSION,
        producer_name: origin.producer.to_owned(),
        producer_version: origin.version.to_owned(),
        graph: Some(network::graph(config, state, resolution, normalization)),
        opset_import: vec![message::OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: origin.properties.iter().map(entry).collect(),
    };
    let bytes = model.encoded_len();
    if bytes >= TOO_LARGE { Err(OnnxError::TooLarge { bytes }) } else { Ok(model.encode_to_vec()) }
}
