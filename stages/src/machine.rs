//! Facts of a machine on which measured latencies depend: CPU model, frequency governor and GPU models. Planner and worker use
//! the same functions, because a cache key must contain the facts of the machine that runs the worker.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Folder in which the NVIDIA kernel driver lists its devices. Reading it does not need libtorch.
pub const CUDA_DRIVER: &str = "/proc/driver/nvidia/gpus";

/// Number of bytes of /proc/cpuinfo that include the first CPU. The kernel generates the file while it is read; on a machine
/// with many CPUs, reading all of it takes longer than computing a plan.
const FIRST_CPU_BYTES: u64 = 8 << 10;

/// Returns the entry of the first CPU in /proc/cpuinfo, as lines of `name : value`; empty if it cannot be read.
pub fn first_cpu() -> String {
    let mut text = Vec::new();
    let read = File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_CPU_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let end = text.find("\n\n").unwrap_or(text.len());
    read.map_or_else(|_| String::new(), |_| text[..end].to_owned())
}

/// Returns the value of a field in an entry of /proc/cpuinfo.
pub fn cpu_field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the CPU model; the architecture (`aarch64`) if the kernel reports no model.
pub fn cpu_model() -> String {
    let text = first_cpu();
    let name = cpu_field(&text, "model name").or_else(|| cpu_field(&text, "CPU part"));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Returns the CPU frequency governor; `none` if the kernel has no governor, as in most virtual machines.
pub fn governor() -> String {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    fs::read_to_string(path).map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned())
}

/// Returns the models of the CUDA devices that are listed in the `driver` folder, ordered by bus address.
pub fn cuda_models(driver: &Path) -> Vec<String> {
    let Ok(folders) = fs::read_dir(driver) else { return Vec::new() };
    let mut folders: Vec<_> = folders.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders
        .iter()
        .map(|folder| {
            let text = fs::read_to_string(folder.join("information")).unwrap_or_default();
            let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
            model.map_or("unknown", str::trim).to_owned()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn cuda_models_are_read_in_order_of_bus_addresses() {
        let driver = tempfile::tempdir().unwrap();
        for (bus, model) in [("0000:81:00.0", "B"), ("0000:01:00.0", "A 100")] {
            fs::create_dir(driver.path().join(bus)).unwrap();
            fs::write(driver.path().join(bus).join("information"), format!("Model: \t\t {model}\nIRQ: 4\n")).unwrap();
        }
        assert_eq!(cuda_models(driver.path()), ["A 100", "B"]);
        assert!(cuda_models(&driver.path().join("none")).is_empty());
    }
}
