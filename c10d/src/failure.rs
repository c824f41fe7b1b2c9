use std::time::Duration;

use crate::raw::{Failure, Kind};

/// What gloo writes where a peer's connection is gone.
const LOST: [&str; 5] = ["closed by peer", "reset by peer", "Broken pipe", "Connection refused", "Socket closed"];
/// What gloo and c10d write where nobody answers.
const SILENT: [&str; 4] = ["Timed out", "timed out", "timeout", "failed to pass monitoredBarrier"];

/// A collective that has failed on this rank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rank {rank} of {world_size}, {operation}: {cause}")]
pub struct CollectiveError {
    /// This rank.
    pub rank: usize,
    /// How many there are.
    pub world_size: usize,
    /// What was asked for.
    pub operation: &'static str,
    /// Why it has failed.
    pub cause: Cause,
}

/// Why a collective has failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A peer that does not answer.
    #[error("a rank has not answered within {} s: it has died, hangs, or does something else ({message})", .timeout.as_secs_f64())]
    TimedOut {
        /// How long this rank has waited.
        timeout: Duration,
        /// What c10d says; from a barrier on rank 0, which ranks are missing.
        message: String,
    },
    /// A peer whose process has ended.
    #[error("the connection to another rank is lost, so that rank has ended: see its own message ({message})")]
    ConnectionLost {
        /// What c10d says.
        message: String,
    },
    /// A call that cannot be carried out.
    #[error("{message}")]
    Refused {
        /// What is wrong with it.
        message: String,
    },
}

impl CollectiveError {
    /// What an exception in a collective means.
    pub(crate) fn new(
        (rank, world_size): (usize, usize),
        operation: &'static str,
        timeout: Duration,
        failure: Failure,
    ) -> Self {
        let message = tidy(&failure.message);
        let has = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
        let cause = match failure.kind {
            // One lost connection makes gloo's own waiting end, which it then calls a timeout as well.
            _ if has(&LOST) => Cause::ConnectionLost { message },
            Kind::TimedOut | Kind::Store => Cause::TimedOut { timeout, message },
            _ if has(&SILENT) => Cause::TimedOut { timeout, message },
            Kind::Network => Cause::ConnectionLost { message },
            Kind::Other => Cause::Refused { message },
        };
        Self { rank, world_size, operation, cause }
    }
}

/// A message without gloo's places in its own source, and without its advice to look at another rank's log.
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
    fn what_gloo_writes_tells_a_dead_peer_from_a_silent_one() {
        let lost = "[pair.cc:538] Connection closed by peer [127.0.0.1]:4242";
        assert!(matches!(cause(Kind::Other, lost), Cause::ConnectionLost { .. }));
        let silent = "[unbound_buffer.cc:78] Timed out waiting 5000ms for recv operation to complete";
        assert!(matches!(cause(Kind::Other, silent), Cause::TimedOut { .. }));
        let missing = "[Rank 0]: Ranks 1 failed to pass monitoredBarrier in 5000 ms";
        assert!(matches!(cause(Kind::Other, missing), Cause::TimedOut { .. }));
        assert!(matches!(cause(Kind::Other, "Invalid scalar type"), Cause::Refused { .. }));
    }

    #[test]
    fn a_message_keeps_what_was_seen_and_not_where_in_gloo() {
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
