//! CUDA functions that tch lacks: numerics, memory, timing, copies, and operations on many tensors at once.
//!
//! Everything here compiles without CUDA, and returns a [`CudaError`] if libtorch finds no CUDA device.

mod copy_stream;
mod event;
mod multi_tensor;

use tch::Device;

use crate::raw::{self, Failure, call};

pub use copy_stream::{CopyStream, PendingCopy};
pub use event::Event;
pub use multi_tensor::{SgdStep, clip, fused_sgd};

/// A failed call of libtorch's CUDA functions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct CudaError {
    /// The operation that failed.
    pub operation: &'static str,
    /// The message of libtorch.
    pub message: String,
}

impl CudaError {
    fn of(operation: &'static str) -> impl FnOnce(Failure) -> Self {
        move |failure| Self { operation, message: failure.message }
    }
}

/// Returns the number of CUDA devices that libtorch finds, 0 in a build without CUDA.
///
/// A program must call this function at least once instead of tch's: the call makes the linker keep libtorch's CUDA
/// library.
pub fn device_count() -> usize {
    // SAFETY: the shim returns a constant.
    let is_linked = unsafe { raw::c10d_cuda_is_linked() };
    if is_linked { usize::try_from(tch::Cuda::device_count()).unwrap_or(0) } else { 0 }
}

/// Sets the numerics of convolutions and matrix products on CUDA devices for the whole process: TF32 or IEEE f32, with
/// deterministic algorithms.
///
/// cuBLAS is deterministic only if CUBLAS_WORKSPACE_CONFIG is set before its first use. The caller must set it in the
/// environment of the process.
///
/// # Errors
/// Returns [`CudaError`] if libtorch rejects the settings.
pub fn set_numerics(tf32: bool) -> Result<(), CudaError> {
    // SAFETY: the shim sets flags of libtorch's global context.
    call(|message| unsafe { raw::c10d_cuda_numerics(tf32, message) }).map_err(CudaError::of("CUDA numerics"))
}

/// Returns the peak number of bytes used by tensors on this device since the process started or since
/// [`reset_peak_memory`].
///
/// # Errors
/// Returns [`CudaError`] if the device is not a CUDA device.
pub fn peak_memory(device: Device) -> Result<u64, CudaError> {
    const OPERATION: &str = "peak memory";
    let index = index_of(device, OPERATION)?;
    let mut bytes = 0;
    // SAFETY: the shim writes a number.
    call(|message| unsafe { raw::c10d_cuda_peak_memory(index, &mut bytes, message) })
        .map_err(CudaError::of(OPERATION))?;
    Ok(bytes)
}

/// Resets the value of [`peak_memory`].
///
/// # Errors
/// Returns [`CudaError`] if the device is not a CUDA device.
pub fn reset_peak_memory(device: Device) -> Result<(), CudaError> {
    const OPERATION: &str = "peak memory";
    let index = index_of(device, OPERATION)?;
    // SAFETY: the shim changes a counter of the allocator.
    call(|message| unsafe { raw::c10d_cuda_reset_peak_memory(index, message) }).map_err(CudaError::of(OPERATION))
}

fn index_of(device: Device, operation: &'static str) -> Result<i8, CudaError> {
    let refused = |message: String| CudaError { operation, message };
    let Device::Cuda(index) = device else {
        return Err(refused(format!("{device:?} is not a CUDA device")));
    };
    if device_count() == 0 {
        return Err(refused("libtorch finds no CUDA device".to_owned()));
    }
    i8::try_from(index).map_err(|_| refused(format!("there is no CUDA device {index}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_has_no_cuda_memory_events_or_copy_streams() {
        assert!(peak_memory(Device::Cpu).is_err());
        assert!(reset_peak_memory(Device::Cpu).is_err());
        assert!(Event::record(Device::Cpu).is_err());
        assert!(CopyStream::new(Device::Cpu).is_err());
    }

    #[test]
    fn a_missing_device_is_an_error() {
        let absent = Device::Cuda(1000);
        assert!(peak_memory(absent).is_err_and(|error| error.to_string().starts_with("peak memory: ")));
        assert!(CopyStream::new(absent).is_err());
    }
}
