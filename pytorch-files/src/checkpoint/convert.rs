//! Converts tensors to the dtypes of a network, like PyTorch's `load_state_dict`.

use std::collections::{BTreeMap, HashMap};

use tfnas::Dtype;
use tfnas::state_shapes::TensorShape;

use super::mismatch::{StateDictMismatch, TensorMismatch};
use super::state_dict::StateDict;
use super::tensor::PlainTensor;

/// The largest number of a float16.
const F16_MAX: f32 = 65504.0;

/// The converted tensors of a file, counted by their old and new dtype.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversions(BTreeMap<(&'static str, &'static str), usize>);

impl Conversions {
    /// Describes the conversions, or returns `None` if there were none.
    pub fn in_words(&self) -> Option<String> {
        let counts = self.0.iter().map(|((from, to), count)| {
            let tensors = if *count == 1 { "tensor" } else { "tensors" };
            format!("{count} {tensors} from {from} to {to}")
        });
        let counts: Vec<String> = counts.collect();
        (!counts.is_empty()).then(|| format!("converted {}", counts.join(", ")))
    }
}

impl StateDict<'_> {
    /// Converts the tensors to the dtypes of a network: floats to floats of another width, integers to integers.
    ///
    /// # Errors
    /// Returns [`StateDictMismatch`] with everything that is missing, unexpected, of another shape or kind of dtype,
    /// not finite, or too large for its new dtype; in the order of the network, then of the file.
    pub fn fit(&mut self, network: &[TensorShape]) -> Result<Conversions, StateDictMismatch> {
        let (conversions, mut too_large) = self.converted(network);
        let Err(StateDictMismatch(mut mismatches)) = self.check(network) else { return Ok(conversions) };
        for mismatch in &mut mismatches {
            if let TensorMismatch::NotFinite { name, .. } = mismatch
                && let Some(large) = too_large.remove(name)
            {
                *mismatch = large;
            }
        }
        Err(StateDictMismatch(mismatches))
    }

    /// Converts the tensors whose name and shape match a tensor of the network, and leaves the others unchanged.
    pub fn convert(&mut self, network: &[TensorShape]) -> Conversions {
        self.converted(network).0
    }

    /// Returns the conversions, and by name the tensors with values that are too large.
    fn converted(&mut self, network: &[TensorShape]) -> (Conversions, HashMap<String, TensorMismatch>) {
        let network: HashMap<&str, &TensorShape> =
            network.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let mut conversions = Conversions::default();
        let mut too_large = HashMap::new();
        for (name, tensor) in &mut self.tensors {
            let Some(TensorShape { shape, dtype, .. }) = network.get(name.as_str()) else { continue };
            if tensor.shape() != shape || tensor.dtype() == *dtype {
                continue;
            }
            let Some((new, count)) = converted(tensor, *dtype) else { continue };
            let (found, expected) = (tensor.dtype().name(), dtype.name());
            if count > 0 {
                too_large.insert(name.clone(), TensorMismatch::TooLarge { name: name.clone(), count, found, expected });
            }
            *conversions.0.entry((found, expected)).or_default() += 1;
            *tensor = new;
        }
        (conversions, too_large)
    }
}

/// Returns a tensor in another dtype and the number of its values that are too large for it. Returns `None` for another
/// kind of dtype.
fn converted<'a>(tensor: &PlainTensor<'_>, to: Dtype) -> Option<(PlainTensor<'a>, usize)> {
    let (bytes, overflowed) = match to {
        Dtype::F32 => {
            let values = tensor.to_f32()?;
            let infinite = values.iter().filter(|value| !value.is_finite()).count();
            let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (bytes, infinite.saturating_sub(tensor.not_finite()))
        }
        Dtype::I64 => {
            let values = tensor.to_i64().or_else(|| whole_numbers(tensor))?;
            (values.iter().flat_map(|value| value.to_le_bytes()).collect(), 0)
        }
        _ => return None,
    };
    Some((PlainTensor::owned(to, tensor.shape(), bytes)?, overflowed))
}

