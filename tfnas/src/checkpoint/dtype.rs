use std::fmt;

use safetensors::Dtype as SafetensorsDtype;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// `float64`.
    F64,
    /// `float32`.
    F32,
    /// `float16`.
    F16,
    /// `bfloat16`.
    Bf16,
    /// `int64`.
    I64,
    /// `int32`.
    I32,
    /// `int16`.
    I16,
    /// `int8`.
    I8,
    /// `uint8`.
    U8,
    /// `bool`.
    Bool,
}

/// PyTorch's name, the name of its storage, that of safetensors, and the bytes of an element.
const DTYPES: [(Dtype, &str, &str, SafetensorsDtype, usize); 10] = [
    (Dtype::F64, "float64", "DoubleStorage", SafetensorsDtype::F64, 8),
    (Dtype::F32, "float32", "FloatStorage", SafetensorsDtype::F32, 4),
    (Dtype::F16, "float16", "HalfStorage", SafetensorsDtype::F16, 2),
    (Dtype::Bf16, "bfloat16", "BFloat16Storage", SafetensorsDtype::BF16, 2),
    (Dtype::I64, "int64", "LongStorage", SafetensorsDtype::I64, 8),
    (Dtype::I32, "int32", "IntStorage", SafetensorsDtype::I32, 4),
    (Dtype::I16, "int16", "ShortStorage", SafetensorsDtype::I16, 2),
    (Dtype::I8, "int8", "CharStorage", SafetensorsDtype::I8, 1),
    (Dtype::U8, "uint8", "ByteStorage", SafetensorsDtype::U8, 1),
    (Dtype::Bool, "bool", "BoolStorage", SafetensorsDtype::BOOL, 1),
];

impl Dtype {
    /// PyTorch's name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The dtype of that name in PyTorch.
    pub(super) fn named(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        self.row().4
    }

    /// The name of PyTorch's class for storages of it.
    pub(super) fn storage(self) -> &'static str {
        self.row().2
    }

    /// The dtype that a storage of this class has.
    pub(super) fn of_storage(class: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.2 == class).map(|row| row.0)
    }

    /// Its name in safetensors.
    pub fn to_safetensors(self) -> SafetensorsDtype {
        self.row().3
    }

    /// The dtype of that name in safetensors; none for one that PyTorch's storages do not have.
    pub(super) fn from_safetensors(dtype: SafetensorsDtype) -> Option<Self> {
        DTYPES.iter().find(|row| row.3 == dtype).map(|row| row.0)
    }

    fn row(self) -> &'static (Self, &'static str, &'static str, SafetensorsDtype, usize) {
        DTYPES.iter().find(|row| row.0 == self).expect("every dtype has a row")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
