//! The globals that a checkpoint's pickle may name, and the storages that it refers to.

use std::collections::{BTreeSet, HashMap};

use tfnas::Dtype;

use super::dtype::{of_storage_class, storage_class};
use super::error::CheckpointError;
use super::state_dict::name;
use crate::pickle::{Foreign, Limits, Pickle, Value, ValueId};

/// The globals that a checkpoint's pickle uses for tensors and scalars. All others are foreign. None of them is ever
/// called.
const VOCABULARY: &[(&str, &str)] = &[
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_parameter_with_state"),
    ("torch._tensor", "_rebuild_from_type_v2"),
    ("torch", "Tensor"),
    ("torch.nn.parameter", "Parameter"),
    ("torch.nn.parameter", "Buffer"),
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

/// Returns the limits for a checkpoint's pickle. Foreign objects are allowed and opaque.
pub(super) fn pickle_limits() -> Limits<'static> {
    Limits { globals: VOCABULARY, foreign: Foreign::Opaque, ..Limits::default() }
}

/// Returns the globals of a pickle outside the vocabulary, sorted.
pub(super) fn foreign_names(pickle: &Pickle) -> BTreeSet<(&str, &str)> {
    pickle.globals().filter(|global| !VOCABULARY.contains(global) && !STORAGES.contains(global)).collect()
}

/// Storages with elements that networks of this method do not have. Their sizes are needed because in the older
/// container storages follow each other.
const OTHER_STORAGES: &[StorageClass] = &[
    StorageClass { name: "UntypedStorage", elements: "bytes", dtype: None, size: 1 },
    StorageClass { name: "ComplexFloatStorage", elements: "complex64", dtype: None, size: 8 },
    StorageClass { name: "ComplexDoubleStorage", elements: "complex128", dtype: None, size: 16 },
    StorageClass { name: "QInt8Storage", elements: "qint8", dtype: None, size: 1 },
    StorageClass { name: "QUInt8Storage", elements: "quint8", dtype: None, size: 1 },
    StorageClass { name: "QInt32Storage", elements: "qint32", dtype: None, size: 4 },
    StorageClass { name: "QUInt4x2Storage", elements: "quint4x2", dtype: None, size: 1 },
    StorageClass { name: "QUInt2x4Storage", elements: "quint2x4", dtype: None, size: 1 },
];

/// The globals of [`OTHER_STORAGES`].
const STORAGES: &[(&str, &str)] = &[
    ("torch.storage", "UntypedStorage"),
    ("torch", "UntypedStorage"),
    ("torch", "ComplexFloatStorage"),
    ("torch", "ComplexDoubleStorage"),
    ("torch", "QInt8Storage"),
    ("torch", "QUInt8Storage"),
    ("torch", "QInt32Storage"),
    ("torch", "QUInt4x2Storage"),
    ("torch", "QUInt2x4Storage"),
];

/// One of PyTorch's classes for storages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StorageClass {
    name: &'static str,
    /// The element type in PyTorch's words.
    pub(super) elements: &'static str,
    /// The dtype, or `None` if it is not supported.
    pub(super) dtype: Option<Dtype>,
    /// Bytes of an element.
    pub(super) size: usize,
}

impl StorageClass {
    /// Returns whether the dtype is set by the tensor, not by the storage.
    pub(super) fn is_untyped(self) -> bool {
        self.name == "UntypedStorage"
    }

    fn of(module: &str, name: &str) -> Option<Self> {
        if module == "torch"
            && let Some(dtype) = of_storage_class(name)
        {
            return Some(Self {
                name: storage_class(dtype),
                elements: dtype.name(),
                dtype: Some(dtype),
                size: dtype.size(),
            });
        }
        let known = STORAGES.contains(&(module, name));
        OTHER_STORAGES.iter().find(|class| known && class.name == name).copied()
    }
}

/// A reference of a pickle to a storage: `("storage", torch.FloatStorage, key, location, elements)`, and in the older
/// format a part of it, `(key, first element, elements)` or nothing. The location (`cpu`, `cuda:0`) is the device at
/// the time of saving and does not affect the bytes.
pub(super) struct Reference<'p> {
    pub(super) key: &'p str,
    pub(super) class: StorageClass,
    elements: usize,
    /// The first element, and how many, of the part that is meant.
    part: Option<(usize, usize)>,
}

