//! Bindings of the C++ shim, and conversion of its results.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::time::Duration;

use tch::Tensor;
use torch_sys::C_tensor;

/// An opaque C++ object.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident),+) => {
        $($(#[$doc])* #[repr(C)] #[derive(Debug)] pub struct $name { _private: [u8; 0] })+
    };
}

opaque! {
    /// `c10::intrusive_ptr<c10d::Store>`.
    RawStore,
    /// `c10::intrusive_ptr<c10d::ProcessGroup>`.
    RawGroup,
    /// A `c10d::Reducer` and its parameters.
    RawReducer,
    /// `c10::Event`.
    RawEvent,
    /// `c10::Stream`.
    RawStream,
    /// `at::RecordFunction`.
    RawScope
}

/// `AutocastBefore` of the shim.
#[repr(C)]
#[derive(Debug, Default)]
pub struct AutocastBefore {
    device_type: i8,
    enabled: bool,
    dtype: i8,
}

/// Receives the error message of a failing function.
pub type Message = *mut *mut c_char;

unsafe extern "C" {
    fn c10d_free(memory: *mut c_void);

    pub fn c10d_store_new(
        host: *const c_char,
        port: u16,
        is_server: bool,
        timeout_ms: i64,
        store: *mut *mut RawStore,
        bound_port: *mut u16,
        message: Message,
    ) -> c_int;
    pub fn c10d_store_prefixed(
        store: *mut RawStore,
        prefix: *const c_char,
        prefixed: *mut *mut RawStore,
        message: Message,
    ) -> c_int;
    pub fn c10d_store_free(store: *mut RawStore);
    pub fn c10d_store_set(
        store: *mut RawStore,
        key: *const c_char,
        value: *const u8,
        length: usize,
        message: Message,
    ) -> c_int;
    pub fn c10d_store_get(
        store: *mut RawStore,
        key: *const c_char,
        value: *mut *mut u8,
        length: *mut usize,
        message: Message,
    ) -> c_int;
    pub fn c10d_store_add(
        store: *mut RawStore,
        key: *const c_char,
        amount: i64,
        sum: *mut i64,
        message: Message,
    ) -> c_int;
    pub fn c10d_store_wait(store: *mut RawStore, key: *const c_char, timeout_ms: i64, message: Message) -> c_int;
    pub fn c10d_store_check(store: *mut RawStore, key: *const c_char, is_there: *mut bool, message: Message) -> c_int;

    pub fn c10d_gloo_new(
        store: *mut RawStore,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        address: *const c_char,
        group: *mut *mut RawGroup,
        message: Message,
    ) -> c_int;
    #[cfg(nccl)]
    pub fn c10d_nccl_new(
        store: *mut RawStore,
        rank: c_int,
        size: c_int,
        timeout_ms: i64,
        group: *mut *mut RawGroup,
        message: Message,
    ) -> c_int;
    pub fn c10d_group_free(group: *mut RawGroup);
    pub fn c10d_all_reduce(group: *mut RawGroup, tensor: *mut C_tensor, operation: c_int, message: Message) -> c_int;
    pub fn c10d_broadcast(
        group: *mut RawGroup,
        tensors: *const *mut C_tensor,
        count: usize,
        root: c_int,
        message: Message,
    ) -> c_int;
    pub fn c10d_all_gather(
        group: *mut RawGroup,
        tensor: *mut C_tensor,
        gathered: *mut *mut C_tensor,
        message: Message,
    ) -> c_int;
    pub fn c10d_barrier(group: *mut RawGroup, timeout_ms: i64, message: Message) -> c_int;
    pub fn c10d_sum_over_ranks(
        group: *mut RawGroup,
        tensor: *mut C_tensor,
        sum: *mut *mut C_tensor,
        message: Message,
    ) -> c_int;

    pub fn c10d_batch_norm(
        group: *mut RawGroup,
        x: *mut C_tensor,
        weight: *mut C_tensor,
        bias: *mut C_tensor,
        running_mean: *mut C_tensor,
        running_variance: *mut C_tensor,
        momentum: f64,
        epsilon: f64,
        y: *mut *mut C_tensor,
        message: Message,
    ) -> c_int;

    pub fn c10d_reducer_new(
        group: *mut RawGroup,
        parameters: *const *mut C_tensor,
        count: usize,
        first_bucket_bytes: usize,
        bucket_bytes: usize,
        find_unused: bool,
        reducer: *mut *mut RawReducer,
        message: Message,
    ) -> c_int;
    pub fn c10d_reducer_free(reducer: *mut RawReducer);
    pub fn c10d_reducer_backward(
        reducer: *mut RawReducer,
        loss: *mut C_tensor,
        gradients: *mut *mut C_tensor,
        message: Message,
    ) -> c_int;

    pub fn c10d_autocast_enter(is_cuda: bool, dtype: i8, before: *mut AutocastBefore, message: Message) -> c_int;
    pub fn c10d_autocast_leave(before: *const AutocastBefore);
    pub fn c10d_unscale(
        gradients: *const *mut C_tensor,
        count: usize,
        found_inf: *mut C_tensor,
        inverse_scale: *mut C_tensor,
        message: Message,
    ) -> c_int;

    pub fn c10d_cuda_is_linked() -> bool;
    pub fn c10d_cuda_numerics(tf32: bool, message: Message) -> c_int;
    pub fn c10d_cuda_peak_memory(device: i8, bytes: *mut u64, message: Message) -> c_int;
    pub fn c10d_cuda_reset_peak_memory(device: i8, message: Message) -> c_int;
    pub fn c10d_event_record(device: i8, event: *mut *mut RawEvent, message: Message) -> c_int;
    pub fn c10d_event_free(event: *mut RawEvent);
    pub fn c10d_event_elapsed_ms(
        start: *mut RawEvent,
        end: *mut RawEvent,
        milliseconds: *mut f64,
        message: Message,
    ) -> c_int;
    pub fn c10d_copy_stream_new(device: i8, stream: *mut *mut RawStream, message: Message) -> c_int;
    pub fn c10d_copy_stream_free(stream: *mut RawStream);
    pub fn c10d_copy_begin(
        stream: *mut RawStream,
        source: *mut C_tensor,
        copy: *mut *mut C_tensor,
        done: *mut *mut RawEvent,
        message: Message,
    ) -> c_int;
    pub fn c10d_copy_await(copy: *mut C_tensor, done: *mut RawEvent, message: Message) -> c_int;
    pub fn c10d_fused_sgd(
        parameters: *const *mut C_tensor,
        gradients: *const *mut C_tensor,
        buffers: *const *mut C_tensor,
        count: usize,
        rate: f64,
        momentum: f64,
        weight_decay: f64,
        is_first: bool,
        message: Message,
    ) -> c_int;
    pub fn c10d_clip(
        gradients: *const *mut C_tensor,
        count: usize,
        max_norm: f64,
        epsilon: f64,
        norm: *mut *mut C_tensor,
        clipped: *mut *mut C_tensor,
        message: Message,
    ) -> c_int;

    pub fn c10d_profiler_start(cuda: bool, message: Message) -> c_int;
    pub fn c10d_profiler_stop(
        path: *const c_char,
        visit: EventVisitor,
        context: *mut c_void,
        message: Message,
    ) -> c_int;
    pub fn c10d_scope_begin(name: *const c_char, scope: *mut *mut RawScope, message: Message) -> c_int;
    pub fn c10d_scope_end(scope: *mut RawScope);
}

