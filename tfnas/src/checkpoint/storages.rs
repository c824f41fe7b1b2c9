//! What a checkpoint's pickle may name, and the storages that its references lead to.

use std::collections::HashMap;

use super::dtype::Dtype;
use super::error::CheckpointError;
use crate::pickle::{Limits, Pickle, Value, ValueId};

/// All that a checkpoint's pickle may name: what makes tensors, and the scalars that stand beside them. Nothing of it is
/// ever called.
const VOCABULARY: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch", "DoubleStorage"),
    ("torch", "FloatStorage"),
    ("torch", "HalfStorage"),
    ("torch", "BFloat16Storage"),
    ("torch", "LongStorage"),
    ("torch", "IntStorage"),
    ("torch", "ShortStorage"),
    ("torch", "CharStorage"),
    ("torch", "ByteStorage"),
    ("torch", "BoolStorage"),
    ("torch", "Size"),
    ("torch", "device"),
    ("torch", "float64"),
    ("torch", "float32"),
    ("torch", "float16"),
    ("torch", "bfloat16"),
    ("torch", "int64"),
    ("torch", "int32"),
    ("torch", "int16"),
    ("torch", "int8"),
    ("torch", "uint8"),
    ("torch", "bool"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
];

/// What a checkpoint's pickle may contain.
pub(super) fn pickle_limits() -> Limits<'static> {
    Limits { globals: VOCABULARY, ..Limits::default() }
}

/// What a reference of a pickle says of a storage: `("storage", torch.FloatStorage, key, location, elements)`, and in the
/// older format a part of it, `(key, first element, elements)` or nothing. The location (`cpu`, `cuda:0`) is where it was
/// when it was saved, and says nothing of its bytes.
pub(super) struct Reference<'p> {
    pub(super) key: &'p str,
    pub(super) dtype: Dtype,
    elements: usize,
    /// The first element, and how many, of the part that is meant.
    part: Option<(usize, usize)>,
}

impl<'p> Reference<'p> {
    pub(super) fn read(pickle: &'p Pickle, id: ValueId) -> Result<Self, CheckpointError> {
        let wrong = |problem: &str| CheckpointError::storage("?", problem);
        let Some([kind, class, key, _location, elements, rest @ ..]) = pickle.sequence(id) else {
            return Err(wrong("the reference is no tuple of kind, class, key, location and size"));
        };
        if pickle.text(*kind) != Some("storage") {
            return Err(wrong("the reference is to something else than a storage"));
        }
        let key = pickle.text(*key).ok_or_else(|| wrong("its key is no string"))?;
        let wrong = |problem: &str| CheckpointError::storage(key, problem);
        let Value::Global { module, name } = pickle.value(*class) else {
            return Err(wrong("its class is no class"));
        };
        let dtype = Dtype::of_storage(name).filter(|_| module == "torch");
        let dtype = dtype.ok_or_else(|| wrong("its class is none of PyTorch's storages"))?;
        let count = |id| pickle.int(id).and_then(|count| usize::try_from(count).ok());
        let elements = count(*elements).ok_or_else(|| wrong("its size is no number of elements"))?;
        let part = match rest {
            [] => None,
            [view] if matches!(pickle.value(*view), Value::None) => None,
            [view] => match pickle.sequence(*view) {
                Some([_, first, elements]) => count(*first).zip(count(*elements)),
                _ => None,
            }
            .map(Some)
            .ok_or_else(|| wrong("a part of it is no tuple of key, first element and size"))?,
            _ => return Err(wrong("the reference has more parts than are known")),
        };
        Ok(Self { key, dtype, elements, part })
    }

    /// Bytes of the whole storage.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.elements.checked_mul(self.dtype.size())
    }
}

/// One storage.
#[derive(Clone, Copy, Debug)]
struct Storage<'a> {
    dtype: Dtype,
    bytes: &'a [u8],
}

/// The storages of a checkpoint, by key.
#[derive(Debug)]
pub(super) struct Storages<'a> {
    by_key: HashMap<String, Storage<'a>>,
}

impl<'a> Storages<'a> {
    /// Finds the storages that a pickle refers to; `find` gives the bytes of one, by its key.
    pub(super) fn of(
        pickle: &Pickle,
        mut find: impl FnMut(&str) -> Result<&'a [u8], CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let mut by_key: HashMap<String, Storage<'a>> = HashMap::new();
        for id in pickle.persistent_ids() {
            let reference = Reference::read(pickle, id)?;
            let wrong = |problem: String| Err(CheckpointError::storage(reference.key, problem));
            let found = match by_key.get(reference.key) {
                Some(storage) => *storage,
                None => Storage { dtype: reference.dtype, bytes: find(reference.key)? },
            };
            if found.dtype != reference.dtype {
                return wrong(format!("it is {} in one place, {} in another", found.dtype, reference.dtype));
            }
            if Some(found.bytes.len()) != reference.bytes() {
                let (elements, dtype) = (reference.elements, reference.dtype);
                return wrong(format!("{} bytes, where {elements} of {dtype} are expected", found.bytes.len()));
            }
            by_key.insert(reference.key.to_owned(), found);
        }
        Ok(Self { by_key })
    }

    /// The dtype and bytes that a reference leads to.
    pub(super) fn get(&self, reference: &Reference<'_>) -> Result<(Dtype, &'a [u8]), CheckpointError> {
        let wrong = |problem: &str| CheckpointError::storage(reference.key, problem);
        let storage = self.by_key.get(reference.key).ok_or_else(|| wrong("it is not in the checkpoint"))?;
        let Some((first, elements)) = reference.part else { return Ok((storage.dtype, storage.bytes)) };
        let size = storage.dtype.size();
        let part = || storage.bytes.get(first.checked_mul(size)?..)?.get(..elements.checked_mul(size)?);
        Ok((storage.dtype, part().ok_or_else(|| wrong("a part of it lies outside"))?))
    }
}
