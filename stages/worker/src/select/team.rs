//! Divides the trainings of a rung among processes. Rank 0 publishes a round of trainings in the store; every rank, rank 0
//! included, claims one training after the other and stores its scores; rank 0 collects them.
//!
//! A training's result depends on its candidate alone, so it does not matter which rank does it or in which order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tfnas::Choice;
use tfnas_c10d::Store;
use tfnas_c10d::store::StoreError;
use tfnas_select::EpochScore;

use crate::error::{Context as _, StageError};
use crate::ranks::TaskStore;

/// Set when any rank was asked to stop.
const STOP: &str = "stop";
/// Set to what went wrong when any rank failed.
const FAILED: &str = "failed";
/// Number of images that all ranks have trained on.
const IMAGES: &str = "images";
/// Number of ranks that know that there are no more rounds.
const LEFT: &str = "left";

/// Pause between two looks at the store.
const POLL: Duration = Duration::from_millis(50);
/// How long rank 0, which holds the store, waits for the others to read that there are no more rounds.
const FAREWELL: Duration = Duration::from_secs(5);

/// A candidate's training, as rank 0 publishes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The candidate.
    pub id: usize,
    /// Epochs to be done in all.
    pub epochs: usize,
    /// The architecture, `[group][kept block]`.
    pub architecture: Vec<Vec<Choice>>,
}

/// What rank 0 publishes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Round {
    Train(Vec<Task>),
    Finished,
}

/// The scores of each candidate of a round.
pub type Scores = BTreeMap<usize, Vec<EpochScore>>;

/// Trains a candidate; calls back after every batch with its number of images, and stops when that says so.
pub type Train<'a> =
    &'a mut dyn FnMut(&Task, &mut dyn FnMut(usize) -> Result<bool, StageError>) -> Result<Vec<EpochScore>, StageError>;

/// What a rank is asked after every batch: told the images that all ranks have trained on in the round, it returns whether
/// this process was asked to stop.
pub type OnProgress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// The ranks that share the trainings, as one of them sees it.
pub struct Team {
    peers: Option<TaskStore>,
    round: usize,
    /// Images of this process, where it has no peers.
    images: u64,
}

impl Team {
    /// The team of this process: alone without peers.
    pub fn new(peers: Option<TaskStore>) -> Self {
        Self { peers, round: 0, images: 0 }
    }

    /// Returns the number of ranks.
    pub fn size(&self) -> usize {
        self.peers.as_ref().map_or(1, |peers| peers.world_size)
    }

