//! The number format of the forward pass: `search.precision`, `train.precision` and `test.precision` in the configuration.

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

/// Version of the computation in bf16. Raise it when bf16 gives other results than before but f32 does not; otherwise raise
/// the revisions of the stages. Version 1 was libtorch's own operations, and was no parameter.
const BF16_REVISION: u32 = 2;

impl Precision {
    /// Returns the parameter `bf16_revision` of a stage that trains in this precision, so that only its results in bf16 rerun
    /// when they change.
    pub(crate) fn bf16_revision(self) -> Option<u32> {
        (self == Self::Bf16).then_some(BF16_REVISION)
    }

    /// Returns whether this is f32.
    pub fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}
