use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ExifOrientation, path_text};

/// A request to classify images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictRequest {
    /// The `model.config` of the network.
    #[serde(with = "path_text")]
    pub config: PathBuf,
    /// The weights of the network, a safetensors file.
    #[serde(with = "path_text")]
    pub weights: PathBuf,
    /// Side length of the network's input images, in pixels.
    pub resolution: usize,
    /// Length of the short side after the resize, before the center crop, in pixels.
    pub resize: usize,
    /// How to treat the EXIF orientation of photos.
    pub exif_orientation: ExifOrientation,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Number of threads for computing and for decoding.
    pub threads: usize,
    /// Images per forward pass.
    pub batch: usize,
    /// Number of most probable classes to return for each image.
    pub top: usize,
    /// The image files.
    pub images: Vec<PredictImage>,
}

/// An image file to classify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictImage(#[serde(with = "path_text")] pub PathBuf);

/// The result for one image. The worker writes one result per line as JSON, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The most probable classes as (label, probability), in order of decreasing probability.
    Classes(Vec<(usize, f64)>),
    /// Why the image could not be read.
    Error(String),
}
