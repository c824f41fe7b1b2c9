//! Divides the trainings of a round among the ranks. Rank 0 publishes the trainings in the store. Every rank, including rank 0,
//! repeatedly claims a training, runs it and stores its scores. Rank 0 collects the scores.
//!
//! The result of a training depends only on its candidate, not on the rank that runs it or on the order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tfnas::Choice;
use tfnas_c10d::Store;
use tfnas_c10d::store::StoreError;
use tfnas_select::EpochScore;

use crate::error::{Context as _, StageError};
use crate::ranks::TaskStore;

/// Set when a rank was asked to stop.
const STOP: &str = "stop";
/// Set to the error message when a rank failed.
const FAILED: &str = "failed";
/// Total number of images that all ranks have trained on.
const IMAGES: &str = "images";
/// Number of ranks that have read that there are no more rounds.
const FINISHED: &str = "left";

/// Number of ranks that have saved their work because a rank was asked to stop.
const STOPPED: &str = "stopped";

/// Interval between polls of the store.
const POLL: Duration = Duration::from_millis(50);
/// How long rank 0, which hosts the store, waits for the others to read that there are no more rounds, or to save their work.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);

/// The training of a candidate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Number of the candidate.
    pub id: usize,
    /// Total number of epochs after the training.
    pub epochs: usize,
    /// The architecture, `[group][kept block]`.
    pub architecture: Vec<Vec<Choice>>,
}

/// A round, as rank 0 publishes it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Round {
    Train(Vec<Task>),
    Finished,
}

/// The scores of each candidate of a round.
pub type Scores = BTreeMap<usize, Vec<EpochScore>>;

/// Trains a candidate. Calls the callback after every batch with the number of its images, and stops if it returns true.
pub type Train<'a> =
    &'a mut dyn FnMut(&Task, &mut dyn FnMut(usize) -> Result<bool, StageError>) -> Result<Vec<EpochScore>, StageError>;

/// Called after every batch with the total number of images that all ranks have trained on; returns whether this process must
/// stop.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Called on rank 0 with a candidate and the scores of all its epochs, as soon as they are known there.
pub type OnScores<'a> = &'a mut dyn FnMut(usize, &[EpochScore]);

/// The ranks that share the trainings, from the view of this rank.
pub struct Team {
    peers: Option<TaskStore>,
    round: usize,
    /// Number of images that this process has trained on, if it has no peers.
    images: u64,
}

impl Team {
    /// Creates the team of this process; `None` if it is the only rank.
    pub fn new(peers: Option<TaskStore>) -> Self {
        Self { peers, round: 0, images: 0 }
    }

    /// Returns the number of ranks.
    pub fn size(&self) -> usize {
        self.peers.as_ref().map_or(1, |peers| peers.world_size)
    }

    /// Returns whether this is rank 0.
    pub fn is_leader(&self) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.rank == 0)
    }

    /// Runs a round on rank 0 and returns the scores of all its candidates.
    ///
    /// # Errors
    /// Returns [`StageError::Stopped`] if a rank was asked to stop. Returns an error if a training fails, or if another
    /// rank fails or sends no heartbeat for the rank timeout.
    pub fn lead(
        &mut self,
        tasks: Vec<Task>,
        train: Train<'_>,
        on_progress: OnProgress<'_>,
        on_scores: OnScores<'_>,
    ) -> Result<Scores, StageError> {
        let round = self.round;
        self.round += 1;
        let Some(peers) = &self.peers else {
            let images = &mut self.images;
            let mut scores = Scores::new();
            for task in &tasks {
                let mut on_batch = |count: usize| {
                    *images += count as u64;
                    Ok(on_progress(*images))
                };
                let trained = train(task, &mut on_batch)?;
                on_scores(task.id, &trained);
                scores.insert(task.id, trained);
            }
            return Ok(scores);
        };
        let ids: Vec<usize> = tasks.iter().map(|task| task.id).collect();
        publish(&peers.store, round, &Round::Train(tasks.clone()))?;
        let mut monitor = HeartbeatMonitor::new(peers);
        let done = peers.run_tasks(round, &tasks, train, &mut |images| on_progress(images), &mut monitor);
        let scores = done.and_then(|()| collect(peers, round, &ids, on_progress, on_scores, &mut monitor));
        scores.inspect_err(|error| {
            peers.report(error);
            if matches!(error, StageError::Stopped) {
                // Without the store, the others could not save. This rank has saved, so errors do not matter.
                let _ = peers.await_others(STOPPED);
            }
        })
    }

    /// Tells the other ranks that there are no more rounds, and waits a few seconds until they have read it.
    ///
    /// # Errors
    /// Returns an error if the store is lost.
    pub fn finish(&self) -> Result<(), StageError> {
        let Some(peers) = &self.peers else { return Ok(()) };
        publish(&peers.store, self.round, &Round::Finished)?;
        peers.await_others(FINISHED)
    }

    /// Runs the rounds of rank 0 on another rank until there are no more.
    ///
    /// # Errors
    /// Returns the errors of [`lead`](Self::lead).
    pub fn follow(&mut self, train: Train<'_>, on_progress: OnProgress<'_>) -> Result<(), StageError> {
        let Some(peers) = &self.peers else { return Ok(()) };
        loop {
            let round = self.round;
            self.round += 1;
            match peers.await_round(round, on_progress).inspect_err(|error| peers.report(error))? {
                Round::Finished => {
                    check_store(peers, peers.store.add(FINISHED, 1))?;
                    return Ok(());
                }
                Round::Train(tasks) => {
                    let mut monitor = HeartbeatMonitor::none();
                    let done = peers.run_tasks(round, &tasks, train, &mut |images| on_progress(images), &mut monitor);
                    done.inspect_err(|error| peers.report(error))?;
                }
            }
        }
    }
}

