use std::path::Path;

use serde_json::Value;

use crate::exit_status;
use crate::task_result::TaskFailure;

/// Finds out why the ranks of a job have failed, if rank 0 has only reported `known`.
///
/// Only rank 0 writes events to the files of the attempt. The other ranks write theirs to the job's log, and for a rank
/// that was killed, srun writes how. A rank whose failure has `peer` set only lost contact with another one and is not
/// the cause.
pub fn of_another_rank(log: &Path, known: TaskFailure) -> TaskFailure {
    let lines = exit_status::tail(log);
    let events = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut failures = events.filter(|event| event["event"] == "failed" && event["peer"] != true);
    if let Some(event) = failures.next()
        && let Some(message) = event["message"].as_str()
    {
        let hint = event["hint"].as_str().map(str::to_owned);
        return TaskFailure { hint, ..TaskFailure::new(message) };
    }
    match first_death(&lines) {
        Some(death) => TaskFailure { message: format!("{death}; {}", known.message), ..known },
        None => known,
    }
}

/// Returns the first of the exits that srun reports at the end of a log, such as `srun: error: n2: task 1: Killed`. The
/// later ones are ranks that were killed because of it.
fn first_death(lines: &[String]) -> Option<String> {
    let of_slurm = |line: &&String| line.starts_with("srun: ") || line.starts_with("slurmstepd-");
    let end = lines.iter().rev().take_while(of_slurm);
    let deaths = end.filter_map(|line| {
        let mut parts = line.strip_prefix("srun: error: ")?.splitn(3, ": ");
        let (node, tasks, how) = (parts.next()?, parts.next()?, parts.next()?);
        let ranks = tasks.strip_prefix("task")?;
        Some(format!("rank{ranks} on {node}: {how}"))
    });
    deaths.last()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn found(log: &str) -> (String, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, log).unwrap();
        let failed = of_another_rank(&path, TaskFailure::new("another rank is lost"));
        (failed.message, failed.hint)
    }

    #[test]
    fn the_failure_of_the_causing_rank_is_reported() {
        let log = "OMP: warning\n\
            {\"event\":\"failed\",\"message\":\"rank 2: another libtorch\",\"hint\":\"build it again\"}\n\
            {\"event\":\"failed\",\"message\":\"rank 2 is lost\",\"peer\":true}\nsrun: error: n1: task 1: Exited with exit code 1\n";
        assert_eq!(found(log), ("rank 2: another libtorch".to_owned(), Some("build it again".to_owned())));
        assert_eq!(found(""), ("another rank is lost".to_owned(), None));
    }

    #[test]
    fn a_killed_rank_is_found_in_sruns_messages() {
        let log = "srun: error: n7: task 3: Segmentation fault\nanother submission\nsrun: error: n2: task 1: Killed\n\
            slurmstepd-n1: error: *** STEP 5.0 ON n1 CANCELLED ***\nsrun: error: n1: tasks 0,2: Exited with exit code 130\n\
            srun: Force Terminated StepId=5.0\n";
        assert_eq!(found(log).0, "rank 1 on n2: Killed; another rank is lost");
    }
}
