//! Rendezvous: how the ranks of one attempt find each other in a store.
//!
//! torchrun's agent keeps its store and all keys when it restarts workers, and the number of the attempt in their
//! environment can differ between two machines. Each attempt therefore uses separate keys, under a number chosen by
//! rank 0:
//!
//! * A rank draws a number n from `arrivals` and sets `arrival/n` to "rank world_size".
//! * Rank 0 draws the attempt's number from `attempts`, and answers every arrival in `answer/n` with the number of the
//!   attempt, or with the problem of the arrival.
//! * A rank that has its answer adds 1 to `attempt/<number>/here/<rank>`. When all ranks have done so, rank 0 releases
//!   them.
//!
//! Arrivals of exited workers are answered too, but nobody reads the answer.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::environment::Environment;
use crate::store::{Store, StoreError};

const ARRIVALS: &str = "arrivals";
const ATTEMPTS: &str = "attempts";
/// Set when all ranks have arrived.
const ALL_ARRIVED: &str = "all_here";
/// Prefix of the answer to an arrival that does not belong to this attempt.
const REFUSED: &str = "refused: ";

/// Polling interval of rank 0.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long rank 0 waits for a refused rank to read its answer before it closes the store.
const REFUSED_RANK_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a rendezvous failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RendezvousError {
    /// The store failed.
    #[error("rank {rank} of {world_size}, rendezvous: {source}")]
    Store {
        /// This rank.
        rank: usize,
        /// Expected number of ranks.
        world_size: usize,
        /// The error of the store.
        source: StoreError,
    },
    /// Some ranks did not arrive.
    #[error(
        "rank 0 of {world_size}, rendezvous: {} did not connect within {} s: not started, exited, or hanging{}",
        ranks(.missing), .timeout.as_secs_f64(), refusals(.refused)
    )]
    Missing {
        /// Expected number of ranks.
        world_size: usize,
        /// The missing ranks.
        missing: Vec<usize>,
        /// How long rank 0 waited.
        timeout: Duration,
        /// The problems of the processes that did arrive.
        refused: Vec<String>,
    },
    /// The ranks contradict each other.
    #[error("rank {rank} of {world_size}, rendezvous: {why}")]
    Refused {
        /// This rank.
        rank: usize,
        /// Expected number of ranks.
        world_size: usize,
        /// The contradiction.
        why: String,
    },
}

/// Waits for the other ranks and returns a store that is used by this attempt only.
///
/// Rank 0 hosts the server, unless torchrun's agent does. The server lives as long as the returned store and the groups
/// made from it. The call blocks until all ranks have arrived, at most until the timeout.
///
/// # Errors
/// Returns [`RendezvousError`] if a rank is missing or refused. On rank 0 it names the missing ranks, or those with
/// another WORLD_SIZE.
pub fn rendezvous(environment: &Environment, timeout: Duration) -> Result<Store, RendezvousError> {
    let rendezvous = Rendezvous { environment, deadline: Instant::now() + timeout, timeout };
    if environment.rank() == 0 { rendezvous.receive() } else { rendezvous.arrive() }
}

struct Rendezvous<'a> {
    environment: &'a Environment,
    deadline: Instant,
    timeout: Duration,
}

