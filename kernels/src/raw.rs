//! The functions of the C++ shim, and calling them.

use std::ffi::{CStr, c_char, c_int, c_void};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::KernelError;

/// Where a failing function leaves its text.
pub type Message = *mut *mut c_char;

unsafe extern "C" {
    fn tfnas_kernels_free(memory: *mut c_void);

    pub fn tfnas_kernels_instruction_set() -> c_int;
    pub fn tfnas_kernels_choose(set: c_int) -> bool;
    pub fn tfnas_kernels_take(x: *mut C_tensor) -> bool;
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
}

/// A tensor for a call. The shim reads it; what it writes to is the tensor's memory, which tch shares between tensors too.
pub fn pointer(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr().cast_mut()
}

/// A tensor for a call, or null.
pub fn optional(tensor: Option<&Tensor>) -> *mut C_tensor {
    tensor.map_or(std::ptr::null_mut(), pointer)
}

/// A tensor that a function of the shim makes at the place that it gets.
///
/// # Safety
/// Where it returns true, `make` has written a tensor that nobody else frees; else it has left a text for the message, or null.
pub unsafe fn make_tensor(make: impl FnOnce(*mut *mut C_tensor, Message) -> bool) -> Result<Tensor, KernelError> {
    let (mut tensor, mut message) = (std::ptr::null_mut(), std::ptr::null_mut());
    if make(&mut tensor, &mut message) {
        // SAFETY: it is an `at::Tensor` of C++'s `new`, which is what tch's own are, and becomes one tensor.
        return Ok(unsafe { Tensor::from_ptr(tensor) });
    }
    if message.is_null() {
        return Err(KernelError { message: "no memory for the message".to_owned() });
    }
    // SAFETY: a failing function leaves a text that ends in a zero byte, and nobody else has its pointer.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().trim_end().to_owned();
    // SAFETY: it is of `strdup`, and not used again.
    unsafe { tfnas_kernels_free(message.cast()) };
    Err(KernelError { message: text })
}
