//! The ranks of a job: how processes connect to each other, and how rank 0 sends the job to the others.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tfnas_c10d::cuda::device_count;
use tfnas_c10d::rendezvous::RendezvousError;
use tfnas_c10d::store::StoreError;
use tfnas_c10d::{Environment, ProcessGroup, Store, rendezvous};
use tfnas_stages::{Job, Stage};

use crate::error::{Context as _, StageError};
use crate::stop::StopFlag;

/// The connection to the other processes that run the job.
pub enum Peers {
    /// The processes train one network.
    Group(ProcessGroup),
    /// The processes share independent tasks.
    Tasks(TaskStore),
}

/// The store through which processes share tasks, and this process's rank.
pub struct TaskStore {
    /// The store of this attempt. No other attempt uses its keys.
    pub store: Store,
    /// Rank of this process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// A process that sends no heartbeat for this long is considered lost.
    pub timeout: Duration,
}

impl Peers {
    /// Returns whether this is rank 0.
    pub fn is_leader(&self) -> bool {
        match self {
            Self::Group(group) => group.rank() == 0,
            Self::Tasks(tasks) => tasks.rank == 0,
        }
    }
}

/// Store key of the message from rank 0.
const MESSAGE_KEY: &str = "word";

/// How long another rank waits for its job. Earlier stages, which only rank 0 runs, may take weeks.
const JOIN_TIMEOUT: Duration = Duration::from_secs(100 * 24 * 3600);
/// How long a connected rank waits for the others, if no job sets the timeout.
const RENDEZVOUS_TIMEOUT: Duration = Duration::from_secs(20);
/// Delay before another rank reconnects after the store of an earlier job was closed.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often a rank that waits for a job checks whether it must stop.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// A message from rank 0 to the others.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RankMessage {
    /// Run this job.
    Job(Box<Job>),
    /// There are no more jobs.
    NoMore,
}

/// Returns the rank environment of this process, or `None` if it is the only process.
///
/// # Errors
/// Returns an error if variables are missing, malformed or inconsistent.
fn environment() -> Result<Option<Environment>, StageError> {
    let environment = Environment::read().context("the environment of this rank")?;
    Ok(environment.filter(|environment| environment.world_size() > 1))
}

/// Connects rank 0 to the other ranks and sends them the job. Returns `None` if this is the only process.
///
/// # Errors
/// Returns an error if the other ranks do not connect in time, or if this is not rank 0.
pub fn start_as_leader(job: &Job) -> Result<Option<Peers>, StageError> {
    if !job.on_ranks {
        return Ok(None);
    }
    let Some(environment) = environment()? else { return Ok(None) };
    if environment.rank() != 0 {
        return Err(StageError::with_hint(
            format!("RANK is {}, but only rank 0 is started with a job", environment.rank()),
            "start the other ranks as `tfnas-stage join`",
        ));
    }
    let timeout = timeout(job);
    let store = rendezvous(&environment, timeout)?;
    send(&store, &RankMessage::Job(Box::new(job.clone())))?;
    peers(store, &environment, job).map(Some)
}

/// Connects another rank to rank 0 and waits for a job and for the ranks that run it. Returns `None` if there are no more jobs.
///
/// # Errors
/// Returns [`StageError::Stopped`] if `stop` is given and raised while there is no job, and an error if this is not a rank above
/// 0, if rank 0 is lost, or if this rank cannot run the job.
pub fn join(stop: Option<&StopFlag>) -> Result<Option<(Job, Peers)>, StageError> {
    let environment = environment()?
        .filter(|environment| environment.rank() > 0)
        .ok_or_else(|| StageError::new("`join` requires RANK above 0 and WORLD_SIZE above 1"))?;
    let store = connect(&environment, stop)?;
    match receive(&store)? {
        RankMessage::NoMore => {
            // Rank 0 may host the store; it waits at this barrier until all ranks have read the message.
            gloo(&store, &environment, RENDEZVOUS_TIMEOUT)?.barrier()?;
            Ok(None)
        }
        RankMessage::Job(job) => {
            let job = check_job(*job, &environment)?;
            let peers = peers(store, &environment, &job)?;
            Ok(Some((job, peers)))
        }
    }
}

/// Tells the other ranks that there are no more jobs; returns when all have received the message.
///
/// # Errors
/// Returns an error if this is not rank 0 of several ranks, or if the others do not connect in time.
pub fn release() -> Result<(), StageError> {
    let environment = environment()?
        .filter(|environment| environment.rank() == 0)
        .ok_or_else(|| StageError::new("`release` requires RANK 0 and WORLD_SIZE above 1"))?;
    let store = rendezvous(&environment, RENDEZVOUS_TIMEOUT)?;
    send(&store, &RankMessage::NoMore)?;
    Ok(gloo(&store, &environment, RENDEZVOUS_TIMEOUT)?.barrier()?)
}

fn timeout(job: &Job) -> Duration {
    Duration::try_from_secs_f64(job.rank_timeout_s).unwrap_or(RENDEZVOUS_TIMEOUT)
}