impl TaskStore {
    /// Waits on rank 0 until all other ranks have counted themselves, at most a few seconds.
    fn await_others(&self, counter: &str) -> Result<(), StageError> {
        let deadline = Instant::now() + FINISH_TIMEOUT;
        while check_store(self, self.store.add(counter, 0))? + 1 < self.world_size as i64 && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Claims and runs trainings of a round until none is left.
    fn run_tasks(
        &self,
        round: usize,
        tasks: &[Task],
        train: Train<'_>,
        on_progress: OnProgress<'_>,
        monitor: &mut HeartbeatMonitor,
    ) -> Result<(), StageError> {
        loop {
            let claimed = check_store(self, self.store.add(&format!("round/{round}/claimed"), 1))? - 1;
            let Some(task) = usize::try_from(claimed).ok().and_then(|claimed| tasks.get(claimed)) else {
                return Ok(());
            };
            let mut on_batch = |count: usize| self.after_batch(count, on_progress, monitor);
            let scores = train(task, &mut on_batch)?;
            let text = serde_json::to_vec(&scores).context("the scores of a candidate")?;
            check_store(self, self.store.set(&result_key(round, task.id), &text))?;
        }
    }

    /// Sends a heartbeat and returns whether to stop.
    fn after_batch(
        &self,
        count: usize,
        on_progress: OnProgress<'_>,
        monitor: &mut HeartbeatMonitor,
    ) -> Result<bool, StageError> {
        check_store(self, self.store.add(&beat_key(self.rank), 1))?;
        let images = check_store(self, self.store.add(IMAGES, count as i64))?;
        let own = on_progress(u64::try_from(images).unwrap_or_default());
        if own {
            check_store(self, self.store.set(STOP, b"1"))?;
        }
        monitor.check(self)?;
        Ok(own || check_store(self, self.store.has(STOP))?)
    }

    /// Waits until rank 0 publishes a round.
    fn await_round(&self, round: usize, on_progress: OnProgress<'_>) -> Result<Round, StageError> {
        let key = round_key(round);
        while !check_store(self, self.store.has(&key))? {
            check_store(self, self.store.add(&beat_key(self.rank), 1))?;
            if on_progress(0) {
                check_store(self, self.store.set(STOP, b"1"))?;
            }
            if check_store(self, self.store.has(STOP))? {
                return Err(StageError::Stopped);
            }
            std::thread::sleep(POLL);
        }
        let text = check_store(self, self.store.get(&key, self.timeout))?;
        serde_json::from_slice(&text).context("the trainings from rank 0")
    }

    /// Tells the other ranks why this rank stops.
    fn report(&self, error: &StageError) {
        let result = match error {
            StageError::Stopped => {
                let stopped = self.store.set(STOP, b"1");
                if self.rank > 0 { stopped.and_then(|()| self.store.add(STOPPED, 1).map(|_| ())) } else { stopped }
            }
            StageError::Failed { peer: true, .. } => Ok(()),
            StageError::Failed { message, .. } => {
                self.store.set(FAILED, format!("rank {} of {}: {message}", self.rank, self.world_size).as_bytes())
            }
        };
        // If the store is lost, the other ranks detect that themselves.
        let _ = result;
    }
}

/// Waits for the scores of a round and returns them.
fn collect(
    peers: &TaskStore,
    round: usize,
    ids: &[usize],
    on_progress: OnProgress<'_>,
    on_scores: OnScores<'_>,
    monitor: &mut HeartbeatMonitor,
) -> Result<Scores, StageError> {
    let mut scores = Scores::new();
    for &id in ids {
        let key = result_key(round, id);
        while !check_store(peers, peers.store.has(&key))? {
            if peers.after_batch(0, on_progress, monitor)? {
                return Err(StageError::Stopped);
            }
            std::thread::sleep(POLL);
        }
        let text = check_store(peers, peers.store.get(&key, peers.timeout))?;
        let trained: Vec<EpochScore> = serde_json::from_slice(&text).context("the scores of a candidate")?;
        on_scores(id, &trained);
        scores.insert(id, trained);
    }
    Ok(scores)
}

/// Detects failed and lost ranks: on rank 0, the last heartbeat of each other rank.
struct HeartbeatMonitor {
    beats: Vec<(i64, Instant)>,
    checked: Instant,
}

impl HeartbeatMonitor {
    fn new(peers: &TaskStore) -> Self {
        let now = Instant::now();
        let others = peers.world_size.saturating_sub(1);
        Self { beats: vec![(-1, now); others], checked: now }
    }

