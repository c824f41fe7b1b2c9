use crate::raw;

/// What the kernels are compiled for. All instruction sets give the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstructionSet {
    /// Vectors of 256 bits, with fused multiply-add.
    Avx2 = 1,
    /// Vectors of 512 bits (F, DQ, VL and BW).
    Avx512 = 2,
}

/// Returns the instruction set of the kernels that run: at first the largest that this processor has.
pub fn instruction_set() -> Option<InstructionSet> {
    // SAFETY: the function only reads an atomic number.
    match unsafe { raw::tfnas_kernels_instruction_set() } {
        1 => Some(InstructionSet::Avx2),
        2 => Some(InstructionSet::Avx512),
        _ => None,
    }
}

/// Chooses the kernels that run in this process from now on; none turns them off, so that [`take`](crate::take) refuses everything.
/// Returns whether the processor has that instruction set; else nothing is changed.
pub fn choose_instruction_set(set: Option<InstructionSet>) -> bool {
    // SAFETY: the function takes any number, and only writes atomic ones.
    unsafe { raw::tfnas_kernels_choose(set.map_or(0, |set| set as i32)) }
}
