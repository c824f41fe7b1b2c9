//! Tensors as bytes with a shape and a dtype.

use std::borrow::Cow;

use tfnas::Dtype;

/// More dimensions than any tensor has.
pub(super) const MAX_DIMENSIONS: usize = 64;

/// A tensor as bytes: a piece of a file, and how to walk through it.
#[derive(Clone, Debug)]
pub struct PlainTensor<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Elements from one index to the next, for each dimension.
    strides: Vec<usize>,
    /// From the first element to the end of the storage.
    storage: Cow<'a, [u8]>,
    elements: usize,
}

impl<'a> PlainTensor<'a> {
    /// Creates a contiguous tensor of all `bytes`. Returns `None` if their number does not match shape and dtype.
    pub fn contiguous(dtype: Dtype, shape: Vec<usize>, bytes: &'a [u8]) -> Option<Self> {
        let strides = row_by_row(&shape);
        let tensor = Self::strided(dtype, shape, strides?, 0, bytes).ok()?;
        (tensor.byte_count() == bytes.len()).then_some(tensor)
    }

    /// Creates a contiguous tensor that owns its elements.
    pub(super) fn owned(dtype: Dtype, shape: &[usize], bytes: Vec<u8>) -> Option<Self> {
        let strides = row_by_row(shape)?;
        let elements = bytes.len() / dtype.size();
        let fits = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size)) == Some(elements);
        fits.then(|| Self { dtype, shape: shape.to_vec(), strides, storage: bytes.into(), elements })
    }

    /// Creates a tensor in a storage, with its first element at `offset`. The error describes an invalid layout.
    ///
    /// A tensor must not have more elements than its storage: repeated elements could exceed any memory.
    pub(super) fn strided(
        dtype: Dtype,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: &'a [u8],
    ) -> Result<Self, String> {
        if shape.len() != strides.len() || shape.len() > MAX_DIMENSIONS {
            return Err(format!("{} sizes and {} strides", shape.len(), strides.len()));
        }
        let stored = storage.len() / dtype.size();
        let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        let Some(elements) = elements.filter(|elements| *elements <= stored) else {
            return Err(format!("shape {shape:?} has more elements than the storage, which has {stored}"));
        };
        let last = shape.iter().zip(&strides).try_fold(offset, |last, (size, stride)| {
            let steps = size.saturating_sub(1).checked_mul(*stride)?;
            last.checked_add(steps)
        });
        let within = elements == 0 || last.is_some_and(|last| last < stored);
        let first = storage.get(offset.saturating_mul(dtype.size())..).or((elements == 0).then_some(&[]));
        match first.filter(|_| within) {
            Some(storage) => Ok(Self { dtype, shape, strides, storage: storage.into(), elements }),
            None => Err(format!(
                "shape {shape:?} with strides {strides:?} from element {offset} is outside of the storage, which has \
                 {stored}"
            )),
        }
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns the sizes. Empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many elements it has.
    pub fn elements(&self) -> usize {
        self.elements
    }

    /// How many bytes they are.
    pub fn byte_count(&self) -> usize {
        self.elements * self.dtype.size()
    }

    /// Returns the elements in row-major order, little-endian: a slice of the file if they are stored that way,
    /// otherwise a copy.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        let is_in_order = || {
            let sizes = self.shape.iter().zip(&self.strides).zip(self.row_by_row());
            sizes.into_iter().all(|((size, stride), row)| *size == 1 || *stride == row)
        };
        if self.elements == 0 || is_in_order() {
            return Cow::Borrowed(&self.storage[..self.byte_count()]);
        }
        let size = self.dtype.size();
        let mut bytes = Vec::with_capacity(self.byte_count());
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.elements {
            let at: usize = index.iter().zip(&self.strides).map(|(index, stride)| index * stride).sum();
            bytes.extend_from_slice(&self.storage[at * size..][..size]);
            advance(&mut index, &self.shape);
        }
        bytes.into()
    }

    /// Returns the elements as f32, rounded from float64. Returns `None` for integers.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        let bytes = self.bytes();
        Some(match self.dtype {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|element| f32::from_le_bytes(*element)).collect(),
            Dtype::F64 => bytes.as_chunks().0.iter().map(|element| f64::from_le_bytes(*element) as f32).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|element| half(u16::from_le_bytes(*element))).collect(),
            Dtype::Bf16 => {
                let widened = |element: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(*element)) << 16);
                bytes.as_chunks().0.iter().map(widened).collect()
            }
            _ => return None,
        })
    }

    /// Returns the elements as i64, or `None` for floats.
    pub(super) fn to_i64(&self) -> Option<Vec<i64>> {
        let bytes = self.bytes();
        Some(match self.dtype {
            Dtype::I64 => bytes.as_chunks().0.iter().map(|element| i64::from_le_bytes(*element)).collect(),
            Dtype::I32 => bytes.as_chunks().0.iter().map(|element| i32::from_le_bytes(*element).into()).collect(),
            Dtype::I16 => bytes.as_chunks().0.iter().map(|element| i16::from_le_bytes(*element).into()).collect(),
            Dtype::I8 => bytes.iter().map(|element| i8::from_le_bytes([*element]).into()).collect(),
            Dtype::U8 | Dtype::Bool => bytes.iter().map(|element| i64::from(*element)).collect(),
            _ => return None,
        })
    }

    /// The strides of a contiguous tensor of its shape.
    pub(super) fn row_by_row(&self) -> Vec<usize> {
        row_by_row(&self.shape).unwrap_or_else(|| vec![1; self.shape.len()])
    }

    /// How many of its elements are NaN or infinite.
    pub fn not_finite(&self) -> usize {
        // The exponent, whose bits are all set in non-finite values, ends below the sign bit.
        let exponent: u64 = match self.dtype {
            Dtype::F64 => 0x7ff0 << 48,
            Dtype::F32 => 0x7f80 << 16,
            Dtype::Bf16 => 0x7f80,
            Dtype::F16 => 0x7c00,
            _ => return 0,
        };
        let element = |element: &[u8]| element.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        self.bytes().chunks_exact(self.dtype.size()).filter(|bytes| element(bytes) & exponent == exponent).count()
    }
}

