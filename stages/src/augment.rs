//! Augmentation of training images: part of the sections `search:` and `train:` of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::InvalidValue;

/// How training images are cropped to the space's resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// A box of random area and aspect ratio, resized: torchvision's `RandomResizedCrop`.
    RandomResized,
    /// A box of the target resolution at a random position of the zero-padded image, as is usual for 32x32 images.
    Padded,
}

/// Augmentation of training images. The defaults are the published values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// How images are cropped.
    pub crop: Crop,
    /// Smallest and largest area of the box, as a fraction of the image (`crop: random_resized` only).
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio (width / height) of the box (`crop: random_resized` only).
    pub ratio: [f64; 2],
    /// Zero pixels added on each side (`crop: padded` only).
    pub padding: usize,
    /// Mirror each image horizontally with probability 1/2.
    pub flip: bool,
    /// The brightness factor is drawn uniformly from 1 - this to 1 + this.
    pub brightness: f64,
    /// The contrast factor is drawn uniformly from 1 - this to 1 + this.
    pub contrast: f64,
    /// The saturation factor is drawn uniformly from 1 - this to 1 + this.
    pub saturation: f64,
    /// The hue shift is drawn uniformly from -this to this, as a fraction of the color circle; at most 0.5.
    pub hue: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop: Crop::RandomResized,
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            padding: 4,
            flip: true,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
            hue: 0.2,
        }
    }
}

impl Augment {
    pub(crate) fn validate(&self) -> Result<(), InvalidValue> {
        let [min, max] = self.scale;
        if !(min > 0.0 && min <= max && max <= 1.0) {
            let message = format!("must be two increasing numbers above 0 and at most 1, not {:?}", self.scale);
            return Err(InvalidValue::new("scale", message));
        }
        let [min, max] = self.ratio;
        if !(min > 0.0 && min <= max && max.is_finite()) {
            let message = format!("must be two increasing positive numbers, not {:?}", self.ratio);
            return Err(InvalidValue::new("ratio", message));
        }
        let jitter = |key, value, max| {
            InvalidValue::unless((0.0..=max).contains(&value), key, &format!("be between 0 and {max}"), value)
        };
        jitter("brightness", self.brightness, 1.0)?;
        jitter("contrast", self.contrast, 1.0)?;
        jitter("saturation", self.saturation, 1.0)?;
        jitter("hue", self.hue, 0.5)
    }
}
