use tfnas_stages::{Metrics, TurnState};

use crate::execute::death;
use crate::execute::happening::Failed;
use crate::execute::slurm::state::{End, Sight};

/// What is to be done about a job, by what its worker and the controller say.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Its outputs are there.
    Done(Metrics),
    /// It has no result.
    Failed(Failed),
    /// It ended because the user wanted it to.
    Interrupted,
    /// It ended before its time: it is to be submitted again, for this reason.
    Again(String),
}

/// A judgement, and whether it rests on the worker's last word. One that does not may be too early: what the worker has
/// written on another machine may not be seen here yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The judgement.
    pub judgement: Judgement,
    /// Whether the worker's word is the ground.
    pub certain: bool,
}

/// Weighs the worker's last word against the controller's; none while the job may go on.
///
/// * `word`: that of this submission's worker; none before its first.
/// * `sight`: the controller's last answer; none before its first.
/// * `stopping`: whether the user wants the job to end.
pub fn judge(job: &str, word: Option<&TurnState>, sight: Option<&Sight>, stopping: bool) -> Option<Verdict> {
    let certain = |judgement| Some(Verdict { judgement, certain: true });
    let probable = |judgement| Some(Verdict { judgement, certain: false });
    match (word, sight) {
        (Some(TurnState::Done { metrics }), _) => certain(Judgement::Done(metrics.clone())),
        (Some(TurnState::Failed { message, hint }), _) => {
            certain(Judgement::Failed(Failed { hint: hint.clone(), ..Failed::new(message) }))
        }
        (Some(TurnState::Interrupted { .. }), _) if stopping => certain(Judgement::Interrupted),
        // Until the controller says so, it may be about to begin again.
        (_, None | Some(Sight::Waiting { .. } | Sight::Active)) => None,
        (Some(TurnState::Interrupted { error }), Some(sight)) => certain(interrupted(job, error.as_deref(), sight)),
        (None, Some(_)) if stopping => certain(Judgement::Interrupted),
        (_, Some(_)) if stopping => probable(Judgement::Interrupted),
        (Some(TurnState::Running), Some(Sight::Gone)) => probable(Judgement::Again(format!(
            "the cluster knows job {job} no more, and its worker has left no last word"
        ))),
        (None, Some(Sight::Gone)) => {
            probable(Judgement::Again(format!("the cluster knows job {job} no more, and no worker has begun")))
        }
        (_, Some(Sight::Ended(end))) => probable(ended(job, end)),
    }
}

/// A worker that a signal has ended, in an orderly way, and a job that is over.
fn interrupted(job: &str, error: Option<&str>, sight: &Sight) -> Judgement {
    let state = match sight {
        Sight::Ended(end) => end.state.as_str(),
        _ => "",
    };
    match (state, error) {
        ("CANCELLED", _) => cancelled(job),
        // A rank that fails by itself ends the others by a signal, or by being gone.
        ("FAILED", Some(error)) => Judgement::Failed(Failed::new(error)),
        ("TIMEOUT" | "DEADLINE", _) => Judgement::Again(format!("job {job} ran into its time limit")),
        ("PREEMPTED", _) => Judgement::Again(format!("job {job} was preempted")),
        ("NODE_FAIL", _) => Judgement::Again(format!("a node of job {job} failed")),
        (_, Some(error)) => Judgement::Again(format!("job {job} has ended ({error})")),
        (_, None) => Judgement::Again(format!("job {job} was told to end, as before its time limit")),
    }
}

fn cancelled(job: &str) -> Judgement {
    let hint = "the next run submits it anew, from its resume point".to_owned();
    Judgement::Failed(Failed { hint: Some(hint), ..Failed::new(format!("job {job} was cancelled")) })
}

