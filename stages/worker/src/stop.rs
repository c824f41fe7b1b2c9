//! How a stage learns that it must stop.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use tfnas_stages::WorkerCommand;

/// A flag that is raised when the stage must write a resume point and stop.
#[derive(Clone)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Starts a thread that reads commands from standard input. A stop command raises the flag. End of input means that the
    /// planner is gone; the thread then kills this process, so that no worker outlives its planner.
    pub fn watch() -> Self {
        let flag = Self(Arc::default());
        let raised = flag.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if serde_json::from_str::<WorkerCommand>(&line).is_ok() {
                    raised.0.store(true, Ordering::Relaxed);
                }
            }
            // A normal exit would wait for libtorch's threads. Incomplete files have temporary names.
            let _ = kill_process(getpid(), Signal::KILL);
        });
        flag
    }

    /// Raises the flag on a signal: SIGUSR1, which the queue sends before the time limit, or SIGTERM, which it sends shortly
    /// before it kills the job.
    ///
    /// # Errors
    /// Returns an error if a signal handler cannot be installed.
    pub fn on_signals() -> io::Result<Self> {
        let flag = Self(Arc::default());
        for signal in [SIGUSR1, SIGTERM] {
            signal_hook::flag::register(signal, flag.0.clone())?;
        }
        Ok(flag)
    }

    /// Returns whether the stage must stop.
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
