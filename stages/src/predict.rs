use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ExifOrientation, path_text};

/// What the worker classifies: the file that `tfnas-stage predict VERSION FILE` reads, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictRequest {
    /// The `model.config` of the network.
    #[serde(with = "path_text")]
    pub config: PathBuf,
    /// Its weights, as safetensors.
    #[serde(with = "path_text")]
    pub weights: PathBuf,
    /// Side of the images that the network reads, in pixels.
    pub resolution: usize,
    /// Short side to which an image is resized before the center crop, in pixels.
    pub resize: usize,
    /// What to do about the orientation in the metadata of photos.
    pub exif_orientation: ExifOrientation,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads to compute with, and to decode with.
    pub threads: usize,
    /// Images in a forward pass.
    pub batch: usize,
    /// How many classes to return for each image: the most probable ones.
    pub top: usize,
    /// The image files.
    pub images: Vec<PredictImage>,
}

/// A file to classify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictImage(#[serde(with = "path_text")] pub PathBuf);

/// The answer for one image; the worker writes one as JSON on each line, in the order of the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    /// The most probable classes, by their number, with their probabilities in falling order.
    Classes(Vec<(usize, f64)>),
    /// Why the image could not be read.
    Error(String),
}
