//! A worker's process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tfnas_artifacts::Usage;
use tfnas_stages::WorkerCommand;
use wait4::Wait4;

use crate::messages::{WorkerMessage, forward};

/// Freed memory stays with the worker instead of going back to the kernel after each step: page faults would take half
/// of it. It needs both thresholds; either alone is slower than neither.
pub const ALLOCATOR: [(&str, &str); 2] =
    [("MALLOC_MMAP_THRESHOLD_", "1000000000"), ("MALLOC_TRIM_THRESHOLD_", "1000000000")];

/// Lets cuBLAS compute the same bytes in every run. It reads this before its first use; a worker without CUDA ignores it.
pub const CUBLAS: (&str, &str) = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8");

/// How often a thread of libgomp looks for work before it sleeps: about half a millisecond. libgomp's own 300,000 looks
/// (5 ms and more) hold the CPU while the thread that is waited for needs it, on a machine that others use too; without
/// any, each operation of a network would wake threads. `ci/bench contention` measures both.
pub const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "30000");

/// Variables by which a user chooses how threads wait; none of them is overridden.
pub const WAITING: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Returns how the threads of a worker shall wait, unless the user has chosen.
pub fn waiting() -> Option<(&'static str, &'static str)> {
    WAITING.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())).then_some(SPINS)
}

/// How a worker is started.
pub struct Start<'a> {
    /// Its program.
    pub program: &'a Path,
    /// The arguments.
    pub arguments: &'a [&'a OsStr],
    /// Variables that it gets beside this process's own.
    pub variables: &'a [(&'static str, String)],
    /// What takes its standard error.
    pub log: File,
    /// Threads that it computes with.
    pub threads: usize,
}

/// A worker under way.
pub struct Process {
    child: Child,
    pid: Pid,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a worker; its events arrive at `sender`.
    ///
    /// It has a process group of its own, so that Ctrl-C in the terminal reaches only the planner, which asks for an
    /// orderly end, and so that its own children end with it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn start(start: Start<'_>, sender: Sender<WorkerMessage>) -> io::Result<Self> {
        let Start { program, arguments, variables, log, threads } = start;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(ALLOCATOR)
            .envs([CUBLAS])
            .envs(waiting())
            .env("OMP_NUM_THREADS", threads.to_string())
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()?;
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || forward(stdout, &sender));
        }
        let pid = Pid::from_child(&child);
        let stdin = child.stdin.take();
        Ok(Self { child, pid, stdin })
    }

    /// Asks for a resume point and an orderly end.
    pub fn stop(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            let line = serde_json::to_string(&WorkerCommand::Stop).unwrap_or_default();
            // A worker that is gone already needs no request.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Ends the worker and all its children at once.
    pub fn kill(&self) {
        // The group is still ours: its leader is not reaped before `finish`.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Returns whether the worker has ended; it is not reaped yet.
    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Waits until the worker has ended, for `patience` at most, then kills it; returns how it ended and what it used.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(mut self, patience: Duration) -> io::Result<(ExitStatus, Usage)> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        // Also what it may have left behind.
        self.kill();
        let used = self.child.wait4()?;
        let cpu = used.rusage.utime + used.rusage.stime;
        let usage = Usage {
            peak_memory_bytes: Some(used.rusage.maxrss),
            cpu_ms: Some(u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX)),
        };
        Ok((used.status, usage))
    }
}