impl<'p> Reference<'p> {
    /// Returns the references of a pickle to storages. In the older container, a complete pickled module also refers to
    /// its source, which is skipped.
    pub(super) fn all(pickle: &'p Pickle) -> impl Iterator<Item = Result<Self, CheckpointError>> {
        let is_source = |id: &ValueId| {
            let kind = pickle.sequence(*id).and_then(|parts| parts.first());
            kind.is_some_and(|kind| pickle.text(*kind) == Some("module"))
        };
        pickle.persistent_ids().filter(move |id| !is_source(id)).map(|id| Self::read(pickle, id))
    }

    pub(super) fn read(pickle: &'p Pickle, id: ValueId) -> Result<Self, CheckpointError> {
        let wrong = |problem: &str| CheckpointError::storage("?", problem);
        let Some([kind, class, key, _location, elements, rest @ ..]) = pickle.sequence(id) else {
            return Err(wrong("the reference is not a tuple of kind, class, key, location and size"));
        };
        if pickle.text(*kind) != Some("storage") {
            return Err(wrong("the reference is not to a storage"));
        }
        let key = name(pickle, *key).ok_or_else(|| wrong("its key is not a string, or too long"))?;
        let wrong = |problem: &str| CheckpointError::storage(key, problem);
        let Value::Global { module, name } = pickle.value(*class) else {
            return Err(wrong("its class is not a class"));
        };
        let class = StorageClass::of(module, name);
        let class = class.ok_or_else(|| wrong("its class is not a PyTorch storage class"))?;
        let count = |id| pickle.int(id).and_then(|count| usize::try_from(count).ok());
        let elements = count(*elements).ok_or_else(|| wrong("its size is not a number of elements"))?;
        let part = match rest {
            [] => None,
            [view] if matches!(pickle.value(*view), Value::None) => None,
            [view] => match pickle.sequence(*view) {
                Some([_, first, elements]) => count(*first).zip(count(*elements)),
                _ => None,
            }
            .map(Some)
            .ok_or_else(|| wrong("a part of it is not a tuple of key, first element and size"))?,
            _ => return Err(wrong("the reference has more parts than supported")),
        };
        Ok(Self { key, class, elements, part })
    }

    /// Returns the size of the complete storage in bytes.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.elements.checked_mul(self.class.size)
    }
}

/// One storage.
#[derive(Clone, Copy, Debug)]
struct Storage<'a> {
    class: StorageClass,
    bytes: &'a [u8],
}

/// The storages of a checkpoint, by key.
#[derive(Debug)]
pub(super) struct Storages<'a> {
    by_key: HashMap<String, Storage<'a>>,
}

impl<'a> Storages<'a> {
    /// Finds the storages that a pickle refers to. `find` returns the bytes of one by its key.
    pub(super) fn of(
        pickle: &Pickle,
        mut find: impl FnMut(&str) -> Result<&'a [u8], CheckpointError>,
    ) -> Result<Self, CheckpointError> {
        let mut by_key: HashMap<String, Storage<'a>> = HashMap::new();
        for reference in Reference::all(pickle) {
            let reference = reference?;
            let wrong = |problem: String| Err(CheckpointError::storage(reference.key, problem));
            let found = match by_key.get(reference.key) {
                Some(storage) => *storage,
                None => Storage { class: reference.class, bytes: find(reference.key)? },
            };
            if found.class != reference.class {
                let (one, other) = (found.class.elements, reference.class.elements);
                return wrong(format!("it is {one} in one place, {other} in another"));
            }
            if Some(found.bytes.len()) != reference.bytes() {
                let (elements, class) = (reference.elements, reference.class.elements);
                return wrong(format!("{} bytes, where {elements} of {class} are expected", found.bytes.len()));
            }
            by_key.insert(reference.key.to_owned(), found);
        }
        Ok(Self { by_key })
    }

    /// The class and bytes that a reference leads to.
    pub(super) fn get(&self, reference: &Reference<'_>) -> Result<(StorageClass, &'a [u8]), CheckpointError> {
        let wrong = |problem: &str| CheckpointError::storage(reference.key, problem);
        let storage = self.by_key.get(reference.key).ok_or_else(|| wrong("it is not in the checkpoint"))?;
        let Some((first, elements)) = reference.part else { return Ok((storage.class, storage.bytes)) };
        let size = storage.class.size;
        let part = || storage.bytes.get(first.checked_mul(size)?..)?.get(..elements.checked_mul(size)?);
        Ok((storage.class, part().ok_or_else(|| wrong("a part of it is out of bounds"))?))
    }
}
