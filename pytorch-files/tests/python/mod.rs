//! Finds and runs a Python interpreter for comparison.
#![allow(dead_code, clippy::unwrap_used)]

use std::process::Command;

/// Environment variable with the Python interpreter. Default: `python3`.
const OTHER_PYTHON: &str = "TFNAS_PYTHON";

/// Returns a Python interpreter that can import `module`. Otherwise returns `None` and prints that the test is skipped.
pub fn python_with(module: &str) -> Option<String> {
    let python = std::env::var(OTHER_PYTHON).unwrap_or_else(|_| "python3".to_owned());
    let imports = Command::new(&python).args(["-W", "ignore", "-c", &format!("import {module}")]).output();
    if imports.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("SKIPPED: {python} has no module {module}; set {OTHER_PYTHON} to another interpreter");
    None
}

/// Runs a program, which must succeed, and returns what it prints.
pub fn run(python: &str, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(python).args(["-W", "ignore", "-c", program]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
