//! The name of a row of a latency table: all properties of a block that its latency depends on, except the width.

use std::fmt;
use std::str::FromStr;

use crate::definition::Activation;

const PREFIX: &str = "MBInvertedResBlock_";

/// An inverted residual block without its width.
///
/// Its text form is that of the authors' tables, such as `MBInvertedResBlock_112_16_0_24_k3_s2_relu`: input size, input
/// channels, squeeze-excite channels, output channels, kernel, stride, activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockKey {
    /// Side of the input, in pixels.
    pub input_size: usize,
    /// Input channels.
    pub in_channels: usize,
    /// Number of squeeze-excite channels, 0 without squeeze-excite.
    pub se_channels: usize,
    /// Output channels.
    pub out_channels: usize,
    /// Side of the depthwise kernel.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Activation.
    pub activation: Activation,
}

impl fmt::Display for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{PREFIX}{}_{}_{}_{}_k{}_s{}_{}",
            self.input_size,
            self.in_channels,
            self.se_channels,
            self.out_channels,
            self.kernel,
            self.stride,
            self.activation
        )
    }
}

/// The text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a key: it must have the form MBInvertedResBlock_112_16_0_24_k3_s2_relu (input size, channels in, squeeze-excite, out, kernel, stride, activation)"
)]
pub struct KeyError(String);

impl FromStr for BlockKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || KeyError(text.chars().take(80).collect());
        let rest = text.strip_prefix(PREFIX).ok_or_else(wrong)?;
        let parts: Vec<&str> = rest.split('_').collect();
        let [size, inputs, squeeze, outputs, kernel, stride, activation] = parts[..] else {
            return Err(wrong());
        };
        let positive = |text: &str| number(text).filter(|&value| value > 0);
        let parse = || {
            Some(Self {
                input_size: positive(size)?,
                in_channels: positive(inputs)?,
                se_channels: number(squeeze)?,
                out_channels: positive(outputs)?,
                kernel: positive(kernel.strip_prefix('k')?)?,
                stride: positive(stride.strip_prefix('s')?)?,
                activation: activation.parse().ok()?,
            })
        };
        parse().ok_or_else(wrong)
    }
}

/// Parses a decimal number of at most six digits, without sign or leading zero.
fn number(text: &str) -> Option<usize> {
    let plain = text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    if plain && canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_round_trip_in_the_authors_format() {
        let text = "MBInvertedResBlock_28_40_80_80_k5_s2_swish";
        let key: BlockKey = text.parse().unwrap();
        assert_eq!(key.input_size, 28);
        assert_eq!(key.in_channels, 40);
        assert_eq!(key.se_channels, 80);
        assert_eq!(key.out_channels, 80);
        assert_eq!(key.kernel, 5);
        assert_eq!(key.stride, 2);
        assert_eq!(key.activation, Activation::Swish);
        assert_eq!(key.to_string(), text);
    }

    #[test]
    fn invalid_keys_are_rejected() {
        for text in [
            "",
            "base",
            "MBInvertedResBlock_112_16_0_24_k3_s2",
            "MBInvertedResBlock_112_16_0_24_k3_s2_relu6",
            "MBInvertedResBlock_112_16_0_24_k3_s2_relu_",
            "MBInvertedResBlock_112_16_0_24_3_s2_relu",
            "MBInvertedResBlock_0_16_0_24_k3_s2_relu",
            "MBInvertedResBlock_112_016_0_24_k3_s2_relu",
            "MBInvertedResBlock_112_-16_0_24_k3_s2_relu",
            "MBInvertedResBlock_112_16_0_9999999_k3_s2_relu",
        ] {
            assert!(text.parse::<BlockKey>().is_err(), "{text}");
        }
    }
}