/// Receives one event of the profiler: its name, kind, thread, and start and end in nanoseconds.
pub type EventVisitor = extern "C" fn(*mut c_void, *const c_char, c_int, u64, u64, u64);

/// The kind of exception caught by a function of the shim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `c10d::TimeoutError`.
    TimedOut,
    /// Another `c10::DistNetworkError`.
    Network,
    /// `c10::DistStoreError`: a key was not set in time.
    Store,
    /// Any other exception.
    Other,
}

/// An exception that a function of the shim has caught.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub message: String,
}

/// Calls a function of the shim, passing a location for its message.
pub fn call(function: impl FnOnce(Message) -> c_int) -> Result<(), Failure> {
    let mut message = std::ptr::null_mut();
    let kind = match function(&mut message) {
        0 => return Ok(()),
        1 => Kind::TimedOut,
        2 => Kind::Network,
        3 => Kind::Store,
        _ => Kind::Other,
    };
    Err(Failure { kind, message: take_message(message) })
}

/// Takes and frees the message of a failed function.
fn take_message(message: *mut c_char) -> String {
    if message.is_null() {
        return "no memory for the message".to_owned();
    }
    // SAFETY: a failing function returns a text that ends in a zero byte, and this is the only pointer to it.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    // SAFETY: it was allocated by `strdup`, and is not used again.
    unsafe { c10d_free(message.cast()) };
    text.trim_end().to_owned()
}

