//! The network that training and test build.

use tfnas::ModelConfig;

use crate::context::StageContext;
use crate::error::{Context as _, StageError};

/// Reads the `model.config` among the inputs, whose classifier must know as many classes as the images have.
pub fn model_config(context: &StageContext, classes: usize) -> Result<ModelConfig, StageError> {
    let config = ModelConfig::parse(&context.read_text("model.config")?).context("model.config")?;
    let found = config.classifier.out_features;
    if found != classes {
        return Err(StageError::with_hint(
            format!("model.config has a classifier of {found} classes, the images have {classes}"),
            "set space.classes to the classes of the data, or leave it out",
        ));
    }
    Ok(config)
}
