//! Reads and writes named tensors (safetensors; `.pth.tar` read-only), and loads them into a network with a complete
//! list of mismatches.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype as SafetensorsDtype, SafeTensorError, View, serialize};
use tch::{Kind, Tensor, no_grad};
use tfnas::state_shapes::TensorShape;
use tfnas_pytorch_files::checkpoint::{
    Conversions, Dtype, PlainTensor, StateDict, StateDictMismatch, TensorMismatch, Wanted, WeightsFile,
    WeightsFileError, safetensors_dtype,
};

use crate::named_tensors::{Module, NamedTensors};

/// Maximum size of a file. The largest space's supernet with its optimizer state is well below it.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Why tensors cannot be read, written or loaded.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// The file is too large.
    #[error("{}: the file has {bytes} bytes, more than the maximum of {MAX_FILE_BYTES}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The bytes are neither a safetensors file nor a `.pth.tar`.
    #[error(transparent)]
    Format(#[from] WeightsFileError),
    /// The tensors cannot be serialized.
    #[error("cannot be written as safetensors: {0}")]
    Unwritable(#[from] SafeTensorError),
    /// The safetensors format does not support this dtype.
    #[error("'{name}' has the dtype {dtype}, which is not supported")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its dtype.
        dtype: String,
    },
    /// libtorch cannot create a tensor from the bytes.
    #[error("'{name}': {source}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// The error of libtorch.
        source: tch::TchError,
    },
    /// The tensors do not match the network.
    #[error(transparent)]
    StateDictMismatch(#[from] StateDictMismatch),
}

/// Copies tensors into a module that has the same names, shapes and dtypes.
///
/// # Errors
/// Returns [`WeightsError::StateDictMismatch`] with every tensor that is missing, unexpected, not finite, or of another
/// shape or dtype; the module is not changed then.
pub fn load(module: &impl Module, tensors: &NamedTensors) -> Result<(), WeightsError> {
    copy_matching(module, tensors, not_finite)
}

/// Does the same as [`load`] for the saved state of an unfinished training, whose values may be infinite or NaN because it
/// diverges.
///
/// # Errors
/// Returns [`WeightsError::StateDictMismatch`] with every tensor that is missing, unexpected, or of another shape or dtype;
/// the module is not changed then.
pub fn load_unfinished(module: &impl Module, tensors: &NamedTensors) -> Result<(), WeightsError> {
    copy_matching(module, tensors, |_, _| None)
}

/// Copies tensors into a module if all of them match and `check` finds nothing in any.
fn copy_matching(
    module: &impl Module,
    tensors: &NamedTensors,
    check: impl Fn(&str, &Tensor) -> Option<TensorMismatch>,
) -> Result<(), WeightsError> {
    let state = module.state();
    let mut mismatches = Vec::new();
    for (name, expected) in state.iter() {
        match tensors.get(name) {
            Some(found) => mismatches.extend(mismatch(name, found, expected).or_else(|| check(name, found))),
            None => mismatches.push(TensorMismatch::Missing { name: name.to_owned() }),
        }
    }
    let unexpected = tensors.iter().filter(|(name, _)| state.get(name).is_none());
    mismatches.extend(unexpected.map(|(name, _)| TensorMismatch::Unexpected { name: name.to_owned() }));
    if !mismatches.is_empty() {
        return Err(StateDictMismatch(mismatches).into());
    }
    no_grad(|| {
        for (name, own) in state.iter() {
            if let Some(tensor) = tensors.get(name) {
                own.shallow_clone().copy_(tensor);
            }
        }
    });
    Ok(())
}

/// Returns how a tensor differs from the one the network expects.
fn mismatch(name: &str, found: &Tensor, expected: &Tensor) -> Option<TensorMismatch> {
    let name = name.to_owned();
    if found.size() != expected.size() {
        return Some(TensorMismatch::Shape { name, found: shape_of(found), expected: shape_of(expected) });
    }
    if found.kind() != expected.kind() {
        let named = |tensor: &Tensor| dtype_of(tensor.kind()).map_or("unsupported", Dtype::name);
        return Some(TensorMismatch::Dtype { name, found: named(found), expected: named(expected) });
    }
    None
}

/// Returns how many values of a tensor are infinite or NaN, if any.
fn not_finite(name: &str, found: &Tensor) -> Option<TensorMismatch> {
    let finite = found.isfinite().sum(Kind::Int64).int64_value(&[]);
    let count = found.numel() - finite as usize;
    (count > 0).then(|| TensorMismatch::NotFinite { name: name.to_owned(), count })
}

fn shape_of(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}

