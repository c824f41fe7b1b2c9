//! Named tensors in files (safetensors; `.pth.tar` to read), and putting them into a network with every mismatch named.

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

/// The largest file that is read: well above a supernet of the largest space with the state of its optimizer.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Why tensors cannot be read, written or used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is larger than any that makes sense.
    #[error("{}: {bytes} bytes, more than the {MAX_FILE_BYTES} that weights may have", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The bytes are neither a safetensors file nor a `.pth.tar`.
    #[error(transparent)]
    Format(#[from] WeightsFileError),
    /// The tensors have no place in a safetensors file.
    #[error("cannot be written as safetensors: {0}")]
    Unwritable(#[from] SafeTensorError),
    /// A tensor of a dtype that has no place in a safetensors file.
    #[error("'{name}' has the dtype {dtype}, which is not supported")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its dtype.
        dtype: String,
    },
    /// libtorch could not make a tensor of the bytes.
    #[error("'{name}': {source}")]
    Tensor {
        /// Name of the tensor.
        name: String,
        /// What libtorch said.
        source: tch::TchError,
    },
    /// The tensors are not those of the network.
    #[error(transparent)]
    StateDictMismatch(#[from] StateDictMismatch),
}

/// Writes tensors into a module that has the same names, shapes and dtypes.
///
/// # Errors
/// [`WeightsError::StateDictMismatch`] with everything that is missing, unexpected, of another shape or dtype, or not finite; the
/// module is as before then.
pub fn load(module: &impl Module, tensors: &NamedTensors) -> Result<(), WeightsError> {
    let state = module.state();
    let mut mismatches = Vec::new();
    for (name, expected) in state.iter() {
        match tensors.get(name) {
            Some(found) => mismatches.extend(mismatch(name, found, expected)),
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

/// In what a tensor is not what the network expects.
fn mismatch(name: &str, found: &Tensor, expected: &Tensor) -> Option<TensorMismatch> {
    let name = name.to_owned();
    if found.size() != expected.size() {
        return Some(TensorMismatch::Shape { name, found: shape_of(found), expected: shape_of(expected) });
    }
    if found.kind() != expected.kind() {
        let named = |tensor: &Tensor| dtype_of(tensor.kind()).map_or("of another kind", Dtype::name);
        return Some(TensorMismatch::Dtype { name, found: named(found), expected: named(expected) });
    }
    let finite = found.isfinite().sum(Kind::Int64).int64_value(&[]);
    let count = found.numel() - finite as usize;
    (count > 0).then_some(TensorMismatch::NotFinite { name, count })
}

fn shape_of(tensor: &Tensor) -> Vec<usize> {
    tensor.size().iter().map(|&size| size as usize).collect()
}

/// The bytes of a safetensors file: for the same tensors always the same, whatever their order.
///
/// # Errors
/// [`WeightsError::Dtype`] for a dtype that the format does not have.
pub fn to_bytes(tensors: &NamedTensors) -> Result<Vec<u8>, WeightsError> {
    let views: Vec<(&str, TensorBytes)> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, TensorBytes::of(name, tensor)?)))
        .collect::<Result<_, WeightsError>>()?;
    // One entry alone: the order of several would differ from process to process. Other readers look for it.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(serialize(views, Some(metadata))?)
}

/// The tensors of a safetensors file, ordered by name, or of a `.pth.tar`, in its order; on the CPU.
///
/// # Errors
/// [`WeightsError::Format`] for bytes that are no such file.
pub fn from_bytes(bytes: &[u8]) -> Result<NamedTensors, WeightsError> {
    tensors_of(WeightsFile::read(bytes)?.state_dict)
}

/// libtorch's tensors of a file's.
pub(crate) fn tensors_of(state: StateDict<'_>) -> Result<NamedTensors, WeightsError> {
    let tensor = |(name, plain): (String, PlainTensor<'_>)| {
        let tensor = tensor_of(&name, &plain)?;
        Ok((name, tensor))
    };
    state.tensors.into_iter().map(tensor).collect()
}

/// Writes a safetensors file: aside first, then renamed, so that there is never half of one.
///
/// # Errors
/// [`WeightsError::File`] where the system refuses, else as [`to_bytes`].
pub fn write_file(tensors: &NamedTensors, path: &Path) -> Result<(), WeightsError> {
    let bytes = to_bytes(tensors)?;
    tfnas_fs::write_atomic(path, &bytes).map_err(|source| WeightsError::File { path: path.to_owned(), source })
}

/// Reads a safetensors file or a `.pth.tar`.
///
/// # Errors
/// [`WeightsError::File`] or [`WeightsError::TooLarge`], else as [`from_bytes`].
pub fn read_file(path: &Path) -> Result<NamedTensors, WeightsError> {
    from_bytes(&read_file_bytes(path)?)
}

/// Reads a file with weights into a module, whose own they become: those under `key`, or those that fit it best, in the
/// module's dtypes. Returns what there is to say about how they were read.
///
/// # Errors
/// As [`read_file`] and [`load`].
pub fn load_file(module: &impl Module, path: &Path, key: Option<&str>) -> Result<Vec<String>, WeightsError> {
    let bytes = read_file_bytes(path)?;
    let network = shapes_of(module);
    let mut state = WeightsFile::find(&bytes, &Wanted { key, network: Some(&network) })?.state_dict;
    let conversions = state.fit(&network)?;
    let notes = notes(&state, &conversions);
    load(module, &tensors_of(state)?)?;
    Ok(notes)
}

/// The tensors of a module, as a file is held to them.
pub(crate) fn shapes_of(module: &impl Module) -> Vec<TensorShape> {
    let shape = |(name, tensor): (&str, &Tensor)| {
        let dtype = dtype_of(tensor.kind())?;
        Some(TensorShape { name: name.to_owned(), shape: shape_of(tensor), dtype })
    };
    module.state().iter().filter_map(shape).collect()
}

/// Which of a file's tensors were taken, and what was converted.
pub(crate) fn notes(state: &StateDict<'_>, conversions: &Conversions) -> Vec<String> {
    state.choice().into_iter().chain(conversions.in_words()).collect()
}

/// The bytes of a file with weights, which may not be larger than any of them.
pub(crate) fn read_file_bytes(path: &Path) -> Result<Vec<u8>, WeightsError> {
    let wrap = |source| WeightsError::File { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(wrap)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(WeightsError::TooLarge { path: path.to_owned(), bytes });
    }
    fs::read(path).map_err(wrap)
}

/// A tensor as the format wants it.
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

/// The dtypes that both sides have.
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

/// A copy of a tensor in a file.
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
    fn tensors_come_back_from_bytes_with_shape_dtype_and_values() {
        let back = from_bytes(&to_bytes(&pair().state()).unwrap()).unwrap();
        assert!(back.get("a").unwrap().equal(&pair().0));
        assert!(back.get("b").unwrap().equal(&pair().1));
        assert_eq!(back.get("b").unwrap().dim(), 0);
    }

    #[test]
    fn bytes_do_not_depend_on_the_order_of_the_tensors_or_on_their_strides() {
        let matrix = Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]);
        let strided = matrix.tr().contiguous().tr();
        assert!(!strided.is_contiguous());
        let one = named(vec![("x", matrix), ("y", Tensor::from(1i64))]);
        let other = named(vec![("y", Tensor::from(1i64)), ("x", strided)]);
        assert_eq!(to_bytes(&one).unwrap(), to_bytes(&other).unwrap());
    }

    #[test]
    fn all_mismatches_are_named_at_once_and_nothing_is_changed() {
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
    fn bytes_that_are_no_safetensors_file_are_refused() {
        let good = to_bytes(&pair().state()).unwrap();
        let mut long_header = good.clone();
        long_header[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        for bytes in [&[][..], &good[..7], &good[..good.len() - 1], &long_header, b"PK\x03\x04...."] {
            assert!(matches!(from_bytes(bytes), Err(WeightsError::Format(_))));
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read_file(Path::new("nowhere/weights.safetensors")).unwrap_err();
        assert!(error.to_string().starts_with("nowhere/weights.safetensors: "));
    }
}
