//! Facts about the CPU, read from the kernel.

use std::collections::BTreeSet;
use std::fs;

use tfnas_stages::machine::{cpu_field as field, first_cpu};

use crate::machine::CpuLimit;

pub use tfnas_stages::machine::{cpu_model as model, governor};

/// Returns the instruction set extensions that numeric code selects kernels by, in alphabetical order.
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

/// Returns the release of the kernel.
pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}

/// Returns the number of CPUs that this process may use according to its affinity and its cgroups; at least 1.
pub fn cores() -> usize {
    CpuLimit::of_process().cores()
}
