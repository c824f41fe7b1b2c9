use serde_json::{Value, json};
use tfnas::normalization::{IMAGENET_MEAN, IMAGENET_STD};
use tfnas_artifacts::Digest;
use tfnas_onnx::{IMAGES, LOGITS};
use tfnas_planner::machine::build;
use tfnas_stages::ExifOrientation;

use super::Format;
use super::network::Network;

/// Returns how the file describes the handling of batch norms.
pub fn batch_norm(fold: bool) -> &'static str {
    if fold { "folded" } else { "kept" }
}

/// Describes a file for programs that run it: the preprocessing of images step by step, inputs and outputs, and the
/// files that it was made from.
pub fn describe(network: &Network, format: Format, fold: bool, file: &str, digest: &Digest) -> Value {
    let Network { resolution, resize, .. } = network;
    let (orientation, decode) = match network.exif_orientation {
        ExifOrientation::Ignore => ("not applied", "PIL.Image.open(file).convert('RGB')"),
        ExifOrientation::Apply => ("applied", "PIL.ImageOps.exif_transpose(PIL.Image.open(file)).convert('RGB')"),
    };
    json!({
        "model": {
            "file": file,
            "format": format.to_string(),
            "batch_norm": batch_norm(fold),
            "blake3": digest.to_string(),
            "model_config_blake3": network.config_digest.to_string(),
            "weights_blake3": network.weights_digest.to_string(),
            "tool": build::TOOL,
        },
        "input": { "name": IMAGES, "dtype": "float32", "layout": "NCHW", "shape": ["N", 3, resolution, resolution] },
        "output": {
            "name": LOGITS,
            "dtype": "float32",
            "shape": ["N", network.config.classifier.out_features],
            "classes": network.classes,
        },
        "steps": [
            {
                "step": "decode",
                "to": "8-bit RGB",
                "exif_orientation": orientation,
                "transparency": "dropped",
                "as": decode,
            },
            {
                "step": "resize",
                "short_side": resize,
                "filter": "bilinear",
                "antialias": true,
                "as": format!("torchvision.transforms.Resize({resize}) of a PIL image"),
            },
            {
                "step": "centre_crop",
                "side": resolution,
                "as": format!("torchvision.transforms.CenterCrop({resolution})"),
            },
            { "step": "divide", "by": 255 },
            { "step": "normalise", "mean": IMAGENET_MEAN, "std": IMAGENET_STD, "as": "(x - mean) / std" },
            { "step": "transpose", "from": "HWC", "to": "CHW" },
        ],
    })
}
