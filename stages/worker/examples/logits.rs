//! Prints the logits of a network for image files, for comparison with other implementations:
//! `logits MODEL_CONFIG WEIGHTS RESOLUTION RESIZE IMAGE…`.
//!
//! The output is `{"kept": [[…]], "folded": [[…]]}` with one row of logits per image: from the network with its batch norms
//! kept, and with its batch norms folded into the convolutions.

use std::error::Error;
use std::fs::{read, read_to_string};
use std::path::Path;

use serde_json::json;
use tch::{Device, Kind, Tensor};
use tfnas::ModelConfig;
use tfnas_images::{EvalTransform, decode};
use tfnas_torch::derived::DerivedNetwork;
use tfnas_torch::preprocess::Preprocess;
use tfnas_torch::weights::{load, read_file};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, weights, resolution, resize, images @ ..] = arguments.as_slice() else {
        return Err("expected MODEL_CONFIG WEIGHTS RESOLUTION RESIZE IMAGE…".into());
    };
    let transform = EvalTransform { resize: resize.parse()?, resolution: resolution.parse()? };
    let network = DerivedNetwork::new(&ModelConfig::parse(&read_to_string(config)?)?, Device::Cpu);
    load(&network, &read_file(Path::new(weights))?)?;
    let mut pixels = Vec::new();
    for image in images {
        pixels.extend(transform.apply(&decode(&read(image)?)?).pixels);
    }
    let batch = Preprocess::new(transform.resolution, Device::Cpu).images(&pixels, images.len())?;
    let answer = json!({ "kept": rows(&network.forward(&batch)), "folded": rows(&network.folded().forward(&batch)) });
    println!("{answer}");
    Ok(())
}

/// Converts a matrix to rows.
fn rows(logits: &Tensor) -> Vec<Vec<f64>> {
    let row = |row: Tensor| {
        let row = row.to_kind(Kind::Double);
        let mut values = vec![0f64; row.numel()];
        row.copy_data(&mut values, row.numel());
        values
    };
    logits.unbind(0).into_iter().map(row).collect()
}
