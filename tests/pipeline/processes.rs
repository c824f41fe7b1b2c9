//! Lists and signals processes.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Returns the worker processes of a project: those in its folder that were started for a job. Zombies are not
/// included, because they have no working directory.
pub fn workers(folder: &Path) -> Vec<u32> {
    processes(folder, b".job.json\0")
}

/// Returns the workers of a project that are ranks above 0.
pub fn other_ranks(folder: &Path) -> Vec<u32> {
    processes(folder, b"\0join\0")
}

/// Returns the processes in a folder whose zero-terminated argument list ends with `ending`.
fn processes(folder: &Path, ending: &[u8]) -> Vec<u32> {
    let folder = fs::canonicalize(folder).unwrap();
    let is_one = |pid: &u32| {
        let is_in_folder = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|current| current == folder);
        is_in_folder && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(ending))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_one).collect()
}

/// Sends a signal to a process, which may have exited already.
pub fn send(signal: Signal, pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    let _ = kill_process(pid, signal);
}
