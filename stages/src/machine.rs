//! Facts of a machine on which measured latencies depend: CPU model, frequency governor and GPU models. Planner and worker use
//! the same functions, because a cache key must contain the facts of the machine that runs the worker.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

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

/// Returns the models of the CUDA devices that this process may use, in the order of `cuda:0`, `cuda:1`, …
///
/// CUDA numbers the devices by bus address only if `CUDA_DEVICE_ORDER` is `PCI_BUS_ID`, which the environment of workers sets.
pub fn cuda_models() -> Vec<String> {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    visible_models(&listed_gpus(Path::new(CUDA_DRIVER)), visible.as_deref())
}

/// A GPU that the driver lists.
struct Gpu {
    model: String,
    uuid: String,
}

/// Returns the GPUs that are listed in the `driver` folder, ordered by bus address.
fn listed_gpus(driver: &Path) -> Vec<Gpu> {
    let Ok(folders) = fs::read_dir(driver) else { return Vec::new() };
    let mut folders: Vec<_> = folders.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let gpu = |folder: &PathBuf| {
        let text = fs::read_to_string(folder.join("information")).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map_or("unknown", str::trim);
        Gpu { model: field("Model:").to_owned(), uuid: field("GPU UUID:").to_owned() }
    };
    folders.iter().map(gpu).collect()
}

/// Returns the models of the GPUs that `CUDA_VISIBLE_DEVICES` selects, in its order: numbers, or beginnings of UUIDs. As in CUDA,
/// an invalid entry ends the list.
fn visible_models(gpus: &[Gpu], visible: Option<&str>) -> Vec<String> {
    let Some(visible) = visible else { return gpus.iter().map(|gpu| gpu.model.clone()).collect() };
    let find = |entry: &str| {
        let entry = entry.trim();
        if let Ok(index) = entry.parse::<usize>() {
            return gpus.get(index).map(|gpu| gpu.model.clone());
        }
        match entry.starts_with("MIG-") {
            // A part of a GPU; the driver's folder does not say of which.
            true => Some("unknown".to_owned()),
            false => {
                gpus.iter().find(|gpu| !entry.is_empty() && gpu.uuid.starts_with(entry)).map(|gpu| gpu.model.clone())
            }
        }
    };
    visible.split(',').map_while(find).collect()
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
        assert_eq!(visible_models(&listed_gpus(driver.path()), None), ["A 100", "B"]);
        assert!(listed_gpus(&driver.path().join("none")).is_empty());
    }

    #[test]
    fn hidden_devices_are_not_counted() {
        let gpu = |model: &str, uuid: &str| Gpu { model: model.to_owned(), uuid: uuid.to_owned() };
        let gpus = [gpu("A", "GPU-1a2b"), gpu("B", "GPU-3c4d"), gpu("C", "GPU-5e6f")];
        for (visible, expected) in [
            ("", vec![]),
            ("-1", vec![]),
            ("NoDevFiles", vec![]),
            ("2", vec!["C"]),
            ("1, 0", vec!["B", "A"]),
            ("1,7,0", vec!["B"]),
            ("GPU-5e,0", vec!["C", "A"]),
            ("MIG-9", vec!["unknown"]),
        ] {
            assert_eq!(visible_models(&gpus, Some(visible)), expected, "{visible}");
        }
    }
}