/// The value of a float16, which f32 has exactly.
fn half(bits: u16) -> f32 {
    /// From the exponent of a float16 to that of a float32, in the bits of a float32.
    const REBIAS: u32 = (127 - 15) << 23;
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    match bits & 0x7c00 {
        0x7c00 => f32::from_bits(sign | 0x7f80_0000 | magnitude),
        0 => {
            // Zero, or a number below the smallest of full precision: a multiple of 2^-24.
            let value = f32::from(bits & 0x03ff) * (1.0 / 16_777_216.0);
            f32::from_bits(sign | value.to_bits())
        }
        _ => f32::from_bits(sign | (magnitude + REBIAS)),
    }
}

/// Returns the strides of a contiguous tensor, or `None` for a shape with too many elements.
fn row_by_row(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = shape[dimension].max(1).checked_mul(strides[dimension])?;
    }
    Some(strides)
}

/// Goes to the next index, the last dimension fastest.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (index, size) in index.iter_mut().zip(shape).rev() {
        *index += 1;
        if *index < *size {
            return;
        }
        *index = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tensor(shape: &[usize], strides: &[usize], offset: usize) -> Result<PlainTensor<'static>, String> {
        PlainTensor::strided(Dtype::U8, shape.to_vec(), strides.to_vec(), offset, &[0, 1, 2, 3, 4, 5])
    }

    #[test]
    fn elements_are_in_row_major_order_for_any_strides() {
        for (shape, strides, offset, expected) in [
            (&[2, 3][..], &[3, 1][..], 0, &[0, 1, 2, 3, 4, 5][..]),
            (&[3, 2], &[1, 3], 0, &[0, 3, 1, 4, 2, 5]),
            (&[1, 3], &[77, 1], 2, &[2, 3, 4]),
            (&[], &[], 4, &[4]),
            (&[0, 3], &[3, 1], 6, &[]),
            (&[2, 2], &[1, 1], 0, &[0, 1, 1, 2]),
        ] {
            assert_eq!(tensor(shape, strides, offset).unwrap().bytes(), expected, "{shape:?} {strides:?}");
        }
    }

    #[test]
    fn tensors_outside_of_their_storage_are_rejected() {
        for (shape, strides, offset) in [
            (&[7][..], &[1][..], 0),
            (&[3], &[1], 4),
            (&[2, 2], &[5, 1], 0),
            (&[1 << 40], &[0], 0),
            (&[1 << 40, 1 << 40], &[0, 0], 0),
            (&[2], &[usize::MAX], 1),
            (&[3, 2], &[1], 0),
            (&[1], &[1], usize::MAX),
            (&[1], &[1], 6),
        ] {
            assert!(tensor(shape, strides, offset).is_err(), "{shape:?} {strides:?} {offset}");
        }
        assert!(tensor(&[1; 65], &[1; 65], 0).is_err());
    }

    #[test]
    fn all_float_dtypes_are_read_as_f32() {
        let values = |dtype, bytes: &[u8]| {
            let tensor = PlainTensor::contiguous(dtype, vec![bytes.len() / dtype.size()], bytes).unwrap();
            tensor.to_f32().unwrap()
        };
        let halves = [0x3c00u16, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x0400, 0x7c00, 0xfc00, 0x3555, 0x8000];
        let halves: Vec<u8> = halves.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let expected = [
            1.0,
            -2.0,
            2f32.powi(-24),
            -1023.0 * 2f32.powi(-24),
            65504.0,
            2f32.powi(-14),
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.333_251_95,
            -0.0,
        ];
        let read = values(Dtype::F16, &halves);
        assert_eq!(read.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), expected.map(f32::to_bits));
        assert!(values(Dtype::F16, &[0x01, 0x7e])[0].is_nan());
        assert_eq!(values(Dtype::Bf16, &[0x80, 0x3f, 0x20, 0xc0]), [1.0, -2.5]);
        assert_eq!(values(Dtype::F64, &0.1f64.to_le_bytes()), [0.1f32]);
        assert_eq!(values(Dtype::F64, &1e300f64.to_le_bytes()), [f32::INFINITY]);
        let int8 = PlainTensor::contiguous(Dtype::I8, vec![2], &[0xff, 3]).unwrap();
        assert_eq!((int8.to_i64(), int8.to_f32()), (Some(vec![-1, 3]), None));
    }

    #[test]
    fn non_finite_elements_are_counted() {
        let count = |dtype, bytes: &[u8]| {
            PlainTensor::contiguous(dtype, vec![bytes.len() / dtype.size()], bytes).unwrap().not_finite()
        };
        let f32s: Vec<u8> =
            [1.0, f32::NAN, f32::INFINITY, -f32::INFINITY].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(count(Dtype::F32, &f32s), 3);
        assert_eq!(count(Dtype::F64, &f64::NAN.to_le_bytes()), 1);
        assert_eq!(count(Dtype::F64, &f64::MAX.to_le_bytes()), 0);
        assert_eq!(count(Dtype::F16, &[0x00, 0x7c, 0xff, 0x7b, 0x01, 0xfe]), 2);
        assert_eq!(count(Dtype::Bf16, &[0x80, 0x7f, 0x7f, 0x7f]), 1);
        assert_eq!(count(Dtype::I64, &[0xff; 8]), 0);
    }
}
