//! Errors of collectives.

use std::time::Duration;

use crate::raw::{Failure, Kind};

/// Messages of gloo about a closed connection.
const LOST: [&str; 5] = ["closed by peer", "reset by peer", "Broken pipe", "Connection refused", "Socket closed"];
/// Messages of gloo and c10d about a timeout.
const SILENT: [&str; 4] = ["Timed out", "timed out", "timeout", "failed to pass monitoredBarrier"];

/// A collective that failed on this rank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rank {rank} of {world_size}, {operation}: {cause}")]
pub struct CollectiveError {
    /// This rank.
    pub rank: usize,
    /// Number of ranks.
    pub world_size: usize,
    /// The failed operation.
    pub operation: &'static str,
    /// Cause of the failure.
    pub cause: Cause,
}

/// Why a collective failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A peer did not respond in time.
    #[error("a rank did not respond within {} s: it has exited, hangs, or runs another operation ({message})", .timeout.as_secs_f64())]
    TimedOut {
        /// How long this rank waited.
        timeout: Duration,
        /// The message of c10d. For a barrier on rank 0 it names the missing ranks.
        message: String,
    },
    /// The process of a peer has ended.
    #[error("lost the connection to another rank, which has exited: see its error message ({message})")]
    ConnectionLost {
        /// The message of c10d.
        message: String,
    },
    /// The call is invalid.
    #[error("{message}")]
    Refused {
        /// The problem.
        message: String,
    },
}

impl CollectiveError {
    /// Classifies an exception thrown by a collective.
    pub(crate) fn new(
        (rank, world_size): (usize, usize),
        operation: &'static str,
        timeout: Duration,
        failure: Failure,
    ) -> Self {
        let message = tidy(&failure.message);
        let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        let cause = match failure.kind {
            // A lost connection also ends gloo's own wait, which gloo then reports as a timeout.
            _ if has(&LOST) => Cause::ConnectionLost { message },
            Kind::TimedOut | Kind::Store => Cause::TimedOut { timeout, message },
            _ if has(&SILENT) => Cause::TimedOut { timeout, message },
            Kind::Network => Cause::ConnectionLost { message },
            Kind::Other => Cause::Refused { message },
        };
        Self { rank, world_size, operation, cause }
    }
}

/// Removes gloo's source locations and its advice to check the logs of other ranks from a message.
fn tidy(message: &str) -> String {
    let message = message.split(" This is typically caused by").next().unwrap_or_default();
    match message.split_once("] ") {
        Some((place, rest)) if place.starts_with("[/") => rest.to_owned(),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(kind: Kind, message: &str) -> Cause {
        let failure = Failure { kind, message: message.to_owned() };
        CollectiveError::new((0, 2), "all_reduce", Duration::from_secs(5), failure).cause
    }

    #[test]
    fn lost_connections_and_timeouts_are_distinguished() {
        let lost = "[pair.cc:538] Connection closed by peer [127.0.0.1]:4242";
        assert!(matches!(cause(Kind::Other, lost), Cause::ConnectionLost { .. }));
        let silent = "[unbound_buffer.cc:78] Timed out waiting 5000ms for recv operation to complete";
        assert!(matches!(cause(Kind::Other, silent), Cause::TimedOut { .. }));
        let missing = "[Rank 0]: Ranks 1 failed to pass monitoredBarrier in 5000 ms";
        assert!(matches!(cause(Kind::Other, missing), Cause::TimedOut { .. }));
        assert!(matches!(cause(Kind::Other, "Invalid scalar type"), Cause::Refused { .. }));
    }

    #[test]
    fn gloo_source_locations_are_removed_from_messages() {
        let written = "[/build/gloo/pair.cc:537] Read error [10.0.0.7]:9: Connection reset by peer. This is typically caused by luck.";
        assert_eq!(tidy(written), "Read error [10.0.0.7]:9: Connection reset by peer.");
        let named = "[Rank 0]: Ranks 1 failed to pass monitoredBarrier in 5000 ms";
        assert_eq!(tidy(named), named);
    }

    #[test]
    fn an_error_names_rank_and_operation() {
        let failure = Failure { kind: Kind::TimedOut, message: "nothing came".to_owned() };
        let error = CollectiveError::new((1, 4), "broadcast", Duration::from_millis(2500), failure);
        let text = error.to_string();
        assert!(text.starts_with("rank 1 of 4, broadcast:") && text.contains("2.5 s"), "{text}");
    }
}
