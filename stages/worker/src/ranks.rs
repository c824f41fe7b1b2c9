//! Several processes that do a job together: how they meet, and how rank 0 gives the others their job.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tfnas_c10d::cuda::device_count;
use tfnas_c10d::rendezvous::RendezvousError;
use tfnas_c10d::store::StoreError;
use tfnas_c10d::{Environment, ProcessGroup, Store, rendezvous};
use tfnas_stages::{Job, Stage};

use crate::error::{Context as _, StageError};

/// How the processes that do a job together work with each other.
pub enum Peers {
    /// They train one network together.
    Group(ProcessGroup),
    /// They share tasks that do not depend on each other.
    Tasks(TaskStore),
}

/// One process of several that share tasks.
pub struct TaskStore {
    /// The store, whose keys are those of this attempt alone.
    pub store: Store,
    /// Number of this process, from 0.
    pub rank: usize,
    /// Number of processes.
    pub world_size: usize,
    /// How long a process may not be heard of.
    pub timeout: Duration,
}

/// Key of what rank 0 tells the others.
const WORD: &str = "word";

/// How long another rank waits for its job: earlier stages, which rank 0 does alone, may take weeks.
const JOIN_PATIENCE: Duration = Duration::from_secs(100 * 24 * 3600);
/// How long a rank that has come waits for the others, where no job says it.
const MEETING_PATIENCE: Duration = Duration::from_secs(20);
/// How long another rank rests after the store of an earlier job has gone.
const PAUSE: Duration = Duration::from_millis(200);

/// What rank 0 tells the others.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RankMessage {
    /// Do this.
    Job(Box<Job>),
    /// There is nothing more to do.
    NoMore,
}

/// This process's place among several, where its environment names one.
///
/// # Errors
/// Variables that are missing, malformed or contradict each other.
fn environment() -> Result<Option<Environment>, StageError> {
    let environment = Environment::read().context("the environment of this rank")?;
    Ok(environment.filter(|environment| environment.world_size() > 1))
}

/// Rank 0's part: gives the job to the other ranks. None where this process is on its own.
///
/// # Errors
/// If the others do not come in time, or this is not rank 0.
pub fn start_as_leader(job: &Job) -> Result<Option<Peers>, StageError> {
    if !job.stage.runs_on_ranks() {
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
    tell(&store, &RankMessage::Job(Box::new(job.clone())))?;
    peers(store, &environment, job).map(Some)
}

/// Another rank's part: waits for a job, and for the other ranks that do it. None where no job will come.
///
/// # Errors
/// If this is no rank above 0, rank 0 is lost, or its job cannot be done here.
pub fn join() -> Result<Option<(Job, Peers)>, StageError> {
    let environment = environment()?.filter(|environment| environment.rank() > 0).ok_or_else(|| {
        StageError::new("`join` is for ranks above 0 of several: RANK and WORLD_SIZE do not say that this is one")
    })?;
    let store = connect(&environment)?;
    match receive(&store)? {
        RankMessage::NoMore => {
            // Rank 0 may hold the store, and ends when all have heard.
            gloo(&store, &environment, MEETING_PATIENCE)?.barrier()?;
            Ok(None)
        }
        RankMessage::Job(job) => {
            let job = on_this_rank(*job, &environment)?;
            let peers = peers(store, &environment, &job)?;
            Ok(Some((job, peers)))
        }
    }
}

/// Rank 0's word that no job will come; returns when all have heard it.
///
/// # Errors
/// If this is not rank 0 of several, or the others do not come.
pub fn release() -> Result<(), StageError> {
    let environment = environment()?.filter(|environment| environment.rank() == 0).ok_or_else(|| {
        StageError::new("`release` is for rank 0 of several: RANK and WORLD_SIZE do not say that this is it")
    })?;
    let store = rendezvous(&environment, MEETING_PATIENCE)?;
    tell(&store, &RankMessage::NoMore)?;
    Ok(gloo(&store, &environment, MEETING_PATIENCE)?.barrier()?)
}

fn timeout(job: &Job) -> Duration {
    Duration::try_from_secs_f64(job.rank_timeout_s).unwrap_or(MEETING_PATIENCE)
}

/// Meets rank 0, however late it comes: between two jobs there may be no store.
fn connect(environment: &Environment) -> Result<Store, StageError> {
    loop {
        match rendezvous(environment, JOIN_PATIENCE) {
            Err(RendezvousError::Store { source: StoreError::Lost { .. }, .. }) => std::thread::sleep(PAUSE),
            met => return Ok(met?),
        }
    }
}

fn tell(store: &Store, word: &RankMessage) -> Result<(), StageError> {
    let text = serde_json::to_vec(word).context("the job for the other ranks")?;
    store.set(WORD, &text).context("the job for the other ranks")
}

fn receive(store: &Store) -> Result<RankMessage, StageError> {
    let text = store.get(WORD, MEETING_PATIENCE).context("the job from rank 0")?;
    serde_json::from_slice(&text).context("the job from rank 0")
}

/// Checks that this rank can do the job as rank 0 does: the same program, and the same small inputs, which may lie on another disk.
fn on_this_rank(job: Job, environment: &Environment) -> Result<Job, StageError> {
    let (rank, world_size) = (environment.rank(), environment.world_size());
    job.check_version(crate::VERSION).context(format!("rank {rank} of {world_size}"))?;
    for (port, input) in &job.inputs {
        // A folder of images, whose files are too many to be read twice.
        if input.path.is_dir() {
            continue;
        }
        let found = digest(&input.path).map_err(|error| {
            StageError::file(&format!("read, on rank {rank} of {world_size},"), &input.path, &error)
        })?;
        if found != input.digest {
            return Err(StageError::with_hint(
                format!("rank {rank} of {world_size}: {} is not the {port} of rank 0", input.path.display()),
                "all ranks must see the same files: the store and the data must lie on a file system that they share",
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

/// The device of a rank: where ranks compute on GPUs, each has the one of its local rank. Processes that share tasks may
/// share GPUs too.
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
            rank_timeout_s: 1.0,
        }
    }

    fn refused(job: Job) -> String {
        let master = Address { host: "127.0.0.1".to_owned(), port: 1 };
        let rank = Environment::new(1, 2, 1, master, false).unwrap();
        match on_this_rank(job, &rank) {
            Err(StageError::Failed { message, .. }) => message,
            other => format!("{:?}", other.map(|job| job.id)),
        }
    }

    #[test]
    fn a_rank_takes_no_part_with_other_inputs_or_another_version_than_rank_0() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("list");
        std::fs::write(&list, "a/1.jpg 0\n").unwrap();
        let digest = blake3::hash(b"a/1.jpg 0\n").to_hex().to_string();
        assert_eq!(refused(job(&list, &digest)), "Ok(\"train\")");
        let other = refused(job(&list, &"0".repeat(64)));
        assert!(other.contains("rank 1 of 2: ") && other.contains("is not the train.list of rank 0"), "{other}");
        let version = refused(Job { version: "9.9.9".to_owned(), ..job(&list, &digest) });
        assert!(version.contains("rank 1 of 2: the planner is tfnas-pipeline 9.9.9"), "{version}");
    }
}
