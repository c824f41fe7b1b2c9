//! Describes how a worker exited.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use signal_hook::consts::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGTERM, SIGXCPU};
use tfnas_humanize as humanize;

/// Number of log lines that a failure report shows.
const TAIL_LINES: usize = 20;
/// Number of bytes at the end of the log in which these lines are searched for.
const TAIL_BYTES: u64 = 16 << 10;

/// Describes the exit of a worker that has not sent `done`.
///
/// * `killed_for_memory`: whether the kernel has killed a process of this container for lack of memory.
/// * `peak_bytes`: the worker's maximum resident set size.
pub fn describe(status: ExitStatus, killed_for_memory: bool, peak_bytes: Option<u64>) -> String {
    let peak = peak_bytes.map(|bytes| format!(" (it held {} at most)", humanize::bytes(bytes))).unwrap_or_default();
    let Some(signal) = status.signal() else {
        let code = status.code().unwrap_or_default();
        return format!("the worker failed with exit code {code} and no error message");
    };
    match signal {
        SIGKILL if killed_for_memory => format!("the worker was killed by the kernel for lack of memory{peak}"),
        SIGKILL => format!("the worker was killed (SIGKILL), perhaps by the kernel for lack of memory{peak}"),
        SIGSEGV => format!("the worker crashed: segmentation fault (SIGSEGV){peak}"),
        SIGBUS => {
            format!("the worker crashed: bus error (SIGBUS), as when a mapped file is cut or a disk is full{peak}")
        }
        SIGABRT => {
            format!("the worker aborted (SIGABRT), as on an uncaught C++ exception or a failed allocation{peak}")
        }
        SIGILL => "the worker executed an instruction that this CPU does not support (SIGILL)".to_owned(),
        SIGFPE => "the worker crashed: arithmetic error (SIGFPE)".to_owned(),
        SIGTERM => "the worker received SIGTERM".to_owned(),
        SIGXCPU => "the worker used up its CPU time (SIGXCPU)".to_owned(),
        other => match signal_hook::low_level::signal_name(other) {
            Some(name) => format!("the worker was ended by the signal {name}"),
            None => format!("the worker was ended by the signal {other}"),
        },
    }
}

/// Counts how often the kernel kills a process of this container for lack of memory.
pub struct OomMonitor {
    events: Option<PathBuf>,
    before: u64,
}

impl OomMonitor {
    /// Records the current count.
    pub fn watch() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let events = groups.lines().find_map(|line| {
            let group = line.strip_prefix("0::/")?;
            let file = Path::new("/sys/fs/cgroup").join(group).join("memory.events");
            file.exists().then_some(file)
        });
        let before = events.as_deref().map_or(0, count);
        Self { events, before }
    }

    /// Returns whether a process has been killed since [`watch`](Self::watch).
    pub fn happened(&self) -> bool {
        self.events.as_deref().map_or(0, count) > self.before
    }
}

fn count(events: &Path) -> u64 {
    let text = fs::read_to_string(events).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).unwrap_or(0)
}

/// Returns the last lines of a log file.
pub fn tail(log: &Path) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_description_names_the_signal() {
        assert!(describe(ExitStatus::from_raw(9), false, None).contains("perhaps by the kernel for lack of memory"));
        assert!(describe(ExitStatus::from_raw(9), true, Some(3 << 30)).contains("3.0 GiB"));
        assert!(describe(ExitStatus::from_raw(11), false, None).contains("segmentation fault"));
        assert!(describe(ExitStatus::from_raw(3 << 8), false, None).contains("exit code 3"));
    }

    #[test]
    fn tail_returns_the_last_lines_of_a_long_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("a.log");
        let text: String = (0..10_000).map(|line| format!("line {line}\n")).collect();
        fs::write(&log, text).unwrap();
        let tail = tail(&log);
        assert_eq!((tail.len(), tail[19].as_str()), (20, "line 9999"));
        assert!(super::tail(&folder.path().join("none")).is_empty());
    }
}
