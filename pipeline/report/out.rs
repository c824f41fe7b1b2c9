//! Standard output, which is reserved for data. Only this module writes to it.
//!
//! A command that cannot write its output still finishes its work. The first error is kept, and [`check`] reports it at
//! the end of the program.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tfnas_humanize::escaped_lines;

use crate::error::CommandError;

/// The first error while writing to standard output.
static FAILURE: OnceLock<std::io::Error> = OnceLock::new();
/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Writes text. Control characters other than line feeds and tabs are escaped. A closed pipe (`| head`) is not an error.
pub fn print(text: &str) {
    print_bytes(escaped_lines(text).as_bytes());
}

/// Writes text for programs: CSV, or JSON, which may contain some control characters. On a terminal they are escaped, as by
/// [`print()`].
pub fn print_data(text: &str) {
    if std::io::stdout().is_terminal() {
        print(text);
    } else {
        print_bytes(text.as_bytes());
    }
}

/// Writes text that contains ANSI escape codes of our own.
pub fn print_styled(text: &str) {
    print_bytes(text.as_bytes());
}

/// Writes bytes, which need not be valid UTF-8.
pub fn print_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    record(stdout.write_all(bytes).and_then(|()| stdout.flush()));
}

/// Writes a value as indented JSON.
pub fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what is printed has text keys and finite numbers");
    print_data(&format!("{text}\n"));
}

/// Writes a value as one line of JSON.
pub fn print_json_line(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("what is printed has text keys and finite numbers");
    print_data(&format!("{text}\n"));
}

/// Keeps an error while writing to standard output for [`check`].
pub fn record(written: std::io::Result<()>) {
    if let Err(error) = written {
        CLOSED.store(true, Ordering::Relaxed);
        if error.kind() != ErrorKind::BrokenPipe {
            let _ = FAILURE.set(error);
        }
    }
}

/// Returns whether a write to standard output has failed, also because of a closed pipe.
pub fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Returns an error if a write to standard output has failed since the program started.
pub fn check() -> Result<(), CommandError> {
    match FAILURE.get() {
        None => Ok(()),
        Some(error) => Err(CommandError::usage(format!("cannot write to standard output: {error}"))
            .with_hint("the output is incomplete; free space or write to another place, and run the command again")),
    }
}
