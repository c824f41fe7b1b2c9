//! The ranks of a job that several processes do: those beside rank 0, when this planner starts them all.

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

/// How long the others may take to end after rank 0.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often their end is looked for meanwhile.
const TICK: Duration = Duration::from_millis(10);

/// torchrun's variables for the ranks of one job on this machine.
pub struct RankEnvironment {
    port: u16,
    world_size: usize,
}

impl RankEnvironment {
    /// A meeting on a port that is free now.
    ///
    /// # Errors
    /// Those of the system.
    pub fn new(world_size: usize) -> io::Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        Ok(Self { port, world_size })
    }

    /// The variables of one rank.
    pub fn variables(&self, rank: usize) -> Vec<(&'static str, String)> {
        vec![
            ("RANK", rank.to_string()),
            ("LOCAL_RANK", rank.to_string()),
            ("WORLD_SIZE", self.world_size.to_string()),
            ("LOCAL_WORLD_SIZE", self.world_size.to_string()),
            ("MASTER_ADDR", Ipv4Addr::LOCALHOST.to_string()),
            ("MASTER_PORT", self.port.to_string()),
            ("TORCHELASTIC_USE_AGENT_STORE", "False".to_owned()),
            // c10d's own warnings with their C++ traces would bury the messages of the worker.
            ("TORCH_CPP_LOG_LEVEL", "FATAL".to_owned()),
        ]
    }
}

/// The ranks above 0, under way.
pub struct PeerRanks {
    ranks: Vec<Other>,
    world_size: usize,
}

struct Other {
    rank: usize,
    process: Process,
    inbox: Receiver<WorkerMessage>,
}

/// How one of them ended.
struct Ended {
    rank: usize,
    /// Why it failed, in its own words.
    failed: Option<Event>,
    status: ExitStatus,
    /// Whether it had to be killed.
    was_killed: bool,
}

impl PeerRanks {
    /// None: rank 0 is on its own.
    pub fn none() -> Self {
        Self { ranks: Vec::new(), world_size: 1 }
    }

    /// Starts all ranks of a meeting but rank 0.
    ///
    /// # Errors
    /// Those of the system; what was started is ended then.
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

    /// Waits until all have ended, which they do soon after rank 0, or else are killed; returns what they used, and what went
    /// wrong on one of them, if anything did that was not another rank's doing.
    ///
    /// # Errors
    /// Those of the system.
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
            let said = inbox.into_iter().take_while(|sender| !matches!(sender, WorkerMessage::Closed));
            let failed = said
                .filter_map(|sender| match sender {
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
    /// What went wrong on this rank itself.
    fn root_cause(&self, world_size: usize) -> Option<TaskFailure> {
        let rank = format!("rank {} of {world_size}", self.rank);
        match &self.failed {
            Some(Event::Failed { peer: true, .. }) => None,
            Some(Event::Failed { message, hint, .. }) => {
                Some(TaskFailure { hint: hint.clone(), ..TaskFailure::new(prefix_rank(&rank, message)) })
            }
            _ if self.was_killed => Some(TaskFailure {
                hint: Some("`ranks.timeout_s` is how long the others wait for a slow one".to_owned()),
                ..TaskFailure::new(format!("{rank} did not do its part in time: it hangs, or is too slow"))
            }),
            _ if self.status.success() || self.status.code() == Some(130) => None,
            _ => Some(TaskFailure::new(format!("{rank}: {}", exit_status::describe(self.status, false, None)))),
        }
    }
}

/// What a rank said, with its name: errors of collectives have it themselves.
pub fn prefix_rank(rank: &str, message: &str) -> String {
    if message.starts_with(rank) { message.to_owned() } else { format!("{rank}: {message}") }
}

/// What two processes used together.
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