/// Takes and frees the bytes returned by `c10d_store_get`.
///
/// # Safety
/// `value` must come from that function, be `length` bytes long, and not be used again.
pub unsafe fn take_bytes(value: *mut u8, length: usize) -> Vec<u8> {
    // SAFETY: the caller guarantees it. The pointer is never null, even for zero bytes.
    let bytes = unsafe { std::slice::from_raw_parts(value, length) }.to_vec();
    // SAFETY: it was allocated by `malloc`, and is not used again.
    unsafe { c10d_free(value.cast()) };
    bytes
}

/// A C++ object that is freed with its owner.
#[derive(Debug)]
pub struct Owned<T> {
    pointer: NonNull<T>,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Returns the object that `make` writes through its pointer, if it succeeds.
    ///
    /// # Safety
    /// If it succeeds, `make` must write a pointer that nothing else frees and that `free` can free.
    pub unsafe fn make(
        free: unsafe extern "C" fn(*mut T),
        make: impl FnOnce(*mut *mut T, Message) -> c_int,
    ) -> Result<Self, Failure> {
        let mut pointer = std::ptr::null_mut();
        call(|message| make(&mut pointer, message))?;
        // SAFETY: guaranteed by the caller.
        unsafe { Self::take(pointer, free) }
    }

    /// Takes ownership of an object created by the shim.
    ///
    /// # Safety
    /// `free` must be able to free the object, and nothing else may free it.
    pub unsafe fn take(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self, Failure> {
        let pointer = NonNull::new(pointer)
            .ok_or_else(|| Failure { kind: Kind::Other, message: "the shim returned a null pointer".to_owned() })?;
        Ok(Self { pointer, free })
    }

    /// The raw pointer, for a call.
    pub fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the caller of `make` guarantees that `free` frees it. It is not used after its owner is dropped.
        unsafe { (self.free)(self.pointer.as_ptr()) };
    }
}

/// Returns a tensor's pointer for a call. The shim writes to the tensor's memory, which tch shares between tensors as
/// well.
pub fn tensor_pointer(tensor: &Tensor) -> *mut C_tensor {
    tensor.as_ptr().cast_mut()
}

/// Returns the pointers of tensors for a call.
pub fn tensor_pointers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<*mut C_tensor> {
    tensors.into_iter().map(tensor_pointer).collect()
}

/// Returns a tensor that a function of the shim writes through its pointer.
///
/// # Safety
/// If it succeeds, `make` must write a tensor that nothing else frees.
pub unsafe fn make_tensor(make: impl FnOnce(*mut *mut C_tensor, Message) -> c_int) -> Result<Tensor, Failure> {
    let mut pointer = std::ptr::null_mut();
    call(|message| make(&mut pointer, message))?;
    // SAFETY: the pointer is an `at::Tensor` allocated with C++ `new`, like tch's own tensors, and becomes exactly one
    // tensor.
    Ok(unsafe { Tensor::from_ptr(pointer) })
}

/// Returns `count` tensors that a function of the shim writes through its pointer.
///
/// # Safety
/// If it succeeds, `make` must write `count` tensors that nothing else frees.
pub unsafe fn make_tensors(
    count: usize,
    make: impl FnOnce(*mut *mut C_tensor, Message) -> c_int,
) -> Result<Vec<Tensor>, Failure> {
    let mut pointers = vec![std::ptr::null_mut(); count];
    call(|message| make(pointers.as_mut_ptr(), message))?;
    // SAFETY: each pointer is an `at::Tensor` allocated with C++ `new`, like tch's own tensors, and becomes exactly one
    // tensor.
    Ok(pointers.into_iter().map(|pointer| unsafe { Tensor::from_ptr(pointer) }).collect())
}

/// Converts a timeout for the shim; at least 1 ms, because 0 disables the timeout.
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2).clamp(1, MAX_MILLISECONDS)
}

/// One year: C++ adds a timeout to a time in nanoseconds, which must not overflow.
const MAX_MILLISECONDS: i64 = 365 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_duration_is_not_an_infinite_timeout() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_micros(2500)), 2);
        assert_eq!(milliseconds(Duration::MAX), MAX_MILLISECONDS);
    }
}
