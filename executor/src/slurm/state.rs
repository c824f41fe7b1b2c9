use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The columns that [`QueueState::read`] parses, wide enough that squeue truncates no value.
pub const COLUMNS: &str = "State:32,exit_code:16,Reason:256";

/// The state of a job according to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// Pending.
    Waiting {
        /// The reason that Slurm gives.
        reason: String,
    },
    /// Starting, running or completing.
    Active,
    Ended(End),
    /// Unknown to the controller, which forgets jobs some minutes after they have ended.
    Gone,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Slurm's state, such as `COMPLETED` or `TIMEOUT`.
    pub state: String,
    /// The reason that Slurm gives.
    pub reason: String,
    /// Exit status of the batch script.
    pub status: ExitStatus,
}

impl QueueState {
    /// Parses a line that squeue prints about a job. Returns `None` if it is not such a line.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (state, status) = (words.next()?, words.next()?.parse().ok()?);
        let reason = words.collect::<Vec<_>>().join(" ");
        Some(match state {
            "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => {
                Self::Waiting { reason }
            }
            "CONFIGURING" | "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT"
            | "RESIZING" => Self::Active,
            _ => Self::Ended(End { state: state.to_owned(), reason, status: ExitStatus::from_raw(status) }),
        })
    }

    /// Returns whether no process of the job can still be running.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Gone)
    }
}

/// Explains a pending reason. Returns `None` if the job will start without help.
pub fn obstacle(reason: &str) -> Option<&'static str> {
    // Details may follow the reason: `ReqNodeNotAvail, UnavailableNodes:n1`.
    let word = reason.split([',', ' ', '(']).next().unwrap_or_default();
    Some(match word {
        "PartitionNodeLimit" | "PartitionConfig" | "BadConstraints" => {
            "no node of the partition is as large as requested: see slurm.cores, memory_gib, gpus and nodes"
        }
        "PartitionTimeLimit" => "slurm.time_min is longer than the partition allows",
        "PartitionDown" | "PartitionInactive" => "the partition does not start jobs now",
        "JobHeldUser" => "it is held: `scontrol release` lets it go",
        "JobHeldAdmin" => "an administrator holds it",
        "JobHoldMaxRequeue" => "it was started again too often, and is held: `scontrol release` lets it go",
        "ReqNodeNotAvail" => "nodes that it needs are down or reserved",
        "Licenses" => "it waits for a license",
        "AccountNotAllowed" | "InvalidAccount" => "slurm.account may not use the partition",
        "QOSNotAllowed" | "InvalidQOS" => "slurm.qos is not allowed there",
        "DependencyNeverSatisfied" => "a job that it depends on has failed",
        _ if word.starts_with("Assoc") || word.starts_with("QOS") || word.starts_with("MaxJobs") => {
            "a limit of the account or the quality of service is reached: it starts when other jobs have ended, or never, \
             if it requests more than the limit by itself"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lines_of_squeue_are_parsed() {
        let padded = "PENDING                         0               ReqNodeNotAvail, UnavailableNodes:n1   ";
        let reason = "ReqNodeNotAvail, UnavailableNodes:n1".to_owned();
        assert_eq!(QueueState::read(padded), Some(QueueState::Waiting { reason }));
        assert_eq!(QueueState::read("COMPLETING 0 None"), Some(QueueState::Active));
        let Some(QueueState::Ended(end)) = QueueState::read("FAILED 33280 NonZeroExitCode") else { panic!() };
        assert_eq!((end.state.as_str(), end.status.code()), ("FAILED", Some(130)));
        let Some(QueueState::Ended(end)) = QueueState::read("FAILED 9 JobLaunchFailure") else { panic!() };
        assert_eq!(end.status.signal(), Some(9));
        for noise in ["", "RUNNING", "RUNNING many None"] {
            assert_eq!(QueueState::read(noise), None);
        }
    }

    #[test]
    fn only_reasons_that_need_help_are_obstacles() {
        assert!(obstacle("Priority").is_none() && obstacle("Resources").is_none() && obstacle("BeginTime").is_none());
        assert!(obstacle("PartitionNodeLimit").unwrap().contains("slurm.cores"));
        assert!(obstacle("ReqNodeNotAvail, UnavailableNodes:n1").unwrap().contains("down or reserved"));
        assert!(obstacle("AssocMaxJobsLimit").is_some() && obstacle("QOSMaxCpuPerUserLimit").is_some());
    }
}
