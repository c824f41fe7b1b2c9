//! Output other than events.

use std::io::{self, Write};

/// Writes a line to standard error. Write errors are ignored, because there is no other place to report them.
pub fn print_error(message: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(format!("{message}\n").as_bytes());
}

/// Writes a line to standard output.
///
/// # Errors
/// Returns an error if standard output cannot be written, except if its reader has closed it.
pub fn print_line(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
