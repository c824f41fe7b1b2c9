//! Element types of tensors.

use std::fmt;

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

/// PyTorch's name and the size of an element in bytes.
const DTYPES: [(Dtype, &str, usize); 10] = [
    (Dtype::F64, "float64", 8),
    (Dtype::F32, "float32", 4),
    (Dtype::F16, "float16", 2),
    (Dtype::Bf16, "bfloat16", 2),
    (Dtype::I64, "int64", 8),
    (Dtype::I32, "int32", 4),
    (Dtype::I16, "int16", 2),
    (Dtype::I8, "int8", 1),
    (Dtype::U8, "uint8", 1),
    (Dtype::Bool, "bool", 1),
];

impl Dtype {
    /// Returns PyTorch's name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Returns the dtype with this name in PyTorch.
    pub fn by_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// Returns the size of an element in bytes.
    pub fn size(self) -> usize {
        self.row().2
    }

    fn row(self) -> &'static (Self, &'static str, usize) {
        DTYPES.iter().find(|row| row.0 == self).expect("every dtype has a row")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