/// Converts counters that were saved as floats with everything else. A counter beyond the range of float16 became
/// infinite and is converted to the largest integer. Returns `None` if the values are not whole numbers.
fn whole_numbers(tensor: &PlainTensor<'_>) -> Option<Vec<i64>> {
    /// f32 represents all integers up to this one.
    const EXACT: f32 = 16_777_216.0;
    let whole = |value: f32| match value {
        f32::INFINITY if tensor.dtype() == Dtype::F16 => Some(F16_MAX as i64),
        value if value.fract() == 0.0 && value.abs() <= EXACT => Some(value as i64),
        _ => None,
    };
    tensor.to_f32()?.into_iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::checkpoint::Wanted;

    fn state(tensors: &[(&str, Dtype, Vec<u8>)]) -> StateDict<'static> {
        let tensor = |(name, dtype, bytes): &(&str, Dtype, Vec<u8>)| {
            let shape = [bytes.len() / dtype.size()];
            ((*name).to_owned(), PlainTensor::owned(*dtype, &shape, bytes.clone()).unwrap())
        };
        StateDict::new(tensors.iter().map(tensor).collect(), &Wanted::default()).unwrap()
    }

    fn expected(name: &str, dtype: Dtype) -> TensorShape {
        TensorShape { name: name.to_owned(), shape: vec![1], dtype }
    }

    #[test]
    fn floats_and_integers_are_converted_to_the_dtypes_of_the_network() {
        let mut state = state(&[
            ("a", Dtype::F16, vec![0x00, 0x3e]),
            ("b", Dtype::Bf16, vec![0xc0, 0x3f]),
            ("c", Dtype::F64, 1.5f64.to_le_bytes().to_vec()),
            ("d", Dtype::I32, vec![7, 0, 0, 0]),
            ("e", Dtype::F16, vec![0x00, 0x7c]),
            ("f", Dtype::F32, 7f32.to_le_bytes().to_vec()),
        ]);
        let network = ["a", "b", "c"].map(|name| expected(name, Dtype::F32));
        let counters = ["d", "e", "f"].map(|name| expected(name, Dtype::I64));
        let conversions = state.fit(&[network, counters].concat()).unwrap();
        assert_eq!(
            conversions.in_words().unwrap(),
            "converted 1 tensor from bfloat16 to float32, 1 tensor from float16 to float32, 1 tensor from float16 to \
             int64, 1 tensor from float32 to int64, 1 tensor from float64 to float32, 1 tensor from int32 to int64"
        );
        for (_, tensor) in &state.tensors[..3] {
            assert_eq!(tensor.bytes(), &1.5f32.to_le_bytes()[..]);
        }
        let counters = state.tensors[3..].iter().map(|(_, tensor)| tensor.to_i64().unwrap()[0]);
        assert_eq!(counters.collect::<Vec<_>>(), [7, 65504, 7]);
    }

    #[test]
    fn matching_tensors_are_not_converted() {
        let mut state = state(&[("a", Dtype::F32, vec![0; 4])]);
        assert_eq!(state.fit(&[expected("a", Dtype::F32)]).unwrap().in_words(), None);
    }

    #[test]
    fn errors_name_values_that_a_dtype_cannot_represent() {
        for (dtype, bytes, to, message) in [
            (Dtype::F64, 1e300f64.to_le_bytes().to_vec(), Dtype::F32, "a: 1 values are too large for float32 (float64"),
            (Dtype::F64, f64::NAN.to_le_bytes().to_vec(), Dtype::F32, "a: 1 values are NaN or infinite"),
            (Dtype::F16, vec![0x00, 0x7c], Dtype::F32, "a: 1 values are NaN or infinite"),
            (Dtype::I64, vec![0; 8], Dtype::F32, "a: dtype int64, expected float32"),
            (Dtype::F32, 0.5f32.to_le_bytes().to_vec(), Dtype::I64, "a: dtype float32, expected int64"),
            (Dtype::F64, f64::INFINITY.to_le_bytes().to_vec(), Dtype::I64, "a: dtype float64, expected int64"),
        ] {
            let error = state(&[("a", dtype, bytes)]).fit(&[expected("a", to)]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
