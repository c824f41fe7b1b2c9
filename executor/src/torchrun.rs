//! Runs as one of several planners that a launcher (torchrun, or srun with torchrun's variables) has started. Rank 0
//! plans and starts workers. Every other rank starts workers that join the jobs of rank 0.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use tfnas_planner::machine::cpu;
use tfnas_stages::{Event, INTERRUPTED, NO_MORE_JOBS};

use crate::exit_status;
use crate::interrupt::Interrupts;
use crate::messages::WorkerMessage;
use crate::process::{Process, Start};
use crate::ranks::prefix_rank;
use crate::worker_monitor::STOP_PATIENCE;

/// How long a worker may take to exit after its output was closed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to check whether a worker that must stop has had enough time.
const TICK: Duration = Duration::from_millis(100);

/// Why a rank of a launcher failed.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// An environment variable of the launcher is missing or invalid.
    #[error("{problem}")]
    Variable {
        /// The variable and what is wrong with it.
        problem: String,
        /// How to fix it.
        hint: &'static str,
    },
    /// The worker could not be started.
    #[error("cannot start the worker {}: {source}", program.display())]
    Start {
        /// Path of the worker.
        program: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The worker of this rank failed.
    #[error("{message}")]
    Worker {
        /// The rank and why it failed.
        message: String,
        /// How to fix it.
        hint: Option<String>,
    },
    /// The other ranks could not be notified to exit and still wait for jobs.
    #[error("cannot notify the other ranks: {0}")]
    ShutDown(String),
}

/// How a rank above 0 has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RankEnd {
    /// Rank 0 has no more jobs.
    Done,
    /// A signal stopped it.
    Interrupted,
}

/// This planner's rank among those that a launcher has started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LauncherRank {
    /// Rank, counted from 0.
    pub rank: usize,
    /// Total number of ranks.
    pub world_size: usize,
    /// Number of ranks on this machine.
    pub local_world_size: usize,
}

