use tfnas_stages::{Metrics, WorkerState};

use crate::exit_status;
use crate::slurm::state::{End, QueueState};
use crate::task_result::TaskFailure;

/// How a job ended, or what to do about it.
#[derive(Clone, Debug, PartialEq)]
pub enum JobOutcome {
    /// It has succeeded.
    Done(Metrics),
    /// It has failed.
    Failed(TaskFailure),
    /// It was stopped by the user.
    Interrupted,
    /// It has ended early, for this reason, and must be submitted again.
    Resubmit(String),
}

/// An outcome, and whether it follows from the worker's status. If it does not, it may be premature: files that the
/// worker has written on another node may not be visible here yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub outcome: JobOutcome,
    /// Whether the outcome follows from the worker's status.
    pub confirmed: bool,
}

/// Decides how a job ended. Returns `None` while it may continue. The worker's status takes precedence over the
/// controller's.
///
/// * `status`: the status of the worker of this submission; `None` before it has started.
/// * `state`: the last reply of the controller; `None` before the first reply.
/// * `stopping`: whether the user has requested a stop.
pub fn decide(job: &str, status: Option<&WorkerState>, state: Option<&QueueState>, stopping: bool) -> Option<Decision> {
    let confirmed = |outcome| Some(Decision { outcome, confirmed: true });
    let probable = |outcome| Some(Decision { outcome, confirmed: false });
    match (status, state) {
        (Some(WorkerState::Done { metrics }), _) => confirmed(JobOutcome::Done(metrics.clone())),
        (Some(WorkerState::Failed { message, hint }), _) => {
            confirmed(JobOutcome::Failed(TaskFailure { hint: hint.clone(), ..TaskFailure::new(message) }))
        }
        (Some(WorkerState::Interrupted { .. }), _) if stopping => confirmed(JobOutcome::Interrupted),
        // Slurm may be about to restart the job, until the controller reports that it has ended.
        (_, None | Some(QueueState::Waiting { .. } | QueueState::Active)) => None,
        (Some(WorkerState::Interrupted { error }), Some(state)) => confirmed(interrupted(job, error.as_deref(), state)),
        (None, Some(_)) if stopping => confirmed(JobOutcome::Interrupted),
        (_, Some(_)) if stopping => probable(JobOutcome::Interrupted),
        (Some(WorkerState::Running), Some(QueueState::Gone)) => probable(JobOutcome::Resubmit(format!(
            "Slurm no longer knows job {job}, and its worker has not written a final status"
        ))),
        (None, Some(QueueState::Gone)) => {
            probable(JobOutcome::Resubmit(format!("Slurm no longer knows job {job}, and no worker has started")))
        }
        (_, Some(QueueState::Ended(end))) => probable(ended(job, end)),
    }
}

/// Decides about a job that has ended and whose worker was stopped by a signal and exited in order.
fn interrupted(job: &str, error: Option<&str>, state: &QueueState) -> JobOutcome {
    let state = match state {
        QueueState::Ended(end) => end.state.as_str(),
        _ => "",
    };
    match (state, error) {
        ("CANCELLED", _) => canceled(job),
        // A rank that fails by itself takes the others down, by a signal or by disappearing.
        ("FAILED", Some(error)) => JobOutcome::Failed(TaskFailure::new(error)),
        ("TIMEOUT" | "DEADLINE", _) => JobOutcome::Resubmit(format!("job {job} ran into its time limit")),
        ("PREEMPTED", _) => JobOutcome::Resubmit(format!("job {job} was preempted")),
        ("NODE_FAIL", _) => JobOutcome::Resubmit(format!("a node of job {job} failed")),
        (_, Some(error)) => JobOutcome::Resubmit(format!("job {job} has ended ({error})")),
        (_, None) => JobOutcome::Resubmit(format!("job {job} was asked to stop, for example before its time limit")),
    }
}

fn canceled(job: &str) -> JobOutcome {
    let hint = "the next run submits it again and resumes from its resume point".to_owned();
    JobOutcome::Failed(TaskFailure { hint: Some(hint), ..TaskFailure::new(format!("job {job} was canceled")) })
}

