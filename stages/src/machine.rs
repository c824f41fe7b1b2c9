//! What a latency belongs to, in words that planner and worker share: both say them of their own machine, and a key that
//! names a machine must name that of the worker.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Where the kernel's driver lists the CUDA devices; no libtorch is needed to read it.
pub const CUDA_DRIVER: &str = "/proc/driver/nvidia/gpus";

/// Enough of /proc/cpuinfo for the first CPU. The kernel writes the file while it is read: on a machine with many CPUs
/// the whole of it takes longer than a plan.
const FIRST_CPU_BYTES: u64 = 8 << 10;

/// Returns what the kernel says of the first CPU, as lines of `name : value`.
pub fn first_cpu() -> String {
    let mut text = Vec::new();
    let read = File::open("/proc/cpuinfo").and_then(|file| file.take(FIRST_CPU_BYTES).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let end = text.find("\n\n").unwrap_or(text.len());
    read.map_or_else(|_| String::new(), |_| text[..end].to_owned())
}

/// Returns the value of that name in what the kernel says of a CPU.
pub fn cpu_field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Returns the CPU's model.
pub fn cpu_model() -> String {
    let text = first_cpu();
    let name = cpu_field(&text, "model name").or_else(|| cpu_field(&text, "CPU part"));
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Returns the frequency governor; `none` where the kernel has none, as in most virtual machines.
pub fn governor() -> String {
    let path = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    fs::read_to_string(path).map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned())
}

/// Returns the models of the CUDA devices that the driver's folder lists, in order of their bus addresses.
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
    fn the_driver_names_the_models_of_its_devices() {
        let driver = tempfile::tempdir().unwrap();
        for (bus, model) in [("0000:81:00.0", "B"), ("0000:01:00.0", "A 100")] {
            fs::create_dir(driver.path().join(bus)).unwrap();
            fs::write(driver.path().join(bus).join("information"), format!("Model: \t\t {model}\nIRQ: 4\n")).unwrap();
        }
        assert_eq!(cuda_models(driver.path()), ["A 100", "B"]);
        assert!(cuda_models(&driver.path().join("none")).is_empty());
    }
}