impl LauncherRank {
    /// Reads the rank from the launcher's environment variables. Returns `None` without a launcher. The other variables
    /// are read by the workers.
    ///
    /// # Errors
    /// Returns [`LauncherError::Variable`] if a variable is missing or invalid.
    pub fn read() -> Result<Option<Self>, LauncherError> {
        Self::of(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, LauncherError> {
        let (rank, world_size) = (variable("RANK"), variable("WORLD_SIZE"));
        if rank.is_none() && world_size.is_none() {
            return Ok(None);
        }
        let number = |name: &str, value: Option<String>| {
            let problem = match value.as_deref().map(|text| (text, text.trim().parse::<usize>())) {
                Some((_, Ok(number))) => return Ok(number),
                Some((text, Err(_))) => format!("{name} is {text:?}, expected an integer"),
                None => format!("{name} is not set, but RANK or WORLD_SIZE is"),
            };
            Err(LauncherError::Variable {
                problem,
                hint: "torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; unset all of them for a single \
                       process",
            })
        };
        let (rank, world_size) = (number("RANK", rank)?, number("WORLD_SIZE", world_size)?);
        if rank >= world_size {
            return Err(LauncherError::Variable {
                problem: format!("RANK is {rank}, but WORLD_SIZE is {world_size}"),
                hint: "set RANK to a number from 0 to WORLD_SIZE - 1",
            });
        }
        let local = variable("LOCAL_WORLD_SIZE").map(|text| number("LOCAL_WORLD_SIZE", Some(text))).transpose()?;
        Ok(Some(Self { rank, world_size, local_world_size: local.unwrap_or(1).clamp(1, world_size) }))
    }

    /// Runs this rank's part of the jobs of rank 0, until there are no more.
    ///
    /// # Errors
    /// Returns [`LauncherError`] if the worker does not start or fails.
    pub fn serve(self, program: &Path) -> Result<RankEnd, LauncherError> {
        let (sender, inbox) = channel();
        let for_signals = sender.clone();
        let again = AtomicBool::new(false);
        let _interrupts = Interrupts::listen(move |_| {
            let message = if again.swap(true, Ordering::Relaxed) { WorkerMessage::Kill } else { WorkerMessage::Stop };
            // Sending fails if the last job has ended.
            let _ = for_signals.send(message);
        });
        loop {
            let start = |source| LauncherError::Start { program: program.to_owned(), source };
            let log = standard_error().map_err(start)?;
            let threads = self.threads();
            let arguments = [OsStr::new("join")];
            let worker = Start { program, arguments: &arguments, variables: &[], log, threads };
            let mut process = Process::start(worker, sender.clone()).map_err(start)?;
            let (failed, interrupted) = wait_for_end(&mut process, &inbox, STOP_PATIENCE);
            let (status, _) = process.finish(PATIENCE).map_err(start)?;
            if interrupted || status.code() == Some(INTERRUPTED.into()) {
                return Ok(RankEnd::Interrupted);
            }
            if !self.may_have_more_jobs(failed, status)? {
                return Ok(RankEnd::Done);
            }
        }
    }

    /// Returns whether there may be more jobs after a worker has exited.
    fn may_have_more_jobs(
        self,
        failed: Option<(String, Option<String>)>,
        status: ExitStatus,
    ) -> Result<bool, LauncherError> {
        let rank = format!("rank {} of {}", self.rank, self.world_size);
        match (failed, status.code()) {
            (Some((message, hint)), _) => Err(LauncherError::Worker { message: prefix_rank(&rank, &message), hint }),
            (None, Some(0)) => Ok(true),
            (None, Some(code)) if code == i32::from(NO_MORE_JOBS) => Ok(false),
            (None, _) => {
                let message = format!("{rank}: {}", exit_status::describe(status, false, None));
                Err(LauncherError::Worker { message, hint: None })
            }
        }
    }

    /// Tells the other ranks that there are no more jobs.
    ///
    /// # Errors
    /// Returns [`LauncherError::ShutDown`] if they cannot be notified.
    pub fn shut_down(self, program: &Path) -> Result<(), LauncherError> {
        let told = Command::new(program).arg("release").output();
        let problem = match told {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(LauncherError::ShutDown(problem))
    }

    /// Returns the number of computing threads of each worker on this machine, unless the configuration sets it.
    pub fn threads(self) -> usize {
        (cpu::cores() / self.local_world_size).max(1)
    }
}

fn standard_error() -> io::Result<File> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// Waits until the worker closes its output. Returns why it failed, if it did, and whether this process was told to
/// stop. The ranks agree when to stop, and rank 0 writes the resume point; so the worker gets a command first, and is
/// killed after `patience` or on a second request.
fn wait_for_end(
    process: &mut Process,
    inbox: &Receiver<WorkerMessage>,
    patience: Duration,
) -> (Option<(String, Option<String>)>, bool) {
    let mut failed = None;
    let mut interrupted = false;
    let mut deadline: Option<Instant> = None;
    loop {
        match inbox.recv_timeout(TICK) {
            Ok(WorkerMessage::Event(Event::Failed { message, hint, .. })) => failed = Some((message, hint)),
            Ok(WorkerMessage::Stop) => {
                interrupted = true;
                process.stop();
                deadline = Some(Instant::now() + patience);
            }
            Ok(WorkerMessage::Kill) => {
                interrupted = true;
                process.kill();
            }
            Ok(WorkerMessage::Closed) | Err(RecvTimeoutError::Disconnected) => return (failed, interrupted),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            process.kill();
            deadline = None;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn launcher_rank(variables: &[(&str, &str)]) -> Result<Option<LauncherRank>, String> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        LauncherRank::of(found).map_err(|error| error.to_string())
    }

    #[test]
    fn a_launcher_is_detected_by_its_variables() {
        assert_eq!(launcher_rank(&[("MASTER_ADDR", "localhost")]).unwrap(), None);
        let found = launcher_rank(&[("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")]).unwrap().unwrap();
        assert_eq!(found, LauncherRank { rank: 3, world_size: 4, local_world_size: 2 });
    }

    /// Starts a shell script as the worker of a rank and requests a stop. Returns whether the rank counts as interrupted,
    /// and the exit code of the script.
    fn stopped(script: &str, patience: Duration) -> (bool, Option<i32>) {
        let (sender, inbox) = channel();
        let arguments = [OsStr::new("-c"), OsStr::new(script)];
        let log = standard_error().unwrap();
        let worker = Start { program: Path::new("/bin/sh"), arguments: &arguments, variables: &[], log, threads: 1 };
        let mut process = Process::start(worker, sender.clone()).unwrap();
        sender.send(WorkerMessage::Stop).unwrap();
        let (failed, interrupted) = wait_for_end(&mut process, &inbox, patience);
        assert!(failed.is_none());
        (interrupted, process.finish(PATIENCE).unwrap().0.code())
    }

    #[test]
    fn a_rank_is_asked_to_stop_before_it_is_killed() {
        assert_eq!(stopped("read command; exit 130", STOP_PATIENCE), (true, Some(130)));
        assert_eq!(stopped("sleep 600", Duration::ZERO), (true, None));
    }

    #[test]
    fn the_error_names_a_missing_or_invalid_variable() {
        assert!(launcher_rank(&[("RANK", "0")]).unwrap_err().contains("WORLD_SIZE is not set"));
        assert!(launcher_rank(&[("RANK", "x"), ("WORLD_SIZE", "2")]).unwrap_err().contains("RANK is \"x\""));
        assert!(launcher_rank(&[("RANK", "2"), ("WORLD_SIZE", "2")]).unwrap_err().contains("WORLD_SIZE is 2"));
    }
}
