//! Weights by formula, in the form of a weights file.

use tfnas::ModelConfig;
use tfnas::state_shapes::{TensorShape, state_shapes};
use tfnas_pytorch_files::checkpoint::{Dtype, PlainTensor, StateDict};

use crate::golden::formula::Scheme;

/// Named tensors and their bytes.
pub struct Weights {
    tensors: Vec<(TensorShape, Vec<u8>)>,
}

impl Weights {
    /// Creates every tensor of a network.
    pub fn of(config: &ModelConfig, scheme: &Scheme) -> Self {
        let tensor = |tensor: TensorShape| {
            let bytes = match tensor.dtype {
                Dtype::F32 => bytes(&scheme.tensor(&tensor.name, &tensor.shape)),
                dtype => vec![0; dtype.size() * tensor.shape.iter().product::<usize>()],
            };
            (tensor, bytes)
        };
        Self { tensors: state_shapes(config).into_iter().map(tensor).collect() }
    }

    /// Returns the tensors as read from a file.
    pub fn state_dict(&self) -> StateDict<'_> {
        let tensors = self.tensors.iter().map(|(TensorShape { name, shape, dtype }, bytes)| {
            (name.clone(), PlainTensor::contiguous(*dtype, shape.clone(), bytes).unwrap())
        });
        StateDict::of(tensors.collect())
    }

    /// Removes a tensor.
    pub fn remove(&mut self, name: &str) {
        self.tensors.retain(|(tensor, _)| tensor.name != name);
    }

    /// Adds or replaces a tensor.
    pub fn set(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.remove(name);
        let tensor = TensorShape { name: name.to_owned(), shape: shape.to_vec(), dtype: Dtype::F32 };
        self.tensors.push((tensor, bytes(values)));
    }
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
