//! Reads the `model.config` of the network to train or test.

use tfnas::ModelConfig;

use crate::context::StageContext;
use crate::error::{Context as _, StageError};

/// Reads the input `model.config`.
///
/// # Errors
/// Returns an error if the file is not valid or its classifier does not have `classes` classes.
pub fn model_config(context: &StageContext, classes: usize) -> Result<ModelConfig, StageError> {
    let config = ModelConfig::parse(&context.read_text("model.config")?).context("model.config")?;
    let found = config.classifier.out_features;
    if found != classes {
        return Err(StageError::with_hint(
            format!("model.config has a classifier with {found} classes, but the images have {classes}"),
            "set space.classes to the number of classes of the data, or remove it",
        ));
    }
    Ok(config)
}