/// Connects to rank 0. Retries while there is no store, because none exists between two jobs.
fn connect(environment: &Environment, stop: Option<&StopFlag>) -> Result<Store, StageError> {
    let (sender, receiver) = channel();
    let environment = environment.clone();
    // The wait for rank 0 cannot be interrupted: if this rank must stop before, the thread ends with the process.
    std::thread::spawn(move || {
        let store = loop {
            match rendezvous(&environment, JOIN_TIMEOUT) {
                Err(RendezvousError::Store { source: StoreError::Lost { .. }, .. }) => std::thread::sleep(RETRY_DELAY),
                store => break store,
            }
        };
        // Sending fails if this rank has stopped.
        let _ = sender.send(store);
    });
    loop {
        match receiver.recv_timeout(STOP_CHECK) {
            Ok(store) => return Ok(store?),
            Err(RecvTimeoutError::Timeout) if stop.is_some_and(StopFlag::raised) => return Err(StageError::Stopped),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(StageError::new("the connection to rank 0 has ended")),
        }
    }
}

fn send(store: &Store, message: &RankMessage) -> Result<(), StageError> {
    let text = serde_json::to_vec(message).context("the job for the other ranks")?;
    store.set(MESSAGE_KEY, &text).context("the job for the other ranks")
}

fn receive(store: &Store) -> Result<RankMessage, StageError> {
    let text = store.get(MESSAGE_KEY, RENDEZVOUS_TIMEOUT).context("the job from rank 0")?;
    serde_json::from_slice(&text).context("the job from rank 0")
}

/// Checks that this rank has the same version and the same input files as rank 0. Image folders are not compared.
fn check_job(job: Job, environment: &Environment) -> Result<Job, StageError> {
    let (rank, world_size) = (environment.rank(), environment.world_size());
    job.check_version(crate::VERSION).context(format!("rank {rank} of {world_size}"))?;
    for (port, input) in &job.inputs {
        // A folder of images has too many files to hash it on every rank.
        if input.path.is_dir() {
            continue;
        }
        let found = digest(&input.path).map_err(|error| {
            StageError::file(&format!("read, on rank {rank} of {world_size},"), &input.path, &error)
        })?;
        if found != input.digest {
            return Err(StageError::with_hint(
                format!("rank {rank} of {world_size}: {} differs from the {port} of rank 0", input.path.display()),
                "put the store and the data on a file system that all ranks share",
            ));
        }
    }
    Ok(job)
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// Returns the device of this rank. On GPUs, each rank uses the GPU with the number of its local rank; processes that share tasks
/// may also share GPUs.
pub fn device_of(job: &Job, ranks: Option<&Peers>) -> Result<String, StageError> {
    if ranks.is_none() || !job.device.starts_with("cuda") {
        return Ok(job.device.clone());
    }
    let Some(environment) = environment()? else { return Ok(job.device.clone()) };
    let index = match ranks {
        Some(Peers::Tasks(_)) => environment.local_rank() % device_count().max(1),
        _ => environment.local_rank(),
    };
    Ok(format!("cuda:{index}"))
}

fn peers(store: Store, environment: &Environment, job: &Job) -> Result<Peers, StageError> {
    if job.stage == Stage::Select {
        let (rank, world_size) = (environment.rank(), environment.world_size());
        return Ok(Peers::Tasks(TaskStore { store, rank, world_size, timeout: timeout(job) }));
    }
    group(&store, environment, job).map(Peers::Group)
}

fn group(store: &Store, environment: &Environment, job: &Job) -> Result<ProcessGroup, StageError> {
    if job.device.starts_with("cuda") {
        return Ok(ProcessGroup::nccl(store, environment, timeout(job))?);
    }
    gloo(store, environment, timeout(job))
}

fn gloo(store: &Store, environment: &Environment, timeout: Duration) -> Result<ProcessGroup, StageError> {
    Ok(ProcessGroup::gloo(store, environment, timeout)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use tfnas_c10d::environment::Address;
    use tfnas_stages::{Input, PROTOCOL_VERSION};

    use super::*;

    fn job(list: &Path, digest: &str) -> Job {
        let input = Input { path: list.to_owned(), list: None, digest: digest.to_owned() };
        Job {
            protocol: PROTOCOL_VERSION,
            version: crate::VERSION.to_owned(),
            id: "train".to_owned(),
            stage: Stage::Train,
            params: serde_json::Value::Null,
            inputs: BTreeMap::from([("train.list".to_owned(), input)]),
            output_dir: "out".into(),
            resume_dir: "resume".into(),
            resume_every_s: 60.0,
            device: "cpu".to_owned(),
            threads: 1,
            data_workers: 0,
            check: None,
            trace: None,
            on_ranks: true,
            rank_timeout_s: 1.0,
        }
    }

    fn check(job: Job) -> String {
        let master = Address { host: "127.0.0.1".to_owned(), port: 1 };
        let rank = Environment::new(1, 2, 1, master, false).unwrap();
        match check_job(job, &rank) {
            Err(StageError::Failed { message, .. }) => message,
            other => format!("{:?}", other.map(|job| job.id)),
        }
    }

    #[test]
    fn a_rank_rejects_other_inputs_or_another_version_than_rank_0() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        std::fs::write(&list, "a/1.jpg 0\n").unwrap();
        let digest = blake3::hash(b"a/1.jpg 0\n").to_hex().to_string();
        assert_eq!(check(job(&list, &digest)), "Ok(\"train\")");
        let other = check(job(&list, &"0".repeat(64)));
        assert!(other.contains("rank 1 of 2: ") && other.contains("differs from the train.list of rank 0"), "{other}");
        let version = check(Job { version: "9.9.9".to_owned(), ..job(&list, &digest) });
        assert!(version.contains("rank 1 of 2: the planner is tfnas-pipeline 9.9.9"), "{version}");
    }
}
