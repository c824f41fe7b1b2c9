//! Starts programs.

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

/// Signals 1, 2 and 15: SIGHUP, SIGINT and SIGTERM.
const SIGNALS: u64 = 1 | 1 << 1 | 1 << 14;

/// Returns a command that runs a program with the default actions of SIGHUP, SIGINT and SIGTERM. They may be ignored in this
/// process, if the tests were started with `nohup` or as a background job of a script, and programs inherit that.
pub fn with_default_signals(program: impl AsRef<OsStr>) -> Command {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.map_or(0, |set| u64::from_str_radix(set.trim(), 16).unwrap());
    if ignored & SIGNALS == 0 {
        return Command::new(program);
    }
    // By its path, because tests change PATH.
    let mut command = Command::new("/usr/bin/env");
    command.arg("--default-signal=HUP,INT,TERM").arg(program);
    command
}
