use std::collections::BTreeSet;

use tfnas_stages::{Precision, Stage};

use crate::plan::Planner;

/// A stage has a precision that its device does not support.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: tf32 requires an NVIDIA GPU, but {} runs on a CPU", stage.name())]
pub struct PrecisionError {
    /// The configuration key.
    pub key: &'static str,
    /// The stage.
    pub stage: Stage,
}

impl PrecisionError {
    /// Returns how to fix the error.
    pub fn hint(&self) -> String {
        format!("set {} to f32 or bf16, or device to cuda", self.key)
    }
}

/// Checks the precisions of the instances and of all stages that they depend on.
///
/// # Errors
/// Returns [`PrecisionError`] for the first stage whose device does not support its precision.
pub fn check_precisions(planner: &Planner<'_>, instances: &BTreeSet<usize>) -> Result<(), PrecisionError> {
    for at in planner.graph.closure(instances.iter().copied()) {
        let stage = planner.graph.instances[at].stage;
        if let Some((key, Precision::Tf32)) = stage.precision(&planner.variant(at).config)
            && planner.device(at).kind() == "cpu"
        {
            return Err(PrecisionError { key, stage });
        }
    }
    Ok(())
}
