//! From the calls by which a pickle makes tensors to the tensors.

use super::error::CheckpointError;
use super::storages::{Reference, Storages};
use super::tensor::PlainTensor;
use crate::pickle::{Pickle, Value, ValueId};

const MODULE: &str = "torch._utils";

/// The tensor that a value is, named `name` in errors.
///
/// # Errors
/// [`CheckpointError::Tensor`] for a value that is none, or a tensor that cannot be.
pub(super) fn tensor<'a>(
    pickle: &Pickle,
    storages: &Storages<'a>,
    id: ValueId,
    name: &str,
) -> Result<PlainTensor<'a>, CheckpointError> {
    let wrong = |problem: String| CheckpointError::tensor(name, problem);
    let call = call(pickle, parameter_data(pickle, id).unwrap_or(id));
    let call = call.ok_or_else(|| wrong(format!("it is {}, not a tensor", pickle.kind(id))))?;
    let numbers = |id, what: &str| {
        sizes(pickle, id).ok_or_else(|| wrong(format!("its {what} are no tuple of numbers that are not negative")))
    };
    let Value::Persistent(reference) = pickle.value(call.storage) else {
        return Err(wrong("it has no storage".to_owned()));
    };
    let (dtype, storage) = storages.get(&Reference::read(pickle, *reference)?)?;
    let offset = pickle.int(call.offset).and_then(|offset| usize::try_from(offset).ok());
    let offset = offset.ok_or_else(|| wrong("its offset is no number of elements".to_owned()))?;
    let (shape, strides) = (numbers(call.shape, "sizes")?, numbers(call.strides, "strides")?);
    PlainTensor::strided(dtype, shape, strides, offset, storage).map_err(wrong)
}

/// What `_rebuild_tensor` and its successors are given first; the rest (whether it needs gradients, its hooks) says
/// nothing of the values.
struct RebuildCall {
    storage: ValueId,
    offset: ValueId,
    shape: ValueId,
    strides: ValueId,
}

fn call(pickle: &Pickle, id: ValueId) -> Option<RebuildCall> {
    match pickle.call(id)? {
        (MODULE, "_rebuild_tensor" | "_rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
            Some(RebuildCall { storage: *storage, offset: *offset, shape: *shape, strides: *strides })
        }
        _ => None,
    }
}

/// The tensor in a parameter.
fn parameter_data(pickle: &Pickle, id: ValueId) -> Option<ValueId> {
    match pickle.call(id)? {
        (MODULE, "_rebuild_parameter", [data, ..]) => Some(*data),
        _ => None,
    }
}

/// A tuple of numbers, or a `torch.Size` of one.
fn sizes(pickle: &Pickle, id: ValueId) -> Option<Vec<usize>> {
    let numbers = match pickle.call(id) {
        Some(("torch", "Size", [numbers])) => *numbers,
        _ => id,
    };
    let numbers = pickle.sequence(numbers)?.iter();
    numbers.map(|number| usize::try_from(pickle.int(*number)?).ok()).collect()
}
