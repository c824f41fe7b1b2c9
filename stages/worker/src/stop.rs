use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGTERM, SIGUSR1};
use tfnas_stages::WorkerCommand;

/// Whether the planner has asked for a resume point and an orderly end.
#[derive(Clone)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Watches standard input from a thread of its own: a stop line raises the flag; the end of the input means that
    /// the planner is gone, and ends this process at once, wherever it is, so that no worker outlives its planner.
    pub fn watch() -> Self {
        let flag = Self(Arc::default());
        let raised = flag.clone();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines().map_while(Result::ok) {
                if serde_json::from_str::<WorkerCommand>(&line).is_ok() {
                    raised.0.store(true, Ordering::Relaxed);
                }
            }
            // A normal exit would wait for libtorch's threads. Whatever is half written is under a temporary name.
            let _ = kill_process(getpid(), Signal::KILL);
        });
        flag
    }

    /// Raises the flag when a signal asks for an end: the batch signal before a time limit (SIGUSR1), or the end of a job
    /// (SIGTERM), after which little time is left.
    ///
    /// # Errors
    /// Those of the system.
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