impl Rendezvous<'_> {
    /// Rank 0: answers arrivals until all ranks are present.
    fn receive(&self) -> Result<Store, RendezvousError> {
        let master = self.environment.master();
        let agent = self.environment.uses_agent_store();
        let opened =
            if agent { Store::connect(master, self.remaining()) } else { Store::host(master, self.remaining()) };
        let store = self.checked(opened)?;
        let attempt = self.checked(store.add(ATTEMPTS, 1))?;
        let own = self.checked(store.prefixed(&attempt_prefix(attempt)))?;

        let mut missing: BTreeSet<usize> = (1..self.environment.world_size()).collect();
        let mut answered = BTreeSet::new();
        let mut refused = Vec::new();
        while !missing.is_empty() {
            for (number, why) in self.checked(self.answer(&store, attempt, &mut answered))? {
                // A store that outlives its workers may contain an arrival of an earlier attempt with another number of
                // ranks.
                if !agent {
                    let _ = store.wait(&read_key(number), REFUSED_RANK_TIMEOUT);
                    return Err(self.refusal(why));
                }
                refused.push(why);
            }
            let mut here = Vec::new();
            for &rank in &missing {
                if self.checked(own.has(&arrived_key(rank)))? {
                    here.push(rank);
                }
            }
            missing.retain(|rank| !here.contains(rank));
            if !missing.is_empty() && Instant::now() > self.deadline {
                let (world_size, timeout) = (self.environment.world_size(), self.timeout);
                return Err(RendezvousError::Missing {
                    world_size,
                    missing: missing.into_iter().collect(),
                    timeout,
                    refused,
                });
            }
            if !missing.is_empty() {
                sleep(POLL_INTERVAL);
            }
        }
        self.checked(own.set(ALL_ARRIVED, b""))?;
        Ok(own)
    }

    /// Answers the unanswered arrivals. Returns the numbers and problems of those that do not belong to this attempt.
    fn answer(
        &self,
        store: &Store,
        attempt: i64,
        answered: &mut BTreeSet<i64>,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let mut refused = Vec::new();
        let arrivals = store.add(ARRIVALS, 0)?;
        for number in 1..=arrivals {
            if answered.contains(&number) || !store.has(&arrival_key(number))? {
                continue;
            }
            let arrival = store.get(&arrival_key(number), REFUSED_RANK_TIMEOUT)?;
            let answer = match self.arrival_problem(&String::from_utf8_lossy(&arrival)) {
                Some(why) => {
                    refused.push((number, why.clone()));
                    format!("{REFUSED}{why}")
                }
                None => attempt.to_string(),
            };
            store.set(&answer_key(number), answer.as_bytes())?;
            answered.insert(number);
        }
        Ok(refused)
    }

    /// Returns the problem of an arrival, "rank world_size".
    fn arrival_problem(&self, arrival: &str) -> Option<String> {
        let own = self.environment.world_size();
        let Some((rank, world_size)) = arrival.split_once(' ') else {
            return Some(format!("a process registered as {arrival:?}: is it of another version?"));
        };
        (world_size.parse() != Ok(own)).then(|| {
            format!("WORLD_SIZE is {own} on rank 0, but {world_size} on rank {rank}; it must be the same on all")
        })
    }

    /// Ranks other than 0: register and wait for the answer.
    fn arrive(&self) -> Result<Store, RendezvousError> {
        let environment = self.environment;
        let rank = environment.rank();
        let store = self.checked(Store::connect(environment.master(), self.remaining()))?;
        let number = self.checked(store.add(ARRIVALS, 1))?;
        let arrival = format!("{rank} {}", environment.world_size());
        self.checked(store.set(&arrival_key(number), arrival.as_bytes()))?;
        let answer = self.checked(store.get(&answer_key(number), self.remaining()))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if let Some(why) = answer.strip_prefix(REFUSED) {
            // Informs rank 0 that it need not wait; nothing else depends on it.
            let _ = store.set(&read_key(number), b"");
            return Err(self.refusal(why.to_owned()));
        }
        let Ok(attempt) = answer.parse() else {
            return Err(self.refusal(format!("rank 0 answered {answer:?}: is it of another version?")));
        };
        let own = self.checked(store.prefixed(&attempt_prefix(attempt)))?;
        if self.checked(own.add(&arrived_key(rank), 1))? > 1 {
            return Err(self.refusal(format!("two processes have RANK {rank}")));
        }
        self.checked(own.wait(ALL_ARRIVED, self.remaining()))?;
        Ok(own)
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn checked<T>(&self, result: Result<T, StoreError>) -> Result<T, RendezvousError> {
        let (rank, world_size) = (self.environment.rank(), self.environment.world_size());
        result.map_err(|source| RendezvousError::Store { rank, world_size, source })
    }

    fn refusal(&self, why: String) -> RendezvousError {
        let (rank, world_size) = (self.environment.rank(), self.environment.world_size());
        RendezvousError::Refused { rank, world_size, why }
    }
}

