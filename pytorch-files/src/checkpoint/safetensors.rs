//! safetensors, in and out.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::tensor::{Dtype as SafetensorsDtype, SafeTensorError, SafeTensors, View, serialize};

use super::dtype::{of_safetensors, safetensors_dtype};
use super::error::printed;
use super::find::Wanted;
use super::state_dict::StateDict;
use super::tensor::PlainTensor;

/// Size of the length field at the beginning of a file. A JSON header follows it.
const LENGTH_BYTES: usize = 8;
/// The longest header: a hundred times that of the largest supernet.
const MAX_HEADER: u64 = 16 << 20;

/// The reason why bytes are not a safetensors file, or tensors cannot be written to one.
#[derive(Debug, thiserror::Error)]
pub enum SafetensorsError {
    /// The file is damaged, or cannot be written.
    #[error("not a usable safetensors file: {0}")]
    Format(#[from] SafeTensorError),
    /// A header that is longer than any.
    #[error("not a usable safetensors file: its header would have {bytes} bytes, more than {MAX_HEADER}")]
    Header {
        /// Its length.
        bytes: u64,
    },
    /// There are no tensors under the given key.
    #[error("no tensor's name begins with '{key}.'")]
    NoKey {
        /// The given key.
        key: String,
    },
    /// A tensor that networks of this method do not have.
    #[error("'{name}': {problem}")]
    Tensor {
        /// Its name.
        name: String,
        /// The problem.
        problem: String,
    },
}

/// Whether bytes begin as a safetensors file does.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.get(LENGTH_BYTES) == Some(&b'{')
}

/// Reads the wanted tensors of a file, ordered by name. A key is a prefix of names.
pub(super) fn read<'a>(bytes: &'a [u8], wanted: &Wanted<'_>) -> Result<StateDict<'a>, SafetensorsError> {
    if let Some(length) = bytes.first_chunk::<LENGTH_BYTES>().map(|length| u64::from_le_bytes(*length))
        && length > MAX_HEADER
    {
        return Err(SafetensorsError::Header { bytes: length });
    }
    let file = SafeTensors::deserialize(bytes)?;
    let in_key = |name: &str| match wanted.key {
        Some(key) => name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned),
        None => Some(name.to_owned()),
    };
    let mut names: Vec<(String, &str)> =
        file.names().into_iter().filter_map(|name| Some((in_key(name)?, name))).collect();
    if let Some(key) = wanted.key
        && names.is_empty()
    {
        return Err(SafetensorsError::NoKey { key: printed(key) });
    }
    names.sort_unstable();
    let tensor = |(short, name): (String, &str)| {
        let view = file.tensor(name)?;
        let wrong = |problem| SafetensorsError::Tensor { name: printed(name), problem };
        let dtype = of_safetensors(view.dtype());
        let dtype = dtype.ok_or_else(|| wrong(format!("the dtype {} is not supported", view.dtype())))?;
        let tensor = PlainTensor::contiguous(dtype, view.shape().to_vec(), view.data());
        Ok((short, tensor.ok_or_else(|| wrong(format!("it cannot have the shape {:?}", view.shape())))?))
    };
    let tensors = names.into_iter().map(tensor).collect::<Result<_, SafetensorsError>>()?;
    let state = StateDict::new(tensors, wanted).map_err(|name| {
        let problem = "it is a duplicate".to_owned();
        SafetensorsError::Tensor { name: printed(&name), problem }
    })?;
    Ok(StateDict { key: wanted.key.unwrap_or_default().to_owned(), ..state })
}

/// Returns the bytes of a safetensors file. The same tensors in any order give the same bytes.
///
/// # Errors
/// Returns [`SafetensorsError::Format`] if the header would be too long.
pub fn to_safetensors(tensors: &[(String, PlainTensor<'_>)]) -> Result<Vec<u8>, SafetensorsError> {
    // Only one entry: the order of several would differ between processes. Other readers expect this entry.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(metadata))?)
}

impl View for &PlainTensor<'_> {
    fn dtype(&self) -> SafetensorsDtype {
        safetensors_dtype(PlainTensor::dtype(self))
    }

    fn shape(&self) -> &[usize] {
        PlainTensor::shape(self)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.bytes()
    }

    fn data_len(&self) -> usize {
        self.byte_count()
    }
}
