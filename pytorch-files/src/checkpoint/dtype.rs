//! The names of element types in PyTorch's storages and in safetensors.

use safetensors::Dtype as SafetensorsDtype;
use tfnas::Dtype;

/// PyTorch's class for storages, and the type in safetensors.
const DTYPES: [(Dtype, &str, SafetensorsDtype); 10] = [
    (Dtype::F64, "DoubleStorage", SafetensorsDtype::F64),
    (Dtype::F32, "FloatStorage", SafetensorsDtype::F32),
    (Dtype::F16, "HalfStorage", SafetensorsDtype::F16),
    (Dtype::Bf16, "BFloat16Storage", SafetensorsDtype::BF16),
    (Dtype::I64, "LongStorage", SafetensorsDtype::I64),
    (Dtype::I32, "IntStorage", SafetensorsDtype::I32),
    (Dtype::I16, "ShortStorage", SafetensorsDtype::I16),
    (Dtype::I8, "CharStorage", SafetensorsDtype::I8),
    (Dtype::U8, "ByteStorage", SafetensorsDtype::U8),
    (Dtype::Bool, "BoolStorage", SafetensorsDtype::BOOL),
];

/// Returns the name of PyTorch's class for storages of a dtype.
pub(super) fn storage_class(dtype: Dtype) -> &'static str {
    row(dtype).1
}

/// Returns the dtype of a class of storages.
pub(super) fn of_storage_class(class: &str) -> Option<Dtype> {
    DTYPES.iter().find(|row| row.1 == class).map(|row| row.0)
}

/// Returns the type in safetensors.
pub fn safetensors_dtype(dtype: Dtype) -> SafetensorsDtype {
    row(dtype).2
}

/// Returns the dtype of a safetensors type, or `None` if PyTorch's storages do not have it.
pub(super) fn of_safetensors(dtype: SafetensorsDtype) -> Option<Dtype> {
    DTYPES.iter().find(|row| row.2 == dtype).map(|row| row.0)
}

fn row(dtype: Dtype) -> &'static (Dtype, &'static str, SafetensorsDtype) {
    DTYPES.iter().find(|row| row.0 == dtype).expect("every dtype has a row")
}
