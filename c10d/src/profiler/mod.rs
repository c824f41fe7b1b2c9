//! libtorch's profiler (Kineto): records the operations of this thread and the kernels of CUDA devices, and writes them
//! as a Chrome trace.
//!
//! A recording keeps every operation in memory and slows them down by some percent, so record only a few steps. Nothing
//! is recorded, and a [`Scope`] costs some nanoseconds, while there is no [`Recording`].

mod operations;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use crate::raw::{self, RawScope, call};
use operations::{Event, EventKind};

pub use operations::{Operation, Recorded};

/// A failed call of the profiler.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profiler of libtorch: {message}")]
pub struct ProfilerError {
    /// The message of libtorch, or the reason why the trace cannot be written.
    pub message: String,
}

/// A recording in progress. Dropping it discards what was recorded.
#[derive(Debug)]
pub struct Recording {
    /// The profiler records the thread that started it.
    _of_this_thread: PhantomData<*const ()>,
    is_active: bool,
}

impl Recording {
    /// Starts to record the operations of this thread and of its backward passes, and with `cuda` the kernels of all
    /// CUDA devices.
    ///
    /// # Errors
    /// Returns [`ProfilerError`] if a recording is in progress, or libtorch was built without Kineto.
    pub fn start(cuda: bool) -> Result<Self, ProfilerError> {
        // SAFETY: the shim changes the profiler's own state.
        call(|message| unsafe { raw::c10d_profiler_start(cuda, message) })
            .map_err(|failure| ProfilerError { message: failure.message })?;
        Ok(Self { _of_this_thread: PhantomData, is_active: true })
    }

    /// Ends the recording, writes it as a Chrome trace (JSON), and returns the times of its operations. The file
    /// appears under its name once it is complete.
    ///
    /// # Errors
    /// Returns [`ProfilerError`] if the trace cannot be written.
    pub fn stop(mut self, trace: &Path) -> Result<Recorded, ProfilerError> {
        let mut partial = trace.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let unwritable = |error: std::io::Error| {
            let _ = std::fs::remove_file(&partial);
            ProfilerError { message: format!("cannot write {}: {error}", trace.display()) }
        };
        // Kineto only logs that it cannot write a file.
        std::fs::write(&partial, b"").map_err(unwritable)?;
        let path = CString::new(partial.as_os_str().as_bytes()).map_err(|error| unwritable(error.into()))?;
        let mut events: Vec<Event> = Vec::new();
        self.is_active = false;
        // SAFETY: `visit` receives a pointer to `events`, which outlives the call, and `path` ends in a zero byte.
        call(|message| unsafe { raw::c10d_profiler_stop(path.as_ptr(), visit, (&raw mut events).cast(), message) })
            .map_err(|failure| {
                let _ = std::fs::remove_file(&partial);
                ProfilerError { message: failure.message }
            })?;
        if std::fs::metadata(&partial).map_err(unwritable)?.len() == 0 {
            return Err(unwritable(std::io::Error::other("the disk may be full")));
        }
        std::fs::rename(&partial, trace).map_err(unwritable)?;
        Ok(Recorded::of(events))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.is_active {
            extern "C" fn ignore(_: *mut c_void, _: *const c_char, _: c_int, _: u64, _: u64, _: u64) {}
            // SAFETY: `ignore` uses none of its arguments. The shim frees the recording, and writes no trace without a path.
            let _ = call(|message| unsafe {
                raw::c10d_profiler_stop(std::ptr::null(), ignore, std::ptr::null_mut(), message)
            });
        }
    }
}

/// Receives an event from the shim. A panic here would abort the process; only a lack of memory can cause one.
extern "C" fn visit(events: *mut c_void, name: *const c_char, kind: c_int, thread: u64, start_ns: u64, end_ns: u64) {
    // SAFETY: this is the pointer that `Recording::stop` has passed, and only this function uses it meanwhile.
    let events = unsafe { &mut *events.cast::<Vec<Event>>() };
    // SAFETY: the shim passes a zero-terminated string that lives until this function returns.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
    let kind = match kind {
        0 => EventKind::Operation,
        1 => EventKind::Scope,
        _ => EventKind::Kernel,
    };
    events.push(Event { name, kind, thread, start_ns, end_ns });
}

/// A named part of a recording, from its creation until it is dropped. Scopes must be dropped in reverse order.
#[derive(Debug)]
pub struct Scope {
    /// `None` if nothing is being recorded.
    raw: Option<NonNull<RawScope>>,
}

impl Scope {
    /// Begins a scope on this thread.
    pub fn begin(name: &CStr) -> Self {
        let mut scope = std::ptr::null_mut();
        // SAFETY: the shim copies the name, and writes a pointer that nothing else frees, or null.
        let begun = call(|message| unsafe { raw::c10d_scope_begin(name.as_ptr(), &mut scope, message) });
        // A scope that cannot be recorded is missing in the trace.
        Self { raw: begun.ok().and_then(|()| NonNull::new(scope)) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(scope) = self.raw {
            // SAFETY: the shim allocated it in `c10d_scope_begin`, and it is not used again.
            unsafe { raw::c10d_scope_end(scope.as_ptr()) };
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tch::{Device, Kind, Tensor};

    use super::*;

    fn work() {
        let weight = Tensor::ones([8, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let loss = {
            let _forward = Scope::begin(c"forward");
            weight.matmul(&weight).relu().sum(Kind::Float)
        };
        let _backward = Scope::begin(c"backward");
        Tensor::run_backward(&[loss], &[weight], false, false);
    }

    // One test, because a process has one profiler.
    #[test]
    fn a_recording_has_the_operations_and_scopes_between_start_and_stop() {
        let folder = std::env::temp_dir().join(format!("tfnas-profiler-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let trace = folder.join("trace.json");
        work();
        let recording = Recording::start(false).unwrap();
        let outer = Scope::begin(c"step");
        work();
        drop(outer);
        let recorded = recording.stop(&trace).unwrap();
        assert!(!folder.join("trace.json.partial").exists());
        let calls = |name: &str| {
            recorded.operations.iter().find(|operation| operation.name == name).map(|operation| operation.calls)
        };
        assert_eq!(calls("aten::relu"), Some(1), "{recorded:?}");
        assert_eq!(calls("aten::mm"), Some(3), "one forward, two backward: {recorded:?}");
        assert_eq!(calls("forward"), None, "a scope is not an operation");
        let text = std::fs::read_to_string(&trace).unwrap();
        for name in ["\"forward\"", "\"backward\"", "\"step\"", "aten::relu"] {
            assert!(text.contains(name), "{name}");
        }

        // A discarded recording leaves nothing behind, and another one can follow it.
        drop(Recording::start(false).unwrap());
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file(), "/dev/null is still a device");
        let recording = Recording::start(false).unwrap();
        let unwritable = recording.stop(&folder.join("missing/trace.json")).unwrap_err();
        assert!(unwritable.to_string().contains("cannot write"), "{unwritable}");
        let recorded = Recording::start(false).unwrap().stop(&trace).unwrap();
        assert!(recorded.operations.is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
