//! The peak memory of this process.

use std::fs;

/// Returns the peak resident set size of this process so far, in bytes. Returns `None` on systems without `/proc`.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches("kB").trim_end().parse().unwrap();
    Some(peak_kib << 10)
}