/// Serializes tensors as safetensors. The bytes do not depend on the order of the tensors.
///
/// # Errors
/// Returns [`WeightsError::Dtype`] for a dtype that the format does not support.
pub fn to_bytes(tensors: &NamedTensors) -> Result<Vec<u8>, WeightsError> {
    let views: Vec<(&str, TensorBytes)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, TensorBytes::of(name, tensor)?)))
        .collect::<Result<_, WeightsError>>()?;
    // Only one entry, because the order of several would differ between processes. Other readers expect this one.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(serialize(views, Some(metadata))?)
}

/// Reads the tensors of a safetensors file (sorted by name) or of a `.pth.tar` (in file order) onto the CPU.
///
/// # Errors
/// Returns [`WeightsError::Format`] if the bytes are neither.
pub fn from_bytes(bytes: &[u8]) -> Result<NamedTensors, WeightsError> {
    tensors_of(WeightsFile::read(bytes)?.state_dict)
}

/// Converts the tensors of a file to libtorch's.
pub(crate) fn tensors_of(state: StateDict<'_>) -> Result<NamedTensors, WeightsError> {
    let tensor = |(name, plain): (String, PlainTensor<'_>)| {
        let tensor = tensor_of(&name, &plain)?;
        Ok((name, tensor))
    };
    state.tensors.into_iter().map(tensor).collect()
}

/// Writes a safetensors file atomically.
///
/// # Errors
/// Returns [`WeightsError::File`] if the file cannot be written; see [`to_bytes`] for other errors.
pub fn write_file(tensors: &NamedTensors, path: &Path) -> Result<(), WeightsError> {
    let bytes = to_bytes(tensors)?;
    tfnas_fs::write_atomic(path, &bytes).map_err(|source| WeightsError::File { path: path.to_owned(), source })
}

/// Reads a safetensors file or a `.pth.tar`.
///
/// # Errors
/// Returns [`WeightsError::File`] or [`WeightsError::TooLarge`]; see [`from_bytes`] for other errors.
pub fn read_file(path: &Path) -> Result<NamedTensors, WeightsError> {
    from_bytes(&read_file_bytes(path)?)
}

/// Loads a file of weights into a module: the tensors under `key`, or by default those that match best, converted to
/// the module's dtypes. Returns notes on how the file was read.
///
/// # Errors
/// Same as [`read_file`] and [`load`].
pub fn load_file(module: &impl Module, path: &Path, key: Option<&str>) -> Result<Vec<String>, WeightsError> {
    let bytes = read_file_bytes(path)?;
    let network = shapes_of(module);
    let mut state = WeightsFile::find(&bytes, &Wanted { key, network: Some(&network) })?.state_dict;
    let conversions = state.fit(&network)?;
    let notes = notes(&state, &conversions);
    load(module, &tensors_of(state)?)?;
    Ok(notes)
}

/// Names, shapes and dtypes of the tensors of a module.
pub(crate) fn shapes_of(module: &impl Module) -> Vec<TensorShape> {
    let shape = |(name, tensor): (&str, &Tensor)| {
        let dtype = dtype_of(tensor.kind())?;
        Some(TensorShape { name: name.to_owned(), shape: shape_of(tensor), dtype })
    };
    module.state().iter().filter_map(shape).collect()
}

/// Notes on which tensors of a file were used and what was converted.
pub(crate) fn notes(state: &StateDict<'_>, conversions: &Conversions) -> Vec<String> {
    state.choice().into_iter().chain(conversions.in_words()).collect()
}

/// Reads a file of weights, up to the maximum size.
pub(crate) fn read_file_bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let wrap = |source| WeightsError::File { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(wrap)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(WeightsError::TooLarge { path: path.to_owned(), bytes });
    }
    fs::read(path).map_err(wrap)
}

/// A tensor in the representation of the safetensors crate.
struct TensorBytes {
    tensor: Tensor,
    shape: Vec<usize>,
    dtype: SafetensorsDtype,
}

impl TensorBytes {
    fn of(name: &str, tensor: &Tensor) -> Result<Self, WeightsError> {
        let kind = tensor.kind();
        let unknown = || WeightsError::Dtype { name: name.to_owned(), dtype: format!("{kind:?}") };
        let dtype = safetensors_dtype(dtype_of(kind).ok_or_else(unknown)?);
        Ok(Self { tensor: tensor.detach(), shape: shape_of(tensor), dtype })
    }
}

impl View for TensorBytes {
    fn dtype(&self) -> SafetensorsDtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let mut data = vec![0; self.data_len()];
        self.tensor.copy_data_u8(&mut data, self.tensor.numel());
        data.into()
    }

    fn data_len(&self) -> usize {
        self.tensor.numel() * self.tensor.kind().elt_size_in_bytes()
    }
}

