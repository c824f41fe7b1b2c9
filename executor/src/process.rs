//! Starts a worker process, stops it and waits for it.

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

/// Variables that the libraries of a worker read when it starts.
pub const VARIABLES: [(&str, &str); 5] = [
    // Keep freed memory instead of returning it to the kernel after each step, because page faults would take half of the
    // time of a step. Both thresholds are needed; setting only one is slower than setting none.
    ("MALLOC_MMAP_THRESHOLD_", "1000000000"),
    ("MALLOC_TRIM_THRESHOLD_", "1000000000"),
    // Makes cuBLAS deterministic. A worker without CUDA ignores it.
    ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    // Numbers GPUs by bus address, as the planner does, and not by speed.
    ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
    // A supernet, and the random networks of a latency table, have more shapes of convolutions than the default of 1024, and
    // each that was dropped from the cache is compiled again: the first pass of a network then takes 1.9 times as long as
    // later ones, instead of 1.2 times.
    ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192"),
];

/// How often a libgomp thread polls for work before it sleeps: about half a millisecond. With libgomp's default of
/// 300,000 polls (5 ms or more) waiting threads occupy the CPU while the thread that they wait for needs it, if the
/// machine has other users. Without polling, each operation of a network would have to wake up threads. `ci/bench
/// contention` measures both.
pub const SPINS: (&str, &str) = ("GOMP_SPINCOUNT", "30000");

/// Variables with which users set how threads wait. If one of them is set, it is respected.
pub const WAITING: [&str; 2] = ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"];

/// Returns the variable that sets how the threads of a worker wait, unless the user has set one of [`WAITING`].
pub fn waiting() -> Option<(&'static str, &'static str)> {
    WAITING.iter().all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty())).then_some(SPINS)
}

/// How to start a worker.
pub struct Start<'a> {
    pub program: &'a Path,
    pub arguments: &'a [&'a OsStr],
    /// Variables to set in addition to the environment of this process.
    pub variables: &'a [(&'static str, String)],
    /// Receives the worker's standard error.
    pub log: File,
    /// Number of threads for computation.
    pub threads: usize,
}

/// A running worker.
pub struct Process {
    child: Child,
    pid: Pid,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a worker. Its events are sent to `sender`.
    ///
    /// The worker gets its own process group. So Ctrl-C in the terminal reaches only the planner, which then asks the
    /// worker to stop in order, and children of the worker can be killed together with it.
    ///
    /// # Errors
    /// Returns an error if the process cannot be started.
    pub fn start(start: Start<'_>, sender: Sender<WorkerMessage>) -> io::Result<Self> {
        let Start { program, arguments, variables, log, threads } = start;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(VARIABLES)
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

    /// Asks the worker to write a resume point and to exit.
    pub fn stop(&mut self) {
        if let Some(stdin) = &mut self.stdin {
            let line = serde_json::to_string(&WorkerCommand::Stop).unwrap_or_default();
            // Writing fails if the worker has already exited.
            let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        }
    }

    /// Kills the worker and all its children.
    pub fn kill(&self) {
        // The process group ID cannot have been reused: its leader is not reaped before `finish`.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    /// Returns whether the worker has exited, without reaping it.
    pub fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Waits for at most `patience` until the worker has exited, then kills it. Returns its exit status and resource
    /// usage.
    ///
    /// # Errors
    /// Returns an error if the process cannot be waited for.
    pub fn finish(mut self, patience: Duration) -> io::Result<(ExitStatus, Usage)> {
        let deadline = Instant::now() + patience;
        let mut pause = Duration::from_micros(200);
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        // This also kills children that the worker has left behind.
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
