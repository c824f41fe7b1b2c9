use std::io;
use std::thread::JoinHandle;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Ctrl-C, or a request to end: the work is to end too.
    End,
    /// The terminal is gone: what can go on without a planner is to go on.
    Hangup,
}

/// While it lives, Ctrl-C and a request to end reach `notice` instead of ending this process.
pub struct Interrupts {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interrupts {
    /// Begins to listen; `notice` is called in a thread of its own, once for each signal.
    ///
    /// # Errors
    /// Those of the system, when it refuses a handler.
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
            // It only forwards; a panic there has nothing to tell.
            let _ = thread.join();
        }
    }
}