/// The dtypes that both libtorch and safetensors support.
const DTYPES: [(Kind, Dtype); 10] = [
    (Kind::Bool, Dtype::Bool),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
    (Kind::Int, Dtype::I32),
    (Kind::Int64, Dtype::I64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::Bf16),
    (Kind::Float, Dtype::F32),
    (Kind::Double, Dtype::F64),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    DTYPES.iter().find(|(known, _)| *known == kind).map(|(_, dtype)| *dtype)
}

/// Copies a tensor of a file.
fn tensor_of(name: &str, plain: &PlainTensor<'_>) -> Result<Tensor, WeightsError> {
    let known = DTYPES.iter().find(|(_, dtype)| *dtype == plain.dtype());
    let &(kind, _) = known.expect("DTYPES has every dtype of a file");
    let shape: Vec<i64> = plain.shape().iter().map(|&size| size as i64).collect();
    Tensor::f_from_data_size(&plain.bytes(), &shape, kind)
        .map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::named_tensors::{Role, Visitor};

    struct Pair(Tensor, Tensor);

    impl Module for Pair {
        fn visit(&self, _: &str, visitor: &mut Visitor<'_>) {
            visitor("a".to_owned(), &self.0, Role::Weight);
            visitor("b".to_owned(), &self.1, Role::Buffer);
        }
    }

    fn pair() -> Pair {
        Pair(Tensor::from_slice(&[1f32, 2.0]), Tensor::from(3i64))
    }

    fn named(entries: Vec<(&str, Tensor)>) -> NamedTensors {
        entries.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
    }

    #[test]
    fn serialization_round_trips_shape_dtype_and_values() {
        let back = from_bytes(&to_bytes(&pair().state()).unwrap()).unwrap();
        assert!(back.get("a").unwrap().equal(&pair().0));
        assert!(back.get("b").unwrap().equal(&pair().1));
        assert_eq!(back.get("b").unwrap().dim(), 0);
    }

    #[test]
    fn serialization_is_independent_of_order_and_strides() {
        let matrix = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]);
        let strided = matrix.tr().contiguous().tr();
        assert!(!strided.is_contiguous());
        let one = named(vec![("x", matrix), ("y", Tensor::from(1i64))]);
        let other = named(vec![("y", Tensor::from(1i64)), ("x", strided)]);
        assert_eq!(to_bytes(&one).unwrap(), to_bytes(&other).unwrap());
    }

    #[test]
    fn load_reports_all_mismatches_and_changes_nothing() {
        let module = pair();
        let wrong = named(vec![("a", Tensor::from_slice(&[f32::NAN, 1.0])), ("c", Tensor::from(1i64))]);
        let text = load(&module, &wrong).unwrap_err().to_string();
        for part in ["a: 1 values are NaN", "missing: b", "unexpected: c"] {
            assert!(text.contains(part), "{text}");
        }
        let wrong = named(vec![("a", Tensor::from(1f32)), ("b", Tensor::from(1f32))]);
        let text = load(&module, &wrong).unwrap_err().to_string();
        for part in ["a: shape [], expected [2]", "b: dtype float32, expected int64"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(module.0.equal(&pair().0));
    }

    #[test]
    fn state_of_a_diverging_training_is_loaded() {
        let mut state = pair().state();
        state.insert("a".to_owned(), Tensor::from_slice(&[f32::NAN, f32::INFINITY]));
        let module = pair();
        assert!(load(&module, &state).is_err());
        load_unfinished(&module, &state).unwrap();
        assert!(module.0.isnan().int64_value(&[0]) == 1 && module.0.isinf().int64_value(&[1]) == 1);
        let wrong = named(vec![("a", Tensor::from(1f32))]);
        assert!(load_unfinished(&module, &wrong).is_err());
    }

    #[test]
    fn invalid_safetensors_bytes_are_rejected() {
        let good = to_bytes(&pair().state()).unwrap();
        let mut long_header = good.clone();
        long_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        for bytes in [&[][..], &good[..7], &good[..good.len() - 1], &long_header, b"PK\x03\x04...."] {
            assert!(matches!(from_bytes(bytes), Err(WeightsError::Format(_))));
        }
    }

    #[test]
    fn a_missing_file_is_named_in_the_error() {
        let error = read_file(Path::new("nowhere/weights.safetensors")).unwrap_err();
        assert!(error.to_string().starts_with("nowhere/weights.safetensors: "));
    }
}
