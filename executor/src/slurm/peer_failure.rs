use std::path::Path;

use serde_json::Value;

use crate::exit_status;
use crate::task_result::TaskFailure;

/// Returns why the ranks of a job have failed, where rank 0 knows no more than `known`.
///
/// Only rank 0 keeps its words in the attempt's files: the others say theirs in the job's log, and of one that died without
/// a word srun says there how. A rank that knows no more than that another one is lost is not to blame.
pub fn of_another_rank(log: &Path, known: TaskFailure) -> TaskFailure {
    let lines = exit_status::tail(log);
    let said = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut failures = said.filter(|event| event["event"] == "failed" && event["peer"] != true);
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

/// Reads the first of the deaths that srun tells at the end of a log, as `srun: error: n2: task 1: Killed`; those after it
/// are of the ranks that are ended with it.
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
    fn the_rank_that_is_to_blame_is_heard() {
        let log = "OMP: warning\n\
            {\"event\":\"failed\",\"message\":\"rank 2: another libtorch\",\"hint\":\"build it again\"}\n\
            {\"event\":\"failed\",\"message\":\"rank 2 is lost\",\"peer\":true}\nsrun: error: n1: task 1: Exited with exit code 1\n";
        assert_eq!(found(log), ("rank 2: another libtorch".to_owned(), Some("build it again".to_owned())));
        assert_eq!(found(""), ("another rank is lost".to_owned(), None));
    }

    #[test]
    fn a_rank_that_died_without_a_word_is_named_by_srun() {
        let log = "srun: error: n7: task 3: Segmentation fault\nanother submission\nsrun: error: n2: task 1: Killed\n\
            slurmstepd-n1: error: *** STEP 5.0 ON n1 CANCELLED ***\nsrun: error: n1: tasks 0,2: Exited with exit code 130\n\
            srun: Force Terminated StepId=5.0\n";
        assert_eq!(found(log).0, "rank 1 on n2: Killed; another rank is lost");
    }
}