    /// For ranks above 0, which detect a lost rank 0 by the loss of the store.
    fn none() -> Self {
        Self { beats: Vec::new(), checked: Instant::now() }
    }

    /// Returns an error if another rank has failed or has sent no heartbeat for the rank timeout.
    fn check(&mut self, peers: &TaskStore) -> Result<(), StageError> {
        // Called after every batch, which is much more often than needed.
        if self.beats.is_empty() || self.checked.elapsed() < POLL {
            return Ok(());
        }
        self.checked = Instant::now();
        if check_store(peers, peers.store.has(FAILED))? {
            let message = check_store(peers, peers.store.get(FAILED, peers.timeout))?;
            let message = String::from_utf8_lossy(&message).into_owned();
            return Err(StageError::Failed { message, hint: None, peer: true });
        }
        for (index, (beats, last_change)) in self.beats.iter_mut().enumerate() {
            let rank = index + 1;
            let now = check_store(peers, peers.store.add(&beat_key(rank), 0))?;
            if now != *beats {
                (*beats, *last_change) = (now, self.checked);
            } else if last_change.elapsed() > peers.timeout {
                let message = format!(
                    "rank {rank} of {} sent no heartbeat for {} s while it trained a candidate",
                    peers.world_size,
                    peers.timeout.as_secs_f64()
                );
                let hint = Some("raise `ranks.timeout_s` if a batch takes longer than that".to_owned());
                return Err(StageError::Failed { message, hint, peer: true });
            }
        }
        Ok(())
    }
}

fn publish(store: &Store, round: usize, content: &Round) -> Result<(), StageError> {
    let text = serde_json::to_vec(content).context("the trainings for the other ranks")?;
    store.set(&round_key(round), &text).context("the trainings for the other ranks")
}

/// Converts an error of the store, which means that the rank that hosts it is lost.
fn check_store<T>(peers: &TaskStore, result: Result<T, StoreError>) -> Result<T, StageError> {
    result.map_err(|error| StageError::Failed {
        message: format!("rank {} of {}: {error}", peers.rank, peers.world_size),
        hint: None,
        peer: true,
    })
}

fn round_key(round: usize) -> String {
    format!("round/{round}/tasks")
}

fn result_key(round: usize, id: usize) -> String {
    format!("round/{round}/scores/{id}")
}

fn beat_key(rank: usize) -> String {
    format!("beat/{rank}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use tfnas_c10d::environment::Address;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    fn team(store: Store, rank: usize) -> Team {
        Team::new(Some(TaskStore { store, rank, world_size: 2, timeout: TIMEOUT }))
    }

    fn task(id: usize) -> Task {
        Task { id, epochs: 1, architecture: Vec::new() }
    }

    /// Trains until the callback says to stop, then saves for a while.
    fn train_until_stopped(
        on_batch: &mut dyn FnMut(usize) -> Result<bool, StageError>,
        save: impl FnOnce(),
    ) -> Result<Vec<EpochScore>, StageError> {
        while !on_batch(1)? {
            thread::sleep(Duration::from_millis(5));
        }
        save();
        Err(StageError::Stopped)
    }

    #[test]
    fn leader_that_is_asked_to_stop_waits_until_the_others_have_saved() {
        let host = Store::host(&Address { host: "127.0.0.1".to_owned(), port: 0 }, TIMEOUT).unwrap();
        let client = Store::connect(host.address(), TIMEOUT).unwrap();
        let saved = AtomicBool::new(false);
        thread::scope(|scope| {
            let follower = scope.spawn(|| {
                let save = || {
                    thread::sleep(Duration::from_millis(300));
                    saved.store(true, Ordering::SeqCst);
                };
                team(client, 1).follow(&mut |_, on_batch| train_until_stopped(on_batch, save), &mut |_| false)
            });
            // Both ranks have a training when the request to stop comes.
            let mut leader = team(host, 0);
            let mut is_stop_due = |images: u64| images > 20;
            let led = leader.lead(
                vec![task(0), task(1)],
                &mut |_, on_batch| train_until_stopped(on_batch, || {}),
                &mut is_stop_due,
                &mut |_, _| {},
            );
            assert!(matches!(led, Err(StageError::Stopped)));
            assert!(saved.load(Ordering::SeqCst));
            assert!(matches!(follower.join().unwrap(), Err(StageError::Stopped)));
        });
    }
}