/// A job that is over, without a last word of its worker.
fn ended(job: &str, end: &End) -> Judgement {
    let End { state, reason, status } = end;
    let failed = |message: String, hint: Option<&str>| {
        Judgement::Failed(Failed { hint: hint.map(str::to_owned), ..Failed::new(message) })
    };
    match state.as_str() {
        "TIMEOUT" | "DEADLINE" => Judgement::Again(format!("job {job} ran into its time limit")),
        "PREEMPTED" => Judgement::Again(format!("job {job} was preempted")),
        "NODE_FAIL" | "BOOT_FAIL" | "REVOKED" => Judgement::Again(format!("a node of job {job} failed ({state})")),
        "CANCELLED" => cancelled(job),
        "OUT_OF_MEMORY" => {
            let hint = "ask for more: slurm.memory_gib, or slurm.stages.STAGE.memory_gib";
            failed(format!("job {job} used more memory than it had asked for"), Some(hint))
        }
        "COMPLETED" => {
            let hint = "the store must lie on a file system that this machine and the nodes share";
            failed(format!("job {job} has ended, and its worker has not said that it was done"), Some(hint))
        }
        _ => {
            let reason = if reason.is_empty() || reason == "None" { String::new() } else { format!(", {reason}") };
            let death = death::describe(*status, false, None);
            failed(format!("job {job} has ended ({state}{reason}): {death}"), None)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn sight(state: &str, status: i32) -> Sight {
        Sight::read(&format!("{state} {status} None")).unwrap()
    }

    fn verdict(word: Option<&TurnState>, sight: Option<&Sight>) -> Verdict {
        judge("7", word, sight, false).unwrap()
    }

    const INTERRUPTED: TurnState = TurnState::Interrupted { error: None };

    #[test]
    fn the_workers_word_goes_before_the_controllers() {
        let done = TurnState::Done { metrics: Metrics::new() };
        for seen in [None, Some(sight("RUNNING", 0)), Some(sight("CANCELLED", 15)), Some(Sight::Gone)] {
            let found = verdict(Some(&done), seen.as_ref());
            assert_eq!(found, Verdict { judgement: Judgement::Done(Metrics::new()), certain: true });
        }
        let failed = TurnState::Failed { message: "odd".to_owned(), hint: None };
        let found = verdict(Some(&failed), Some(&sight("TIMEOUT", 0)));
        assert!(matches!(found.judgement, Judgement::Failed(failed) if failed.message == "odd"));
    }

    #[test]
    fn what_may_go_on_is_waited_for() {
        for state in ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED"] {
            for word in [None, Some(&TurnState::Running), Some(&INTERRUPTED)] {
                assert_eq!(judge("7", word, Some(&sight(state, 0)), false), None, "{state}");
            }
        }
        assert_eq!(judge("7", None, None, false), None);
    }

    #[test]
    fn what_ended_before_its_time_is_submitted_again() {
        for state in ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL"] {
            for word in [None, Some(&TurnState::Running), Some(&INTERRUPTED)] {
                assert!(matches!(verdict(word, Some(&sight(state, 0))).judgement, Judgement::Again(_)), "{state}");
            }
        }
        // The batch signal before the limit: the worker ends by itself, which the controller calls a failure.
        assert!(matches!(verdict(Some(&INTERRUPTED), Some(&sight("FAILED", 33280))).judgement, Judgement::Again(_)));
        assert!(matches!(verdict(Some(&INTERRUPTED), Some(&Sight::Gone)).judgement, Judgement::Again(_)));
        assert!(matches!(verdict(Some(&TurnState::Running), Some(&Sight::Gone)).judgement, Judgement::Again(_)));
    }

    #[test]
    fn what_will_not_mend_is_a_failure_with_the_states_reason() {
        let message = |word: Option<&TurnState>, state: &str, status| match verdict(word, Some(&sight(state, status)))
            .judgement
        {
            Judgement::Failed(failed) => format!("{} {}", failed.message, failed.hint.unwrap_or_default()),
            other => panic!("{state}: {other:?}"),
        };
        assert!(message(Some(&TurnState::Running), "OUT_OF_MEMORY", 9).contains("slurm.memory_gib"));
        assert!(message(Some(&TurnState::Running), "FAILED", 9).contains("SIGKILL"));
        assert!(message(None, "FAILED", 127 << 8).contains("exit code 127"));
        assert!(message(None, "COMPLETED", 0).contains("file system"));
        assert!(message(Some(&INTERRUPTED), "CANCELLED", 0).contains("was cancelled"));
        let lost = TurnState::Interrupted { error: Some("rank 1 is gone".to_owned()) };
        assert!(message(Some(&lost), "FAILED", 1 << 8).contains("rank 1 is gone"));
    }

    #[test]
    fn what_the_user_ends_is_interrupted() {
        for (word, seen) in
            [(Some(&INTERRUPTED), "FAILED"), (None, "CANCELLED"), (Some(&TurnState::Running), "TIMEOUT")]
        {
            let found = judge("7", word, Some(&sight(seen, 0)), true).unwrap();
            assert_eq!(found.judgement, Judgement::Interrupted, "{seen}");
        }
        assert_eq!(judge("7", Some(&TurnState::Running), Some(&sight("RUNNING", 0)), true), None);
    }

    #[test]
    fn only_the_workers_word_is_certain() {
        assert!(!verdict(Some(&TurnState::Running), Some(&sight("COMPLETED", 0))).certain);
        assert!(!verdict(None, Some(&Sight::Gone)).certain);
        assert!(verdict(Some(&INTERRUPTED), Some(&sight("TIMEOUT", 0))).certain);
    }
}
