//! From the calls by which a pickle makes tensors to the tensors.

use tfnas::Dtype;

use super::error::{CheckpointError, printed};
use super::storages::{Reference, StorageClass, Storages};
use super::tensor::{MAX_DIMENSIONS, PlainTensor};
use crate::pickle::{Pickle, Value, ValueId};

const MODULE: &str = "torch._utils";
/// The module of the call that creates a tensor with attributes or of a subclass.
const TENSOR_MODULE: &str = "torch._tensor";
/// The classes of tensors with the same values as a plain tensor.
const PLAIN_CLASSES: [(&str, &str); 3] =
    [("torch", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")];
/// Maximum number of nested calls for one tensor: a parameter, a tensor with attributes, the tensor.
const NESTED_CALLS: usize = 4;

/// Whether a value is a call that makes a tensor, of whatever kind.
pub(super) fn is_tensor(pickle: &Pickle, id: ValueId) -> bool {
    matches!(pickle.value(id), Value::Call(_))
        && pickle.made_by(id).is_some_and(|(module, name)| {
            (module == MODULE || module == TENSOR_MODULE) && name.starts_with("_rebuild_")
        })
}

/// Converts a value to a tensor, named `name` in errors.
///
/// # Errors
/// Returns [`CheckpointError::Tensor`] if the value is not a valid tensor.
pub(super) fn tensor<'a>(
    pickle: &Pickle,
    storages: &Storages<'a>,
    id: ValueId,
    name: &str,
) -> Result<PlainTensor<'a>, CheckpointError> {
    let wrong = |problem: String| CheckpointError::tensor(name, problem);
    let call = call(pickle, id).map_err(wrong)?;
    let numbers = |id, what: &str| {
        sizes(pickle, id).ok_or_else(|| wrong(format!("its {what} are not a tuple of non-negative integers")))
    };
    let Value::Persistent(reference) = pickle.value(call.storage) else {
        return Err(wrong("it has no storage".to_owned()));
    };
    let (class, storage) = storages.get(&Reference::read(pickle, *reference)?)?;
    let dtype = dtype(pickle, class, call.dtype).map_err(wrong)?;
    let offset = pickle.int(call.offset).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.ok_or_else(|| wrong("its offset is not a number of elements".to_owned()))?;
    let (shape, strides) = (numbers(call.shape, "sizes")?, numbers(call.strides, "strides")?);
    PlainTensor::strided(dtype, shape, strides, offset, storage).map_err(wrong)
}

/// The first arguments of `_rebuild_tensor` and its successors. The other arguments (requires_grad, hooks) do not
/// affect the values.
struct RebuildCall {
    storage: ValueId,
    offset: ValueId,
    shape: ValueId,
    strides: ValueId,
    /// The dtype, if the storage does not determine it.
    dtype: Option<ValueId>,
}

/// Returns the call that creates the tensor itself, inside calls that make a parameter of it. The error describes other
/// values.
fn call(pickle: &Pickle, id: ValueId) -> Result<RebuildCall, String> {
    let mut made = pickle.call(id);
    let mut deepest = id;
    for _ in 0..NESTED_CALLS {
        match made {
            Some((MODULE, "_rebuild_tensor" | "_rebuild_tensor_v2", [storage, offset, shape, strides, ..])) => {
                let (storage, offset, shape, strides) = (*storage, *offset, *shape, *strides);
                return Ok(RebuildCall { storage, offset, shape, strides, dtype: None });
            }
            Some((MODULE, "_rebuild_tensor_v3", [storage, offset, shape, strides, _, _, dtype, ..])) => {
                let (storage, offset, shape, strides) = (*storage, *offset, *shape, *strides);
                return Ok(RebuildCall { storage, offset, shape, strides, dtype: Some(*dtype) });
            }
            Some((MODULE, "_rebuild_parameter" | "_rebuild_parameter_with_state", [data, ..])) => {
                made = pickle.call(*data);
                deepest = *data;
            }
            Some((TENSOR_MODULE, "_rebuild_from_type_v2", [function, class, arguments, ..])) => {
                let class = pickle.made_by(*class).ok_or("its class is not a class")?;
                if !PLAIN_CLASSES.contains(&class) {
                    return Err(format!("it is created by {}, which is not supported", named(class)));
                }
                made = pickle.made_by(*function).zip(pickle.sequence(*arguments)).map(|((m, n), a)| (m, n, a));
            }
            _ => break,
        }
    }
    Err(match pickle.made_by(deepest) {
        Some(name) if is_tensor(pickle, deepest) => {
            format!("it is created by {}, which is not supported: save a plain tensor of its values", named(name))
        }
        Some(name) => format!("it is an object of {}, not a tensor", named(name)),
        None => format!("it is {}, not a tensor", pickle.kind(deepest)),
    })
}

/// Returns the type of a tensor's elements. The error names an unsupported type.
fn dtype(pickle: &Pickle, class: StorageClass, declared: Option<ValueId>) -> Result<Dtype, String> {
    let unsupported = |dtype: &str| format!("its dtype {dtype} is not supported: save it as float32");
    let Some(declared) = declared.filter(|_| class.is_untyped()) else {
        return class.dtype.ok_or_else(|| unsupported(class.elements));
    };
    match pickle.value(declared) {
        Value::Global { module, name } if module == "torch" => {
            Dtype::by_name(name).ok_or_else(|| unsupported(&printed(name)))
        }
        _ => Err("its dtype is not a PyTorch dtype".to_owned()),
    }
}

/// Formats a global's name for an error.
fn named((module, name): (&str, &str)) -> String {
    format!("{}.{}", printed(module), printed(name))
}

/// A tuple of numbers, or a `torch.Size` of one.
fn sizes(pickle: &Pickle, id: ValueId) -> Option<Vec<usize>> {
    let numbers = match pickle.call(id) {
        Some(("torch", "Size", [numbers])) => *numbers,
        _ => id,
    };
    // A pickle may refer to its longest tuple many times.
    let numbers = pickle.sequence(numbers)?.iter().take(MAX_DIMENSIONS + 1);
    numbers.map(|number| usize::try_from(pickle.int(*number)?).ok()).collect()
}