/// Decides about a job that has ended without a final status of its worker.
fn ended(job: &str, end: &End) -> JobOutcome {
    let End { state, reason, status } = end;
    let failed = |message: String, hint: Option<&str>| {
        JobOutcome::Failed(TaskFailure { hint: hint.map(str::to_owned), ..TaskFailure::new(message) })
    };
    match state.as_str() {
        "TIMEOUT" | "DEADLINE" => JobOutcome::Resubmit(format!("job {job} ran into its time limit")),
        "PREEMPTED" => JobOutcome::Resubmit(format!("job {job} was preempted")),
        "NODE_FAIL" | "BOOT_FAIL" | "REVOKED" => JobOutcome::Resubmit(format!("a node of job {job} failed ({state})")),
        "CANCELLED" => canceled(job),
        "OUT_OF_MEMORY" => {
            let hint = "request more: slurm.memory_gib, or slurm.stages.STAGE.memory_gib";
            failed(format!("job {job} used more memory than it requested"), Some(hint))
        }
        "COMPLETED" => {
            let hint = "the store must be on a file system that this machine shares with the nodes";
            failed(format!("job {job} ended, but its worker did not report success"), Some(hint))
        }
        _ => {
            let reason = if reason.is_empty() || reason == "None" { String::new() } else { format!(", {reason}") };
            let death = exit_status::describe(*status, false, None);
            failed(format!("job {job} has ended ({state}{reason}): {death}"), None)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn queue_state(state: &str, status: i32) -> QueueState {
        QueueState::read(&format!("{state} {status} None")).unwrap()
    }

    fn decided(status: Option<&WorkerState>, state: Option<&QueueState>) -> Decision {
        decide("7", status, state, false).unwrap()
    }

    const INTERRUPTED: WorkerState = WorkerState::Interrupted { error: None };

    #[test]
    fn the_workers_status_takes_precedence() {
        let done = WorkerState::Done { metrics: Metrics::new() };
        for seen in [None, Some(queue_state("RUNNING", 0)), Some(queue_state("CANCELLED", 15)), Some(QueueState::Gone)]
        {
            let found = decided(Some(&done), seen.as_ref());
            assert_eq!(found, Decision { outcome: JobOutcome::Done(Metrics::new()), confirmed: true });
        }
        let failed = WorkerState::Failed { message: "odd".to_owned(), hint: None };
        let found = decided(Some(&failed), Some(&queue_state("TIMEOUT", 0)));
        assert!(matches!(found.outcome, JobOutcome::Failed(failed) if failed.message == "odd"));
    }

    #[test]
    fn a_job_that_may_continue_is_waited_for() {
        for state in ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"] {
            for status in [None, Some(&WorkerState::Running), Some(&INTERRUPTED)] {
                assert_eq!(decide("7", status, Some(&queue_state(state, 0)), false), None, "{state}");
            }
        }
        assert_eq!(decide("7", None, None, false), None);
    }

    #[test]
    fn a_job_that_ended_early_is_submitted_again() {
        for state in ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"] {
            for status in [None, Some(&WorkerState::Running), Some(&INTERRUPTED)] {
                assert!(
                    matches!(decided(status, Some(&queue_state(state, 0))).outcome, JobOutcome::Resubmit(_)),
                    "{state}"
                );
            }
        }
        // After the warning before the time limit the worker exits by itself, which the controller reports as a
        // failure.
        assert!(matches!(
            decided(Some(&INTERRUPTED), Some(&queue_state("FAILED", 33280))).outcome,
            JobOutcome::Resubmit(_)
        ));
        assert!(matches!(decided(Some(&INTERRUPTED), Some(&QueueState::Gone)).outcome, JobOutcome::Resubmit(_)));
        assert!(matches!(
            decided(Some(&WorkerState::Running), Some(&QueueState::Gone)).outcome,
            JobOutcome::Resubmit(_)
        ));
    }

    #[test]
    fn a_permanent_error_is_a_failure_with_slurms_reason() {
        let message =
            |worker: Option<&WorkerState>, state: &str, code| match decided(worker, Some(&queue_state(state, code)))
                .outcome
            {
                JobOutcome::Failed(failed) => format!("{} {}", failed.message, failed.hint.unwrap_or_default()),
                other => panic!("{state}: {other:?}"),
            };
        assert!(message(Some(&WorkerState::Running), "OUT_OF_MEMORY", 9).contains("slurm.memory_gib"));
        assert!(message(Some(&WorkerState::Running), "FAILED", 9).contains("SIGKILL"));
        assert!(message(None, "FAILED", 127 << 8).contains("exit code 127"));
        assert!(message(None, "COMPLETED", 0).contains("file system"));
        assert!(message(Some(&INTERRUPTED), "CANCELLED", 0).contains("was canceled"));
        let lost = WorkerState::Interrupted { error: Some("rank 1 is gone".to_owned()) };
        assert!(message(Some(&lost), "FAILED", 1 << 8).contains("rank 1 is gone"));
    }

    #[test]
    fn a_job_stopped_by_the_user_is_interrupted() {
        for (status, seen) in
            [(Some(&INTERRUPTED), "FAILED"), (None, "CANCELLED"), (Some(&WorkerState::Running), "TIMEOUT")]
        {
            let found = decide("7", status, Some(&queue_state(seen, 0)), true).unwrap();
            assert_eq!(found.outcome, JobOutcome::Interrupted, "{seen}");
        }
        assert_eq!(decide("7", Some(&WorkerState::Running), Some(&queue_state("RUNNING", 0)), true), None);
    }

    #[test]
    fn only_the_workers_status_confirms_an_outcome() {
        assert!(!decided(Some(&WorkerState::Running), Some(&queue_state("COMPLETED", 0))).confirmed);
        assert!(!decided(None, Some(&QueueState::Gone)).confirmed);
        assert!(decided(Some(&INTERRUPTED), Some(&queue_state("TIMEOUT", 0))).confirmed);
    }
}