fn arrival_key(number: i64) -> String {
    format!("arrival/{number}")
}

fn answer_key(number: i64) -> String {
    format!("answer/{number}")
}

/// The key that a refused rank sets after reading its answer.
fn read_key(number: i64) -> String {
    format!("answer/{number}/read")
}

fn attempt_prefix(attempt: i64) -> String {
    format!("attempt/{attempt}")
}

fn arrived_key(rank: usize) -> String {
    format!("here/{rank}")
}

/// Formats ranks as "rank 1" or "ranks 1, 3".
fn ranks(missing: &[usize]) -> String {
    let list: Vec<String> = missing.iter().map(usize::to_string).collect();
    format!("{} {}", if missing.len() == 1 { "rank" } else { "ranks" }, list.join(", "))
}

fn refusals(refused: &[String]) -> String {
    refused.iter().map(|why| format!("; {why}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::environment::Address;
    use std::thread;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn environment(rank: usize, world_size: usize, port: u16, agent: bool) -> Environment {
        let master = Address { host: "127.0.0.1".to_owned(), port };
        Environment::new(rank, world_size, rank, master, agent).expect("a valid rank")
    }

    /// A store like the one hosted by torchrun's agent.
    fn agent() -> Store {
        Store::host(&Address { host: "127.0.0.1".to_owned(), port: 0 }, TIMEOUT).expect("a free port")
    }

    /// Runs a rendezvous of all ranks in an agent's store; returns their stores.
    fn meet(agent: &Store, world_size: usize) -> Vec<Store> {
        let port = agent.address().port;
        let ranks = (0..world_size).map(|rank| {
            thread::spawn(move || {
                rendezvous(&environment(rank, world_size, port, true), TIMEOUT).expect("all ranks are present")
            })
        });
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().expect("no panic")).collect()
    }

    #[test]
    fn each_attempt_has_separate_keys_in_a_persistent_store() {
        let agent = agent();
        let first = meet(&agent, 3);
        first[2].set("job", b"old").unwrap();
        assert_eq!(first[0].get("job", TIMEOUT).unwrap(), b"old");
        let second = meet(&agent, 2);
        assert!(!second[1].has("job").unwrap());
        second[0].set("job", b"new").unwrap();
        assert_eq!(second[1].get("job", TIMEOUT).unwrap(), b"new");
    }

    #[test]
    fn a_missing_rank_is_named() {
        let agent = agent();
        let alone = environment(0, 3, agent.address().port, true);
        let error =
            rendezvous(&alone, Duration::from_millis(100)).expect_err("the other ranks are missing").to_string();
        assert!(error.contains("ranks 1, 2 did not connect"), "{error}");
    }

    #[test]
    fn an_unfinished_arrival_does_not_affect_later_attempts() {
        let agent = agent();
        agent.add(ARRIVALS, 1).unwrap();
        assert_eq!(meet(&agent, 2).len(), 2);
    }

    #[test]
    fn different_world_sizes_are_reported_on_both_ranks() {
        let agent = agent();
        let port = agent.address().port;
        let other = thread::spawn(move || rendezvous(&environment(1, 3, port, true), TIMEOUT));
        let rank_0 = rendezvous(&environment(0, 2, port, true), Duration::from_millis(500));
        for error in [rank_0, other.join().expect("no panic")] {
            let text = error.expect_err("the world sizes differ").to_string();
            assert!(text.contains("WORLD_SIZE is 2 on rank 0, but 3 on rank 1"), "{text}");
        }
    }
}
