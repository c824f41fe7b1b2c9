//! The weights of a network.

use std::collections::BTreeMap;

use tfnas::ModelConfig;
use tfnas::state_shapes::state_shapes;
use tfnas_pytorch_files::checkpoint::{StateDict, StateDictMismatch};

/// The f32 tensors of a network by their `state_dict` names. All are present, finite and of the right shape.
#[derive(Clone, Debug)]
pub struct State {
    tensors: BTreeMap<String, Vec<f32>>,
}

impl State {
    /// Selects the tensors of the network that a configuration describes: weights, biases and running statistics.
    ///
    /// # Errors
    /// Returns [`StateDictMismatch`] with everything that is missing, unexpected, of another shape or dtype, or not
    /// finite.
    pub fn of(config: &ModelConfig, weights: &StateDict<'_>) -> Result<Self, StateDictMismatch> {
        weights.check(&state_shapes(config))?;
        let tensors = weights.tensors.iter().filter_map(|(name, tensor)| Some((name.clone(), tensor.to_f32()?)));
        Ok(Self { tensors: tensors.collect() })
    }

    /// Returns the names of the convolutions that a batch norm follows, such as `first_stem`.
    pub(crate) fn batch_norms(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().filter_map(|name| name.strip_suffix(".bn.running_var"))
    }

    /// Returns the elements of a tensor of the configuration, in row-major order.
    pub(crate) fn values(&self, name: &str) -> &[f32] {
        &self.tensors[name]
    }
}
