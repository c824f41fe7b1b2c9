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
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let handle = signals.handle();
        let meaning = |signal| if signal == SIGHUP { Interrupt::Hangup } else { Interrupt::End };
        let thread = std::thread::spawn(move || signals.forever().for_each(|signal| notice(meaning(signal))));
        Ok(Self { handle, thread: Some(thread) })
    }
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
