//! The ranks above 0 of a job, if this planner starts all ranks itself.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use tfnas_artifacts::Usage;
use tfnas_stages::Event;

use crate::exit_status;
use crate::messages::WorkerMessage;
use crate::process::{Process, Start};
use crate::task_result::TaskFailure;

/// How long the other ranks may take to exit after rank 0.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to check whether they have exited.
const TICK: Duration = Duration::from_millis(10);

/// The environment variables, named as torchrun's, for the ranks of one job on this machine.
pub struct RankEnvironment {
    port: u16,
    world_size: usize,
}

impl RankEnvironment {
    /// Chooses a port that is free now for the rendezvous.
    ///
    /// # Errors
    /// Returns an error if no port can be bound.
    pub fn new(world_size: usize) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { port, world_size })
    }

    /// Returns the variables of one rank.
    pub fn variables(&self, rank: usize) -> Vec<(&'static str, String)> {
        vec![
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", rank.to_string()),
            ("WORLD_SIZE", self.world_size.to_string()),
            ("LOCAL_WORLD_SIZE", self.world_size.to_string()),
            ("MASTER_ADDR", Ipv4Addr::LOCALHOST.to_string()),
            ("MASTER_PORT", self.port.to_string()),
            ("TORCHELASTIC_USE_AGENT_STORE", "False".to_owned()),
            // c10d's own warnings contain C++ stack traces, which would bury the worker's messages.
            ("TORCH_CPP_LOG_LEVEL", "FATAL".to_owned()),
        ]
    }
}

/// The running ranks above 0.
pub struct PeerRanks {
    ranks: Vec<Other>,
    world_size: usize,
}

struct Other {
    rank: usize,
    process: Process,
    inbox: Receiver<WorkerMessage>,
}

/// How a rank has exited.
struct Ended {
    rank: usize,
    /// The last failure that the rank reported.
    failed: Option<Event>,
    status: ExitStatus,
    was_killed: bool,
}

impl PeerRanks {
    /// No other ranks: rank 0 works alone.
    pub fn none() -> Self {
        Self { ranks: Vec::new(), world_size: 1 }
    }

    /// Starts all ranks except rank 0.
    ///
    /// # Errors
    /// Returns an error if a rank cannot be started. The ranks that were started before it are killed.
    pub fn start(meeting: &RankEnvironment, program: &Path, log: &File, threads: usize) -> io::Result<Self> {
        let mut others = Self { ranks: Vec::new(), world_size: meeting.world_size };
        for rank in 1..meeting.world_size {
            let (sender, inbox) = channel();
            let started = log.try_clone().and_then(|log| {
                let variables = meeting.variables(rank);
                let arguments = [OsStr::new("join")];
                Process::start(Start { program, arguments: &arguments, variables: &variables, log, threads }, sender)
            });
            match started {
                Ok(process) => others.ranks.push(Other { rank, process, inbox }),
                Err(error) => {
                    others.ranks.iter().for_each(|other| other.process.kill());
                    others.end()?;
                    return Err(error);
                }
            }
        }
        Ok(others)
    }

    /// Waits until all ranks have exited, and kills those that take longer than `PATIENCE` after rank 0. Returns their
    /// total usage, and the first failure that was not caused by another rank.
    ///
    /// # Errors
    /// Returns an error if a process cannot be waited for.
    pub fn end(self) -> io::Result<(Usage, Option<TaskFailure>)> {
        let deadline = Instant::now() + PATIENCE;
        let mut usage = Usage::default();
        let mut ended = Vec::new();
        for Other { rank, process, inbox } in self.ranks {
            while !process.has_ended() && Instant::now() < deadline {
                std::thread::sleep(TICK);
            }
            let was_killed = !process.has_ended();
            let (status, used) = process.finish(Duration::ZERO)?;
            usage = add_usage(usage, used);
            let received = inbox.into_iter().take_while(|message| !matches!(message, WorkerMessage::Closed));
            let failed = received
                .filter_map(|message| match message {
                    WorkerMessage::Event(event @ Event::Failed { .. }) => Some(event),
                    _ => None,
                })
                .last();
            ended.push(Ended { rank, failed, status, was_killed });
        }
        Ok((usage, ended.iter().find_map(|rank| rank.root_cause(self.world_size))))
    }
}

impl Ended {
    /// Returns the failure of this rank, unless it was caused by another rank.
    fn root_cause(&self, world_size: usize) -> Option<TaskFailure> {
        let rank = format!("rank {} of {world_size}", self.rank);
        match &self.failed {
            Some(Event::Failed { peer: true, .. }) => None,
            Some(Event::Failed { message, hint, .. }) => {
                Some(TaskFailure { hint: hint.clone(), ..TaskFailure::new(prefix_rank(&rank, message)) })
            }
            _ if self.was_killed => Some(TaskFailure {
                hint: Some("raise `ranks.timeout_s` if a step can take longer".to_owned()),
                ..TaskFailure::new(format!("{rank} did not do its part in time: it hangs, or is too slow"))
            }),
            _ if self.status.success() || self.status.code() == Some(130) => None,
            _ => Some(TaskFailure::new(format!("{rank}: {}", exit_status::describe(self.status, false, None)))),
        }
    }
}

/// Prefixes a message with the name of its rank. Errors of collectives contain the name already.
pub fn prefix_rank(rank: &str, message: &str) -> String {
    if message.starts_with(rank) { message.to_owned() } else { format!("{rank}: {message}") }
}

/// Returns the total usage of two processes that run in parallel.
pub fn add_usage(one: Usage, other: Usage) -> Usage {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    };
    Usage {
        peak_memory_bytes: sum(one.peak_memory_bytes, other.peak_memory_bytes),
        cpu_ms: sum(one.cpu_ms, other.cpu_ms),
    }
}
