use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How training images are cropped to the space's resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// A box of random area and aspect ratio, resized: torchvision's `RandomResizedCrop`.
    RandomResized,
    /// A box of the resolution at a random place of the image padded with zeros: the habit for 32x32 images.
    Padded,
}

/// Augmentation of training images; the defaults are the published ones (SPEC: section 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// How images are cropped.
    pub crop: Crop,
    /// Smallest and largest area of the box, as a share of the image (random_resized).
    pub scale: [f64; 2],
    /// Smallest and largest aspect ratio of the box (random_resized).
    pub ratio: [f64; 2],
    /// Zero pixels added at each side (padded).
    pub padding: usize,
    /// Whether images are mirrored with probability 1/2.
    pub flip: bool,
    /// Brightness factor is drawn from 1 -/+ this.
    pub brightness: f64,
    /// Contrast factor is drawn from 1 -/+ this.
    pub contrast: f64,
    /// Saturation factor is drawn from 1 -/+ this.
    pub saturation: f64,
    /// Hue shift is drawn from -/+ this, as a share of the circle: at most 0.5.
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
            return Some(("scale", format!("must be two growing shares above 0 and at most 1, not {:?}", self.scale)));
        }
        if !(self.ratio[0] > 0.0 && self.ratio[0] <= self.ratio[1] && self.ratio[1].is_finite()) {
            return Some(("ratio", format!("must be two growing positive numbers, not {:?}", self.ratio)));
        }
        for (key, value) in
            [("brightness", self.brightness), ("contrast", self.contrast), ("saturation", self.saturation)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Some((key, format!("must lie in 0 to 1, not {value}")));
            }
        }
        if !(0.0..=0.5).contains(&self.hue) {
            return Some(("hue", format!("must lie in 0 to 0.5, not {}", self.hue)));
        }
        None
    }
}
