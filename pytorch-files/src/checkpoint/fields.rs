//! The fields of a checkpoint other than its tensors.

use super::Checkpoint;
use super::error::printed;
use super::state_dict::{StateDict, name};
use super::storages::foreign_names;
use crate::pickle::{Pickle, Value, ValueId};

/// Maximum number of fields.
const MAX_FIELDS: usize = 1000;
/// Maximum length of a text, in bytes. A pickle may refer to its longest string many times.
const MAX_TEXT: usize = 1000;

/// A field of a checkpoint other than its tensors, as far as it can be represented.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A number, including NumPy scalars and PyTorch tensors of one element.
    Number(f64),
    /// A text.
    Text(String),
    /// `True` or `False`.
    Bool(bool),
    /// `None`.
    None,
    /// Any other value, described by its type.
    Other(String),
}

impl Checkpoint<'_> {
    /// Returns the top-level entries of the checkpoint other than its tensors (`epoch`, `best_acc_top1`, …), in order, at most
    /// 1000. Empty if the checkpoint is the state dict itself.
    pub fn fields(&self, state: &StateDict<'_>) -> Vec<(String, Field)> {
        let is_of_tensors =
            |key: &str| state.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if state.key.is_empty() {
            return Vec::new();
        }
        let pairs = self.pickle.mapping(self.pickle.root()).unwrap_or_default().into_iter();
        let field = |(key, value)| Some((name(&self.pickle, key)?, value));
        let fields = pairs.filter_map(field).filter(|(key, _)| !is_of_tensors(key));
        fields.take(MAX_FIELDS).map(|(key, value)| (key.to_owned(), self.field(value))).collect()
    }

    /// Returns the names of code that the checkpoint refers to outside of its tensors, sorted. None of it was run.
    pub fn foreign(&self) -> Vec<String> {
        let names = foreign_names(&self.pickle).into_iter();
        names.map(|(module, name)| format!("{}.{}", printed(module), printed(name))).collect()
    }

    fn field(&self, id: ValueId) -> Field {
        let pickle = &self.pickle;
        match pickle.value(id) {
            Value::None => Field::None,
            Value::Bool(value) => Field::Bool(*value),
            Value::Text(text) if text.len() <= MAX_TEXT => Field::Text(text.clone()),
            _ => match pickle.number(id).or_else(|| numpy_scalar(pickle, id)).or_else(|| self.tensor_scalar(id)) {
                Some(number) => Field::Number(number),
                None => Field::Other(self.described(id)),
            },
        }
    }

    fn tensor_scalar(&self, id: ValueId) -> Option<f64> {
        let tensor = super::rebuild::tensor(&self.pickle, &self.storages, id, "").ok()?;
        // Converting all elements of a large tensor would be for nothing.
        if tensor.elements() != 1 {
            return None;
        }
        let [element] = tensor.to_f32()?[..] else { return None };
        Some(element.into())
    }
}

/// The number in a call of NumPy's `scalar(dtype, bytes)`, of the dtypes that accuracies and epochs have.
fn numpy_scalar(pickle: &Pickle, id: ValueId) -> Option<f64> {
    let ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar", [dtype, bytes]) = pickle.call(id)? else {
        return None;
    };
    let ("numpy", "dtype", [dtype, ..]) = pickle.call(*dtype)? else { return None };
    let bytes = byte_string(pickle, *bytes)?;
    Some(match pickle.text(*dtype)? {
        "f8" => f64::from_le_bytes(bytes.try_into().ok()?),
        "f4" => f32::from_le_bytes(bytes.try_into().ok()?).into(),
        "i8" => i64::from_le_bytes(bytes.try_into().ok()?) as f64,
        "i4" => i32::from_le_bytes(bytes.try_into().ok()?).into(),
        _ => return None,
    })
}

/// Returns bytes, including those written by protocol 2 as text to be encoded in Latin-1.
fn byte_string(pickle: &Pickle, id: ValueId) -> Option<Vec<u8>> {
    if let Value::Bytes(bytes) = pickle.value(id) {
        return Some(bytes.clone());
    }
    let ("_codecs", "encode", [text, _encoding]) = pickle.call(id)? else { return None };
    pickle.text(*text)?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
