//! Standard output, which holds data: the only place that writes there.

use std::io::Write;

use serde::Serialize;

/// Writes text. A reader that has gone away (`| head`) is no error.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes a value as indented JSON.
pub fn print_json(value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).expect("what is printed has text keys and finite numbers");
    print(&format!("{text}\n"));
}

/// Writes a value as one line of JSON.
pub fn print_json_line(value: &impl Serialize) {
    let text = serde_json::to_string(value).expect("what is printed has text keys and finite numbers");
    print(&format!("{text}\n"));
}
