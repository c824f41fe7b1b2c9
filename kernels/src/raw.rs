//! Bindings of the C++ shim.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::KernelError;

/// Receives the error message of a failing function.
pub type Message = *mut *mut c_char;

unsafe extern "C" {
    fn tfnas_kernels_free(memory: *mut c_void);

    pub fn tfnas_kernels_instruction_set() -> c_int;
    pub fn tfnas_kernels_choose(set: c_int) -> bool;
    pub fn tfnas_kernels_supports(x: *mut C_tensor) -> bool;
    pub fn tfnas_kernels_batch_norm(
        x: *mut C_tensor,
        weight: *mut C_tensor,
        bias: *mut C_tensor,
        shortcut: *mut C_tensor,
        keep: *mut C_tensor,
        running_mean: *mut C_tensor,
        running_variance: *mut C_tensor,
        activation: c_int,
        momentum: f64,
        epsilon: f64,
        y: *mut *mut C_tensor,
        message: Message,
    ) -> bool;
    pub fn tfnas_kernels_squeeze_excite(
        x: *mut C_tensor,
        reduce_weight: *mut C_tensor,
        reduce_bias: *mut C_tensor,
        expand_weight: *mut C_tensor,
        expand_bias: *mut C_tensor,
        activation: c_int,
        y: *mut *mut C_tensor,
        message: Message,
    ) -> bool;
    pub fn tfnas_kernels_depthwise(
        x: *mut C_tensor,
        weight: *mut C_tensor,
        bias: *mut C_tensor,
        stride: i64,
        activation: c_int,
        y: *mut *mut C_tensor,
        message: Message,
    ) -> bool;
    pub fn tfnas_kernels_frozen_pointwise(
        x: *mut C_tensor,
        weight: *mut C_tensor,
        y: *mut *mut C_tensor,
        message: Message,
    ) -> bool;
}

/// The pointer of a tensor, for a call. The shim may write to the tensor's memory, which tch also shares between
/// tensors.
pub fn pointer(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr().cast_mut()
}

/// The pointer of a tensor for a call, or null.
pub fn optional(tensor: Option<&Tensor>) -> *mut C_tensor {
    tensor.map_or(std::ptr::null_mut(), pointer)
}

/// Returns a tensor that a function of the shim writes through its pointer.
///
/// # Safety
/// If it returns true, `make` must have written a tensor that nothing else frees; otherwise a message, or null.
pub unsafe fn make_tensor(make: impl FnOnce(*mut *mut C_tensor, Message) -> bool) -> Result<Tensor, KernelError> {
    let (mut tensor, mut message) = (std::ptr::null_mut(), std::ptr::null_mut());
    if make(&mut tensor, &mut message) {
        // SAFETY: the pointer is an `at::Tensor` allocated with C++ `new`, like tch's own tensors, and becomes exactly
        // one tensor.
        return Ok(unsafe { Tensor::from_ptr(tensor) });
    }
    if message.is_null() {
        return Err(KernelError { message: "no memory for the message".to_owned() });
    }
    // SAFETY: a failing function returns a zero-terminated string, and this is the only pointer to it.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().trim_end().to_owned();
    // SAFETY: it was allocated by `strdup`, and is not used again.
    unsafe { tfnas_kernels_free(message.cast()) };
    Err(KernelError { message: text })
}
