use std::collections::BTreeMap;

/// Facts of this process that the planner cannot know, for its record of the environment.
pub fn record(threads: usize) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    facts.insert("worker_threads".to_owned(), threads.to_string());
    facts.insert("cuda_devices".to_owned(), tch::Cuda::device_count().to_string());
    facts.insert("cudnn".to_owned(), tch::Cuda::cudnn_is_available().to_string());
    facts
}

/// The CPU's name, as the system gives it.
pub fn cpu_model() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = facts.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}
