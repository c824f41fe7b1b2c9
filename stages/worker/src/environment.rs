//! Facts of the worker's process and machine, for the environment record of an attempt.

use std::collections::BTreeMap;
use std::fs;

use tch::Device;
use tfnas_stages::{LIBTORCH_FILE, machine};

/// Returns facts of this process for the environment record, which the planner cannot determine itself.
pub fn process_facts(threads: usize) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    facts.insert("worker_threads".to_owned(), threads.to_string());
    facts.insert("cuda_devices".to_owned(), tch::Cuda::device_count().to_string());
    facts.insert("cudnn".to_owned(), tch::Cuda::cudnn_is_available().to_string());
    facts.extend(libtorch_file().map(|file| (LIBTORCH_FILE.to_owned(), file)));
    facts
}

/// Returns facts of this machine, for a planner on another machine. `device` is `cpu` or `cuda:N`.
pub fn machine_facts(device: &str) -> BTreeMap<String, String> {
    let cuda = device.strip_prefix("cuda:").and_then(|index| index.parse().ok());
    let device_model = device_model(cuda.map_or(Device::Cpu, Device::Cuda));
    let facts =
        [("device_model", device_model), ("cpu_model", machine::cpu_model()), ("governor", machine::governor())];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the model of a device; `unknown` if the driver does not report it.
pub fn device_model(device: Device) -> String {
    let Device::Cuda(index) = device else { return machine::cpu_model() };
    machine::cuda_models().into_iter().nth(index).unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the path of the libtorch library that this process has loaded.
fn libtorch_file() -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    // The path is the sixth field, and may contain spaces.
    let mut files = maps.lines().filter_map(|line| line.find('/').map(|start| &line[start..]));
    files.find(|file| file.ends_with("/libtorch_cpu.so")).map(str::to_owned)
}
