//! The CPU, as the kernel describes it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;

/// Enough of /proc/cpuinfo for the first CPU. The kernel writes the file while it is read: on a machine with many CPUs
/// the whole of it takes longer than a plan.
const FIRST_CPU_BYTES: u64 = 8 << 10;

fn first_cpu() -> String {
    let mut text = Vec::new();
    let read = File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_CPU_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let end = text.find("\n\n").unwrap_or(text.len());
    read.map_or_else(|_| String::new(), |_| text[..end].to_owned())
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the CPU's model.
pub fn model() -> String {
    let text = first_cpu();
    let name = field(&text, "model name").or_else(|| field(&text, "CPU part"));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Returns the instruction sets that numeric code chooses by, in alphabetical order.
pub fn vector_flags() -> Vec<String> {
    let text = first_cpu();
    let flags = field(&text, "flags").or_else(|| field(&text, "Features")).unwrap_or_default();
    let chosen: BTreeSet<_> = flags
        .split_whitespace()
        .filter(|flag| {
            ["sse4", "avx", "fma", "amx", "bf16", "asimd", "sve", "f16c"].iter().any(|of| flag.starts_with(of))
        })
        .map(str::to_owned)
        .collect();
    chosen.into_iter().collect()
}

/// Returns the frequency governor; `none` where the kernel has none, as in most virtual machines.
pub fn governor() -> String {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    fs::read_to_string(path).map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned())
}

/// Returns the release of the kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Returns the number of CPUs that this process may use; at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}
