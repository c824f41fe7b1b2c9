//! This planner as one of several that a launcher (torchrun, or srun by way of its variables) has started: rank 0 plans and
//! starts workers, every other rank lends its worker to the jobs of rank 0.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tfnas_stages::{Event, NO_MORE_JOBS};

use crate::error::CommandError;
use crate::execute::death;
use crate::execute::events::Mail;
use crate::execute::interrupt::Interrupts;
use crate::execute::process::{Process, Start};
use crate::execute::ranks::said_by;
use crate::exit::Exit;
use crate::machine::cpu;

/// How long a worker may take to end after its last word.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which of how many planners this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub world_size: usize,
    /// How many of them are on this machine.
    pub local_world_size: usize,
}

impl Place {
    /// Reads the launcher's variables; none where there is no launcher. The workers read the others of them.
    ///
    /// # Errors
    /// One of the variables is missing or is no number.
    pub fn read() -> Result<Option<Self>, CommandError> {
        Self::of(|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, CommandError> {
        let (rank, world_size) = (variable("RANK"), variable("WORLD_SIZE"));
        if rank.is_none() && world_size.is_none() {
            return Ok(None);
        }
        let number = |name: &str, value: Option<String>| {
            let problem = match value.as_deref().map(|text| (text, text.trim().parse::<usize>())) {
                Some((_, Ok(number))) => return Ok(number),
                Some((text, Err(_))) => format!("{name} is {text:?}, which is no whole number"),
                None => format!("{name} is not set, but RANK or WORLD_SIZE is"),
            };
            Err(CommandError::usage(problem).with_hint(
                "torchrun sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; unset all of them for a single process",
            ))
        };
        let (rank, world_size) = (number("RANK", rank)?, number("WORLD_SIZE", world_size)?);
        if rank >= world_size {
            return Err(CommandError::usage(format!("RANK is {rank}, but WORLD_SIZE is {world_size}"))
                .with_hint("ranks count from 0"));
        }
        let local = variable("LOCAL_WORLD_SIZE").map(|text| number("LOCAL_WORLD_SIZE", Some(text))).transpose()?;
        Ok(Some(Self { rank, world_size, local_world_size: local.unwrap_or(1).clamp(1, world_size) }))
    }

    /// Lends a worker to the jobs of rank 0 until there are no more.
    ///
    /// # Errors
    /// What goes wrong on this rank.
    pub fn lend(self, program: &Path) -> Result<Exit, CommandError> {
        let (sender, inbox) = channel();
        let for_signals = sender.clone();
        let _interrupts = Interrupts::listen(move |_| {
            // The last job may have ended meanwhile.
            let _ = for_signals.send(Mail::Kill);
        });
        loop {
            let start = |error: io::Error| {
                CommandError::usage(format!("cannot start the worker {}: {error}", program.display()))
            };
            let log = standard_error().map_err(start)?;
            let threads = self.threads();
            let arguments = [OsStr::new("join")];
            let worker = Start { program, arguments: &arguments, variables: &[], log, threads };
            let process = Process::start(worker, sender.clone()).map_err(start)?;
            let (failed, interrupted) = hear(&process, &inbox);
            let (status, _) = process.finish(PATIENCE).map_err(start)?;
            if interrupted || status.code() == Some(Exit::INTERRUPTED) {
                return Ok(Exit::Interrupted);
            }
            if !self.verdict(failed, status)? {
                return Ok(Exit::Done);
            }
        }
    }

    /// Whether there may be more jobs, after a worker has ended.
    fn verdict(self, failed: Option<(String, Option<String>)>, status: ExitStatus) -> Result<bool, CommandError> {
        let rank = format!("rank {} of {}", self.rank, self.world_size);
        match (failed, status.code()) {
            (Some((message, hint)), _) => Err(CommandError { hint, ..CommandError::failed(said_by(&rank, &message)) }),
            (None, Some(0)) => Ok(true),
            (None, Some(code)) if code == i32::from(NO_MORE_JOBS) => Ok(false),
            (None, _) => Err(CommandError::failed(format!("{rank}: {}", death::describe(status, false, None)))),
        }
    }

    /// Tells the other ranks that no job will come.
    ///
    /// # Errors
    /// If they cannot be told.
    pub fn release(self, program: &Path) -> Result<(), CommandError> {
        let told = Command::new(program).arg("release").output();
        let problem = match told {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(CommandError::failed(format!("the other ranks could not be told that the work is done: {problem}")))
    }

    /// Threads that each worker of this machine computes with, where the configuration leaves it open.
    pub fn threads(self) -> usize {
        (cpu::cores() / self.local_world_size).max(1)
    }
}

fn standard_error() -> io::Result<File> {
    Ok(io::stderr().as_fd().try_clone_to_owned()?.into())
}

/// Listens until the worker's last word: why it failed, if it did, and whether this process was told to end.
fn hear(process: &Process, inbox: &Receiver<Mail>) -> (Option<(String, Option<String>)>, bool) {
    let mut failed = None;
    let mut interrupted = false;
    for mail in inbox {
        match mail {
            Mail::Event(Event::Failed { message, hint, .. }) => failed = Some((message, hint)),
            Mail::Kill => {
                interrupted = true;
                process.kill();
            }
            Mail::Closed => break,
            _ => {}
        }
    }
    (failed, interrupted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn place(variables: &[(&str, &str)]) -> Result<Option<Place>, String> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Place::of(found).map_err(|error| error.to_string())
    }

    #[test]
    fn a_launcher_is_known_by_its_variables() {
        assert_eq!(place(&[("MASTER_ADDR", "localhost")]).unwrap(), None);
        let found = place(&[("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_WORLD_SIZE", "2")]).unwrap().unwrap();
        assert_eq!(found, Place { rank: 3, world_size: 4, local_world_size: 2 });
    }

    #[test]
    fn a_variable_that_is_missing_or_wrong_is_named() {
        assert!(place(&[("RANK", "0")]).unwrap_err().contains("WORLD_SIZE is not set"));
        assert!(place(&[("RANK", "x"), ("WORLD_SIZE", "2")]).unwrap_err().contains("RANK is \"x\""));
        assert!(place(&[("RANK", "2"), ("WORLD_SIZE", "2")]).unwrap_err().contains("WORLD_SIZE is 2"));
    }
}
