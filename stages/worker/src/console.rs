//! Lines for people and for the planner, apart from events.

use std::io::{self, Write};

/// Writes a line to standard error. What cannot be written there is lost: there is no other place to report it.
pub fn complain(message: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(format!("{message}\n").as_bytes());
}

/// Writes a line to standard output.
///
/// # Errors
/// Returns an error if standard output cannot be written. A reader that has gone away is not an error.
pub fn print_line(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
