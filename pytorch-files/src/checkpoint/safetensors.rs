//! safetensors, in and out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use safetensors::tensor::{Dtype as SafetensorsDtype, SafeTensorError, SafeTensors, View, serialize};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
    /// The file is damaged.
    #[error("the safetensors file is damaged or truncated")]
    Damaged(#[source] SafeTensorError),
    /// A header that is longer than any.
    #[error("the safetensors file is damaged: its header would have {bytes} bytes, more than {MAX_HEADER}")]
    Header {
        /// Its length.
        bytes: u64,
    },
    /// A name occurs twice.
    #[error("the safetensors file is damaged: it has the tensor '{name}' twice")]
    RepeatedName {
        /// The name.
        name: String,
    },
    /// The tensors cannot be written.
    #[error("the tensors cannot be written as a safetensors file: {0}")]
    Write(SafeTensorError),
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
pub(super) fn is_format_of(bytes: &[u8]) -> bool {
    bytes.get(LENGTH_BYTES) == Some(&b'{')
}

/// Reads the wanted tensors of a file, ordered by name. A key is a prefix of names.
pub(super) fn read<'a>(bytes: &'a [u8], wanted: &Wanted<'_>) -> Result<StateDict<'a>, SafetensorsError> {
    if let Some(length) = bytes.first_chunk::<LENGTH_BYTES>().map(|length| u64::from_le_bytes(*length))
        && length > MAX_HEADER
    {
        return Err(SafetensorsError::Header { bytes: length });
    }
    let file = SafeTensors::deserialize(bytes).map_err(SafetensorsError::Damaged)?;
    if let Some(name) = repeated_name(bytes) {
        return Err(SafetensorsError::RepeatedName { name: printed(&name) });
    }
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
        let view = file.tensor(name).map_err(SafetensorsError::Damaged)?;
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

/// Returns the first name that the header of a file has twice. The library uses the last of the two.
fn repeated_name(bytes: &[u8]) -> Option<String> {
    let length = usize::try_from(u64::from_le_bytes(*bytes.first_chunk::<LENGTH_BYTES>()?)).ok()?;
    let header = bytes.get(LENGTH_BYTES..)?.get(..length)?;
    serde_json::from_slice::<Names>(header).ok()?.repeated
}

/// The names in a header.
struct Names {
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;

        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the header of a safetensors file")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Names, A::Error> {
                let mut names = HashSet::new();
                let mut repeated = None;
                while let Some((name, _)) = access.next_entry::<String, IgnoredAny>()? {
                    if let Some(name) = names.replace(name) {
                        repeated.get_or_insert(name);
                    }
                }
                Ok(Names { repeated })
            }
        }

        deserializer.deserialize_map(NamesVisitor)
    }
}

/// Returns the bytes of a safetensors file. The same tensors in any order give the same bytes.
///
/// # Errors
/// Returns [`SafetensorsError::Write`] if the header would be too long.
pub fn to_safetensors(tensors: &[(String, PlainTensor<'_>)]) -> Result<Vec<u8>, SafetensorsError> {
    // Only one entry: the order of several would differ between processes. Other readers expect this entry.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    serialize(tensors.iter().map(|(name, tensor)| (name, tensor)), Some(metadata)).map_err(SafetensorsError::Write)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::{Dtype, WeightsFile};
    use super::*;

    /// Returns a file with this header and four bytes of data.
    fn file(header: &str) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 4]].concat()
    }

    fn message(bytes: &[u8]) -> String {
        WeightsFile::read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_truncated_file_is_described_without_the_words_of_the_library() {
        let bytes = 1f32.to_le_bytes();
        let tensor = PlainTensor::contiguous(Dtype::F32, vec![1], &bytes).unwrap();
        let whole = to_safetensors(&[("a".to_owned(), tensor)]).unwrap();
        assert!(WeightsFile::read(&whole).is_ok());
        for length in [20, whole.len() - 1] {
            assert_eq!(message(&whole[..length]), "the safetensors file is damaged or truncated");
            let error = WeightsFile::read(&whole[..length]).unwrap_err();
            assert!(std::error::Error::source(&error).is_some(), "the cause");
        }
        let neither = "this is neither a safetensors file nor a checkpoint of torch.save: ";
        assert!(message(b"text").starts_with(neither) && message(b"").starts_with(neither));
    }

    #[test]
    fn a_name_that_occurs_twice_is_an_error() {
        let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
        assert!(WeightsFile::read(&file(&format!(r#"{{"a":{entry}}}"#))).is_ok());
        let twice = message(&file(&format!(r#"{{"a":{entry},"a":{entry}}}"#)));
        assert_eq!(twice, "the safetensors file is damaged: it has the tensor 'a' twice");
    }
}
