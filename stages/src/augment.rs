//! Augmentation of training images: part of the sections `search:` and `train:` of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Returns what is wrong with these values, as (key below `augment`, message).
    pub(crate) fn problem(&self) -> Option<(&'static str, String)> {
        let share = |range: [f64; 2]| range[0] > 0.0 && range[0] <= range[1] && range[1] <= 1.0;
        if !share(self.scale) {
            return Some((
                "scale",
                format!("must be two increasing numbers above 0 and at most 1, not {:?}", self.scale),
            ));
        }
        if !(self.ratio[0] > 0.0 && self.ratio[0] <= self.ratio[1] && self.ratio[1].is_finite()) {
            return Some(("ratio", format!("must be two increasing positive numbers, not {:?}", self.ratio)));
        }
        for (key, value) in
            [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Some((key, format!("must be between 0 and 1, not {value}")));
            }
        }
        if !(0.0..=0.5).contains(&self.hue) {
            return Some(("hue", format!("must be between 0 and 0.5, not {}", self.hue)));
        }
        None
    }
}
