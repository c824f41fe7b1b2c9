//! Selection of the instruction set.

use crate::raw;

/// The instruction sets that the kernels are compiled for. All give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// Vectors of 256 bits, with fused multiply-add.
    Avx2 = 1,
    /// Vectors of 512 bits (F, DQ, VL and BW).
    Avx512 = 2,
}

/// Returns the instruction set in use; initially the largest that this processor supports.
pub fn instruction_set() -> Option<InstructionSet> {
    // SAFETY: the function only reads an atomic number.
    match unsafe { raw::tfnas_kernels_instruction_set() } {
        1 => Some(InstructionSet::Avx2),
        2 => Some(InstructionSet::Avx512),
        _ => None,
    }
}

/// Sets the instruction set for this process; `None` disables the kernels, so that
/// [`is_supported`](crate::is_supported) returns false. Returns false, and changes nothing, if the processor does not
/// support it.
pub fn choose_instruction_set(set: Option<InstructionSet>) -> bool {
    // SAFETY: the function accepts any number, and only writes atomics.
    unsafe { raw::tfnas_kernels_choose(set.map_or(0, |set| set as i32)) }
}
