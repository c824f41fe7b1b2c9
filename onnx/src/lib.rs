//! A network of the method as an ONNX file, for the runtimes that read one.
//!
//! [`State`] holds weights to the network that a [`ModelConfig`] describes, [`to_onnx`] writes the file. Its graph has the
//! input [`IMAGES`], `[N, 3, H, W]` f32, normalized, and the output [`LOGITS`], `[N, classes]` f32; N is free. Weights have
//! the names of the original's `state_dict`. The same network gives the same bytes.
//!
//! # The pieces
//!
//! * [`message`]: ONNX's protobuf messages.
//! * `state`: a network's weights; `fold`: a batch norm taken into the convolution before it.
//! * `graph`: nodes and values; `network`: which of them a network is.

mod fold;
mod graph;
pub mod message;
mod network;
mod state;

use prost::Message;
use tfnas::ModelConfig;

pub use state::State;

/// Name of the input: `[N, 3, H, W]` f32, normalized.
pub const IMAGES: &str = "images";
/// Name of the output: `[N, classes]` f32.
pub const LOGITS: &str = "logits";
/// Version of the operators: the last that changed convolutions and pooling. A file of a later one would say the same, and be
/// refused by more runtimes.
pub const OPSET: i64 = 22;
/// Version of the format that goes with [`OPSET`].
pub const IR_VERSION: i64 = 10;

/// More bytes than protobuf allows a file.
const TOO_LARGE: usize = 1 << 31;

/// What becomes of the batch norms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalization {
    /// They are nodes.
    Kept,
    /// Each is taken into the convolution before it: equal up to rounding, and faster.
    Folded,
}

/// What a file says of its network beside the graph.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The program that writes it.
    pub producer: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Names and values, in this order.
    pub properties: &'a [(&'a str, String)],
}

/// A network that does not fit into one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ONNX file would have {bytes} bytes, and the format allows fewer than 2^31")]
pub struct TooLarge {
    /// How large it would be.
    pub bytes: usize,
}

/// The bytes of an ONNX file.
///
/// * `state`: taken of the same configuration.
/// * `resolution`: side of the images, in pixels.
///
/// # Errors
/// [`TooLarge`].
pub fn to_onnx(
    config: &ModelConfig,
    state: &State,
    resolution: usize,
    normalization: Normalization,
    origin: Origin<'_>,
) -> Result<Vec<u8>, TooLarge> {
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
    if bytes >= TOO_LARGE { Err(TooLarge { bytes }) } else { Ok(model.encode_to_vec()) }
}
