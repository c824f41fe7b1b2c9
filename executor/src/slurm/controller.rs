use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::slurm::state::{COLUMNS, QueueState};

/// Timeout of a command. Slurm's commands wait for the controller themselves before they give up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Parts of messages that Slurm's programs print if the controller cannot be reached at the moment.
const NO_REPLY_MESSAGES: [&str; 14] = [
    "Unable to contact slurm controller",
    "Unable to establish controller",
    "Socket timed out",
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Zero Bytes were transmitted",
    "communication",
    "temporarily unable",
    "Resource temporarily unavailable",
    "Transport endpoint",
    "in standby mode",
    "Unexpected message received",
    "authentication",
];

/// A running command of Slurm.
pub struct SlurmCommand {
    program: &'static str,
    child: Child,
    started: Instant,
}

/// What a command replied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Its standard output.
    Ok(String),
    /// The controller refused, with this message.
    Error(String),
    /// No reply from the controller, for this reason.
    Unreachable(String),
}

impl SlurmCommand {
    /// Starts the program.
    ///
    /// # Errors
    /// Returns a message if the program cannot be started.
    pub fn start(program: &'static str, arguments: &[String]) -> Result<Self, String> {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    format!("{program} is not on this machine: `executor: slurm` needs Slurm's programs")
                }
                _ => format!("cannot start {program}: {error}"),
            })?;
        Ok(Self { program, child, started: Instant::now() })
    }

    /// Asks for the state of a job.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn of_job(job: &str) -> Result<Self, String> {
        Self::start("squeue", &["--noheader", "--states=all", "--jobs", job, "--Format", COLUMNS].map(str::to_owned))
    }

    /// Asks for the numbers of this user's jobs with a given name.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub fn by_name(name: &str) -> Result<Self, String> {
        let arguments = ["--noheader", "--states=all", "--me", "--name", name, "--Format", "JobID:32"];
        Self::start("squeue", &arguments.map(str::to_owned))
    }

    /// Returns the reply, or `None` while the program is running.
    pub fn reply(&mut self) -> Option<Reply> {
        match self.child.try_wait() {
            Ok(None) if self.started.elapsed() < PATIENCE => None,
            Ok(None) => {
                let seconds = PATIENCE.as_secs();
                Some(Reply::Unreachable(format!("{} has not ended within {seconds} s", self.program)))
            }
            Ok(Some(status)) => {
                // The programs print so little that it fits into a pipe buffer, so it can be read after they have
                // exited.
                let output = read(self.child.stdout.take());
                let complaint = read(self.child.stderr.take());
                Some(if status.success() { Reply::Ok(output) } else { failed(self.program, &complaint) })
            }
            Err(error) => Some(Reply::Unreachable(format!("cannot wait for {}: {error}", self.program))),
        }
    }
}

impl Drop for SlurmCommand {
    fn drop(&mut self) {
        // A program that has exited is reaped; one whose reply is not needed any more is killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // A read error is treated like empty output.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn failed(program: &str, complaint: &str) -> Reply {
    let text = complaint.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let text = if text.is_empty() { format!("{program} failed without an error message") } else { text };
    if NO_REPLY_MESSAGES.iter().any(|no_reply| text.contains(no_reply)) {
        Reply::Unreachable(text)
    } else {
        Reply::Error(text)
    }
}

/// Parses the state of a job from a reply of `squeue`.
///
/// # Errors
/// Returns a message if the state is unknown.
pub fn queue_state(reply: Reply) -> Result<QueueState, String> {
    match reply {
        // If there are several records, the last line is the newest one.
        Reply::Ok(text) => match text.lines().next_back() {
            Some(line) => QueueState::read(line).ok_or_else(|| format!("squeue printed `{line}`")),
            None => Ok(QueueState::Gone),
        },
        Reply::Error(text) if text.contains("Invalid job id") => Ok(QueueState::Gone),
        Reply::Error(text) | Reply::Unreachable(text) => Err(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn no_reply_is_distinguished_from_an_error() {
        let silent =
            failed("sbatch", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n");
        assert!(matches!(silent, Reply::Unreachable(_)));
        let down = failed("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
        assert!(matches!(down, Reply::Unreachable(_)));
        let rejected = failed(
            "sbatch",
            "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed",
        );
        assert_eq!(
            rejected,
            Reply::Error(
                "sbatch: error: invalid partition specified: x; sbatch: error: Batch job submission failed".to_owned()
            )
        );
    }

    #[test]
    fn a_job_that_the_controller_does_not_know_is_gone() {
        let forgotten = Reply::Error("slurm_load_jobs error: Invalid job id specified".to_owned());
        assert_eq!(queue_state(forgotten), Ok(QueueState::Gone));
        assert_eq!(queue_state(Reply::Ok(String::new())), Ok(QueueState::Gone));
        assert_eq!(queue_state(Reply::Ok("RUNNING 0 None".to_owned())), Ok(QueueState::Active));
        assert!(queue_state(Reply::Unreachable("down".to_owned())).is_err());
        assert!(queue_state(Reply::Ok("Welcome".to_owned())).unwrap_err().contains("Welcome"));
    }

    #[test]
    fn the_error_names_a_missing_program() {
        let Err(message) = SlurmCommand::start("no-such-squeue", &[]) else { panic!() };
        assert!(message.contains("no-such-squeue is not on this machine"), "{message}");
    }
}
