use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What convolutions and matrix products compute in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 32 bits with 10 bits of precision in the inputs of convolutions and matrix products: on NVIDIA GPUs of the Ampere
    /// generation (2020) and later.
    Tf32,
    /// bfloat16: the range of f32, 8 bits of precision.
    Bf16,
    /// float16, with a loss scale.
    F16,
}
