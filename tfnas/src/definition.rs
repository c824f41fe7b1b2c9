//! A search space as written by its author: plain data, not validated.
//!
//! [`Space::new`](crate::Space::new) validates a [`SpaceDefinition`] and derives the rest. All other functions take a
//! validated space.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The activation after a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`.
    Swish,
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relu => "relu",
            Self::Swish => "swish",
        })
    }
}

/// The name is not an activation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown activation '{0}': it must be relu or swish")]
pub struct UnknownActivation(pub String);

impl FromStr for Activation {
    type Err = UnknownActivation;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "relu" => Ok(Self::Relu),
            "swish" => Ok(Self::Swish),
            other => Err(UnknownActivation(other.chars().take(40).collect())),
        }
    }
}

/// One candidate operation: an inverted residual block of this kernel, expansion and squeeze-excite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Side of the depthwise kernel: odd, 1 to 15.
    pub kernel: usize,
    /// Initial width, as a multiple of the block's input channels.
    pub expand: usize,
    /// Largest width, as a multiple of the block's input channels. The smallest is half of it.
    pub max_expand: usize,
    /// Squeeze-excite channels as a multiple of the block's input channels. 0 disables squeeze-excite.
    #[serde(default)]
    pub se_expand: usize,
}

impl Operation {
    /// The name used in the paper, such as `k5_e6_se`: kernel, initial expansion, squeeze-excite.
    pub fn name(&self) -> String {
        let squeeze_excite = if self.se_expand > 0 { "_se" } else { "" };
        format!("k{}_e{}{squeeze_excite}", self.kernel, self.expand)
    }
}

/// A group of blocks. The first one changes channels and stride, the others keep them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Output channels of every block of the group.
    pub channels: usize,
    /// Maximum number of blocks that the search keeps. It keeps at least one.
    pub blocks: usize,
    /// Stride of the first block, 1 or 2. The others have stride 1.
    pub stride: usize,
    /// Activation of its blocks.
    pub activation: Activation,
}

/// The 3x3 convolution that reads the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstStem {
    /// Output channels.
    pub channels: usize,
    /// Stride, 1 or 2.
    pub stride: usize,
    /// Activation.
    pub activation: Activation,
}

/// The fixed inverted residual block (kernel 3, stride 1, no expansion) after the first stem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecondStem {
    /// Output channels.
    pub channels: usize,
    /// Number of squeeze-excite channels. 0 disables squeeze-excite.
    #[serde(default)]
    pub se_channels: usize,
    /// Activation.
    pub activation: Activation,
}

/// The 1x1 convolution before pooling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureMix {
    /// Output channels, which the classifier reads.
    pub channels: usize,
    /// Activation.
    pub activation: Activation,
}

/// A space before validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceDefinition {
    /// Side of the square input image, in pixels.
    pub resolution: usize,
    /// Number of classes. By default the number of classes of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// The first convolution.
    pub first_stem: FirstStem,
    /// The fixed block after it.
    pub second_stem: SecondStem,
    /// The candidate operations of every block, in order.
    pub operations: Vec<Operation>,
    /// The block groups, in order.
    pub groups: Vec<Group>,
    /// The 1x1 convolution before pooling.
    pub feature_mix: FeatureMix,
    /// Widths are multiples of this step, 1 to 64. Hardware prefers multiples of 8.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub width_step: usize,
}

fn one() -> usize {
    1
}

fn is_one(step: &usize) -> bool {
    *step == 1
}
