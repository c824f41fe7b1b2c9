//! The number format of the forward pass: `search.precision` and `train.precision` in the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Number format of convolutions and matrix products.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32.
    #[default]
    F32,
    /// float32 whose inputs of convolutions and matrix products are rounded to 10 bits of precision. Needs an NVIDIA GPU of
    /// the Ampere generation (2020) or later.
    Tf32,
    /// bfloat16: the range of float32 with 8 bits of precision.
    Bf16,
    /// float16, with loss scaling.
    F16,
}
