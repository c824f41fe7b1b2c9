use std::path::PathBuf;

use clap::Args;

use crate::commands::export::network::{Named, Purpose};
use crate::error::CommandError;
use crate::options::Options;

/// Default resolution of a network from files, in pixels.
const PUBLISHED_RESOLUTION: u16 = 224;

/// Options for a network from files instead of the configuration's.
#[derive(Args, Debug)]
pub struct NetworkFiles {
    /// The model.config of another network than the configuration's
    #[arg(long, value_name = "FILE", requires = "weights")]
    model: Option<PathBuf>,

    /// The weights of this network: safetensors, or a .pth.tar
    #[arg(long, value_name = "FILE", requires = "model")]
    weights: Option<PathBuf>,

    /// Where the weights are in their file: keys joined by dots (model_ema.module) [default: found by the names of
    /// the tensors]
    #[arg(long, value_name = "KEY", requires = "weights")]
    weights_key: Option<String>,

    /// The names of the classes, one on each line
    #[arg(long, value_name = "FILE", requires = "model")]
    classes: Option<PathBuf>,

    /// The side of the images that the network reads, in pixels [default: 224]
    #[arg(long, value_name = "PIXELS", requires = "model", value_parser = clap::value_parser!(u16).range(1..=4096))]
    resolution: Option<u16>,

    /// The short side to which an image is resized before the crop, in pixels [default: 256/224 of the resolution]
    #[arg(long, value_name = "PIXELS", requires = "model", value_parser = clap::value_parser!(u16).range(1..))]
    resize: Option<u16>,
}

impl NetworkFiles {
    pub fn are_named(&self) -> bool {
        self.model.is_some()
    }

    /// Returns the network given by these options; without them, the network of the configuration. `stage` selects one
    /// if the configuration has several.
    pub fn or_configured(
        &self,
        options: &Options,
        stage: Option<&str>,
        purpose: Purpose,
    ) -> Result<Named, CommandError> {
        match (&self.model, &self.weights) {
            (Some(model), Some(weights)) => Named::from_files(
                model,
                (weights, self.weights_key.as_deref()),
                self.classes.as_deref(),
                usize::from(self.resolution.unwrap_or(PUBLISHED_RESOLUTION)),
                self.resize.map(usize::from),
            ),
            _ => Named::configured(options, stage, purpose),
        }
    }
}
