use std::path::Path;
use std::time::Duration;

use tfnas_stages::{Config, SlurmRequest, Stage, Submission};

/// MiB, the unit of sbatch, in a GiB.
const MIB_IN_GIB: f64 = 1024.0;

/// How an instance is queued.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Resources that the job requests.
    pub request: SlurmRequest,
    /// Time between two polls of the controller.
    pub poll: Duration,
    /// The declared model of the device whose latency is measured; `None` if the stage does not measure latency.
    pub device_model: Option<String>,
    /// The declared frequency governor of the CPU.
    pub governor: String,
}

impl Queue {
    /// Returns how an instance of `stage` is queued. `measures` is whether it measures latency.
    pub fn new(config: &Config, stage: Stage, measures: bool) -> Self {
        let section = &config.slurm;
        Self {
            request: config.slurm_request(stage),
            poll: Duration::try_from_secs_f64(section.poll_s).unwrap_or(Duration::from_secs(30)),
            device_model: section.device_model.clone().filter(|_| measures),
            governor: section.governor.clone(),
        }
    }

    /// Returns the arguments of sbatch, except the script.
    ///
    /// * `threads`: computing threads of a task.
    /// * `cuda`: whether the device is a GPU.
    pub fn arguments(&self, submission: &Submission, log: &Path, threads: usize, cuda: bool) -> Vec<String> {
        let SlurmRequest {
            partition,
            account,
            qos,
            time_min,
            cores,
            memory_gib,
            gpus,
            nodes,
            ranks_per_node,
            sbatch,
            warn_s,
        } = &self.request;
        let mut arguments = vec![
            "--parsable".to_owned(),
            format!("--job-name={}", submission.name),
            format!("--output={}", pattern(log)),
            "--open-mode=append".to_owned(),
            // A requeued job resumes from the resume point and keeps its job number.
            "--requeue".to_owned(),
            format!("--signal=B:USR1@{warn_s}"),
            format!("--nodes={nodes}"),
            format!("--ntasks-per-node={ranks_per_node}"),
            format!("--cpus-per-task={}", cores.unwrap_or(threads)),
        ];
        let gpus = gpus.unwrap_or(if cuda { *ranks_per_node } else { 0 });
        let more = [
            partition.as_ref().map(|partition| format!("--partition={partition}")),
            account.as_ref().map(|account| format!("--account={account}")),
            qos.as_ref().map(|qos| format!("--qos={qos}")),
            time_min.map(|minutes| format!("--time={minutes}")),
            memory_gib.map(|gib| format!("--mem={}M", (gib * MIB_IN_GIB).ceil() as u64)),
            (gpus > 0).then(|| format!("--gpus-per-node={gpus}")),
            // Latency must be measured on a node without other jobs.
            self.device_model.as_ref().map(|_| "--exclusive".to_owned()),
        ];
        arguments.extend(more.into_iter().flatten());
        arguments.extend(sbatch.iter().cloned());
        arguments
    }
}

/// Returns the job name of a submission of an attempt.
pub fn name(id: &str, attempt: &str, number: u32) -> String {
    // squeue accepts several names separated by commas, so commas must not appear in a name.
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "@.=_-".contains(letter) { letter } else { '_' };
    let id: String = id.chars().map(plain).collect();
    format!("{id}.{attempt}.{number}")
}

/// Escapes a path as a filename pattern of sbatch, in which `%` starts a replacement symbol.
fn pattern(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn arguments(section: serde_json::Value, stage: Stage, measures: bool, cuda: bool) -> String {
        let config = serde_json::json!({ "data": { "root": "x" }, "slurm": section });
        let config: Config = serde_json::from_value(config).unwrap();
        let submission = Submission { number: 1, name: name("train@12,lr=1", "0f", 1), ..Submission::default() };
        Queue::new(&config, stage, measures).arguments(&submission, Path::new("/s/100%/a.log"), 4, cuda).join(" ")
    }

    #[test]
    fn the_configuration_becomes_arguments_of_sbatch() {
        let plain = arguments(serde_json::json!({}), Stage::Search, false, false);
        assert_eq!(
            plain,
            "--parsable --job-name=train@12_lr=1.0f.1 --output=/s/100%%/a.log --open-mode=append --requeue \
             --signal=B:USR1@120 --nodes=1 --ntasks-per-node=1 --cpus-per-task=4"
        );
        let section = serde_json::json!({
            "partition": "gpu", "account": "us", "qos": "high", "time_min": 90, "cores": 8, "memory_gib": 1.5,
            "nodes": 2, "ranks_per_node": 4, "sbatch": ["--constraint=a100"], "warn_s": 60, "device_model": "A100",
        });
        let all = arguments(section.clone(), Stage::Train, false, true);
        assert!(
            all.ends_with(
                "--signal=B:USR1@60 --nodes=2 --ntasks-per-node=4 --cpus-per-task=8 --partition=gpu --account=us \
                 --qos=high --time=90 --mem=1536M --gpus-per-node=4 --constraint=a100"
            ),
            "{all}"
        );
        let measuring = arguments(section, Stage::Lookup, true, true);
        assert!(measuring.contains("--nodes=1") && measuring.contains("--exclusive"), "{measuring}");
    }
}