    /// Returns whether this is rank 0, which decides what is trained.
    pub fn is_leader(&self) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.rank == 0)
    }

    /// Trains the candidates of a round, as rank 0, and returns the scores of all.
    ///
    /// # Errors
    /// Returns [`StageError::Stopped`] when any rank was asked to stop, an error of a training, and an error when another
    /// rank fails or is not heard of for the rank timeout.
    pub fn lead(
        &mut self,
        tasks: Vec<Task>,
        train: Train<'_>,
        on_progress: OnProgress<'_>,
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
                scores.insert(task.id, train(task, &mut on_batch)?);
            }
            return Ok(scores);
        };
        let ids: Vec<usize> = tasks.iter().map(|task| task.id).collect();
        publish(&peers.store, round, &Round::Train(tasks.clone()))?;
        let mut watch = Watch::new(peers);
        let done = peers.take_tasks(round, &tasks, train, &mut |images| on_progress(images), &mut watch);
        done.inspect_err(|error| peers.report(error))?;
        collect(peers, round, &ids, on_progress, &mut watch).inspect_err(|error| peers.report(error))
    }

    /// Tells the other ranks that there are no more rounds, and waits a little until they know.
    ///
    /// # Errors
    /// Returns an error if the store is lost.
    pub fn finish(&self) -> Result<(), StageError> {
        let Some(peers) = &self.peers else { return Ok(()) };
        publish(&peers.store, self.round, &Round::Finished)?;
        let deadline = Instant::now() + FAREWELL;
        while lost(peers, peers.store.add(LEFT, 0))? + 1 < peers.world_size as i64 && Instant::now() < deadline {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Trains what rank 0 publishes, as another rank, until there are no more rounds.
    ///
    /// # Errors
    /// As [`lead`](Self::lead).
    pub fn follow(&mut self, train: Train<'_>, on_progress: OnProgress<'_>) -> Result<(), StageError> {
        let Some(peers) = &self.peers else { return Ok(()) };
        loop {
            let round = self.round;
            self.round += 1;
            match peers.await_round(round, on_progress)? {
                Round::Finished => {
                    lost(peers, peers.store.add(LEFT, 1))?;
                    return Ok(());
                }
                Round::Train(tasks) => {
                    let mut watch = Watch::none();
                    let done = peers.take_tasks(round, &tasks, train, &mut |images| on_progress(images), &mut watch);
                    done.inspect_err(|error| peers.report(error))?;
                }
            }
        }
    }
}

impl TaskStore {
    /// Claims and does trainings of a round until none is left.
    fn take_tasks(
        &self,
        round: usize,
        tasks: &[Task],
        train: Train<'_>,
        on_progress: OnProgress<'_>,
        watch: &mut Watch,
    ) -> Result<(), StageError> {
        loop {
            let claimed = lost(self, self.store.add(&format!("round/{round}/claimed"), 1))? - 1;
            let Some(task) = usize::try_from(claimed).ok().and_then(|claimed| tasks.get(claimed)) else {
                return Ok(());
            };
            let mut on_batch = |count: usize| self.after_batch(count, on_progress, watch);
            let scores = train(task, &mut on_batch)?;
            let text = serde_json::to_vec(&scores).context("the scores of a candidate")?;
            lost(self, self.store.set(&result_key(round, task.id), &text))?;
        }
    }

    /// Tells the others that this rank is at work, and learns whether all are to stop.
    fn after_batch(&self, count: usize, on_progress: OnProgress<'_>, watch: &mut Watch) -> Result<bool, StageError> {
        lost(self, self.store.add(&beat_key(self.rank), 1))?;
        let images = lost(self, self.store.add(IMAGES, count as i64))?;
        let own = on_progress(u64::try_from(images).unwrap_or_default());
        if own {
            lost(self, self.store.set(STOP, b"1"))?;
        }
        watch.check(self)?;
        Ok(own || lost(self, self.store.has(STOP))?)
    }

    /// Waits for a round of rank 0.
    fn await_round(&self, round: usize, on_progress: OnProgress<'_>) -> Result<Round, StageError> {
        let key = round_key(round);
        while !lost(self, self.store.has(&key))? {
            lost(self, self.store.add(&beat_key(self.rank), 1))?;
            if on_progress(0) {
                lost(self, self.store.set(STOP, b"1"))?;
            }
            if lost(self, self.store.has(STOP))? {
                return Err(StageError::Stopped);
            }
            std::thread::sleep(POLL);
        }
        let text = lost(self, self.store.get(&key, self.timeout))?;
        serde_json::from_slice(&text).context("the trainings from rank 0")
    }

    /// Lets the others know why this rank ends, as far as the store can still be reached.
    fn report(&self, error: &StageError) {
        let told = match error {
            StageError::Stopped => self.store.set(STOP, b"1"),
            StageError::Failed { peer: true, .. } => Ok(()),
            StageError::Failed { message, .. } => {
                self.store.set(FAILED, format!("rank {} of {}: {message}", self.rank, self.world_size).as_bytes())
            }
        };
        // If the store is lost, the others notice that themselves.
        let _ = told;
    }
}

/// Collects the scores of a round that other ranks have not stored yet.
fn collect(
    peers: &TaskStore,
    round: usize,
    ids: &[usize],
    on_progress: OnProgress<'_>,
    watch: &mut Watch,
) -> Result<Scores, StageError> {
    let mut scores = Scores::new();
    for &id in ids {
        let key = result_key(round, id);
        while !lost(peers, peers.store.has(&key))? {
            if peers.after_batch(0, on_progress, watch)? {
                return Err(StageError::Stopped);
            }
            std::thread::sleep(POLL);
        }
        let text = lost(peers, peers.store.get(&key, peers.timeout))?;
        scores.insert(id, serde_json::from_slice(&text).context("the scores of a candidate")?);
    }
    Ok(scores)
}

/// When rank 0 last heard of each of the others.
struct Watch {
    beats: Vec<(i64, Instant)>,
    checked: Instant,
}

impl Watch {
    fn new(peers: &TaskStore) -> Self {
        let now = Instant::now();
        let others = peers.world_size.saturating_sub(1);
        Self { beats: vec![(-1, now); others], checked: now }
    }

    /// For ranks above 0: a store that is lost tells them that rank 0 is.
    fn none() -> Self {
        Self { beats: Vec::new(), checked: Instant::now() }
    }

    /// Returns an error when another rank has failed, or has not been heard of for the rank timeout.
    fn check(&mut self, peers: &TaskStore) -> Result<(), StageError> {
        // Between two batches is often enough for what takes seconds.
        if self.beats.is_empty() || self.checked.elapsed() < POLL {
            return Ok(());
        }
        self.checked = Instant::now();
        if lost(peers, peers.store.has(FAILED))? {
            let message = lost(peers, peers.store.get(FAILED, peers.timeout))?;
            let message = String::from_utf8_lossy(&message).into_owned();
            return Err(StageError::Failed { message, hint: None, peer: true });
        }
        for (index, (beats, heard)) in self.beats.iter_mut().enumerate() {
            let rank = index + 1;
            let now = lost(peers, peers.store.add(&beat_key(rank), 0))?;
            if now != *beats {
                (*beats, *heard) = (now, self.checked);
            } else if heard.elapsed() > peers.timeout {
                let message = format!(
                    "rank {rank} of {} was not heard of for {} s while it trained a candidate",
                    peers.world_size,
                    peers.timeout.as_secs_f64()
                );
                let hint = Some("raise `ranks.timeout_s` if one batch takes that long".to_owned());
                return Err(StageError::Failed { message, hint, peer: true });
            }
        }
        Ok(())
    }
}

fn publish(store: &Store, round: usize, what: &Round) -> Result<(), StageError> {
    let text = serde_json::to_vec(what).context("the trainings for the other ranks")?;
    store.set(&round_key(round), &text).context("the trainings for the other ranks")
}

/// An error of the store: the process that holds it is gone.
fn lost<T>(peers: &TaskStore, result: Result<T, StoreError>) -> Result<T, StageError> {
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
