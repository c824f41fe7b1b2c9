use std::io;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// What a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT or SIGTERM: stop the run.
    End,
    /// SIGHUP, the terminal was closed: exit, and let detached jobs continue.
    Hangup,
}

/// Signal handlers for SIGINT, SIGTERM and SIGHUP: while this value lives, these signals call `notice` instead of
/// ending the process.
pub struct Interrupts {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interrupts {
    /// Installs the handlers. `notice` is called once per signal, in a separate thread.
    ///
    /// # Errors
    /// Returns an error if a signal handler cannot be installed.
    pub fn listen(notice: impl Fn(Interrupt) + Send + 'static) -> io::Result<Self> {
        let mut signals = Signals::new(ending_signals())?;
        let handle = signals.handle();
        let meaning = |signal| if signal == SIGHUP { Interrupt::Hangup } else { Interrupt::End };
        let thread = std::thread::spawn(move || signals.forever().for_each(|signal| notice(meaning(signal))));
        Ok(Self { handle, thread: Some(thread) })
    }
}

/// Returns SIGINT, SIGTERM and SIGHUP without those that this process ignores: `nohup` and shells start programs with
/// signals that must not end them, and a handler would undo that.
pub fn ending_signals() -> Vec<i32> {
    // Where there is no /proc, no signal is taken for ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| (ignored >> (signal - 1)) & 1 == 0).collect()
}

/// Parses the set of ignored signals: bit 0 is signal 1.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // The thread only forwards signals; there is nothing to report if it panicked.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_parsed_from_the_status_of_a_process() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        assert_eq!(ignored(status), (1 << (SIGHUP - 1)) | (1 << 12));
        assert_eq!(ignored(""), 0);
    }
}
