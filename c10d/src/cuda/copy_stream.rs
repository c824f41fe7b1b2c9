//! Copies to a CUDA device on a separate stream.

use std::ptr::null_mut;

use tch::{Device, Tensor};

use crate::cuda::{CudaError, index_of};
use crate::raw::{self, Owned, RawEvent, RawStream, call, tensor_pointer};

const OPERATION: &str = "copy to a CUDA device";

/// A CUDA stream for copies, which run while the default stream computes.
#[derive(Debug)]
pub struct CopyStream {
    raw: Owned<RawStream>,
    device: Device,
}

/// A copy that may still be running.
#[derive(Debug)]
pub struct PendingCopy {
    copy: Tensor,
    done: Owned<RawEvent>,
}

// SAFETY: a stream is a handle that is not tied to a thread.
unsafe impl Send for CopyStream {}

// SAFETY: CUDA events are not tied to a thread, and libtorch sets the device in every call.
unsafe impl Send for PendingCopy {}

impl CopyStream {
    /// Creates a copy stream for this device.
    ///
    /// # Errors
    /// Returns [`CudaError`] if the device is not a CUDA device, or the stream cannot be created.
    pub fn new(device: Device) -> Result<Self, CudaError> {
        let index = index_of(device, OPERATION)?;
        // SAFETY: the shim writes a stream allocated with `new`; `Owned` frees it with the shim's function.
        let raw = unsafe {
            Owned::make(raw::c10d_copy_stream_free, |stream, message| raw::c10d_copy_stream_new(index, stream, message))
        };
        Ok(Self { raw: raw.map_err(CudaError::of(OPERATION))?, device })
    }

    /// Starts to copy a CPU tensor to the device through pinned memory, without waiting for the copy.
    ///
    /// # Errors
    /// Returns [`CudaError`] if the copy cannot be started.
    pub fn begin(&self, source: &Tensor) -> Result<PendingCopy, CudaError> {
        let pinned = source.pin_memory(self.device);
        let (mut copy, mut done) = (null_mut(), null_mut());
        // SAFETY: stream and source outlive the call. libtorch keeps the pinned memory until the copy has ended.
        call(|message| unsafe {
            raw::c10d_copy_begin(self.raw.as_ptr(), tensor_pointer(&pinned), &mut copy, &mut done, message)
        })
        .map_err(CudaError::of(OPERATION))?;
        // SAFETY: the pointer is an `at::Tensor` allocated with C++ `new`, like tch's own tensors, and becomes exactly
        // one tensor.
        let copy = unsafe { Tensor::from_ptr(copy) };
        // SAFETY: the pointer is an event allocated by the shim with `new`; `Owned` frees it with the shim's function.
        let done = unsafe { Owned::take(done, raw::c10d_event_free) }.map_err(CudaError::of(OPERATION))?;
        Ok(PendingCopy { copy, done })
    }
}

impl PendingCopy {
    /// Returns the tensor on the device. Work queued on the device after this call waits for the copy; the caller does
    /// not.
    ///
    /// # Errors
    /// Returns [`CudaError`] if the copy failed.
    pub fn take(self) -> Result<Tensor, CudaError> {
        // SAFETY: tensor and event outlive the call.
        call(|message| unsafe { raw::c10d_copy_await(tensor_pointer(&self.copy), self.done.as_ptr(), message) })
            .map_err(CudaError::of(OPERATION))?;
        Ok(self.copy)
    }
}
