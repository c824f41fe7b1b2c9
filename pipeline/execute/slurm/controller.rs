use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::execute::slurm::state::{COLUMNS, Sight};

/// The longest that one of Slurm's programs may take: they wait for the controller by themselves, and then give up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What Slurm's programs print where the controller, or the way to it, is not there; or not for now.
const SILENCES: [&str; 14] = [
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

/// One of Slurm's programs at work.
pub struct Question {
    program: &'static str,
    child: Child,
    asked: Instant,
}

/// How a question was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With this text.
    Said(String),
    /// By a refusal, in these words.
    Refused(String),
    /// Not at all, for this reason.
    Silence(String),
}

impl Question {
    /// Asks by this program.
    ///
    /// # Errors
    /// A message, if the program cannot be started.
    pub fn ask(program: &'static str, arguments: &[String]) -> Result<Self, String> {
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
        Ok(Self { program, child, asked: Instant::now() })
    }

    /// Asks what has become of a job.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn of_job(job: &str) -> Result<Self, String> {
        Self::ask("squeue", &["--noheader", "--states=all", "--jobs", job, "--Format", COLUMNS].map(str::to_owned))
    }

    /// Asks for the numbers of this user's jobs of a name.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn by_name(name: &str) -> Result<Self, String> {
        let arguments = ["--noheader", "--states=all", "--me", "--name", name, "--Format", "JobID:32"];
        Self::ask("squeue", &arguments.map(str::to_owned))
    }

    /// Returns the answer once it is there.
    pub fn answer(&mut self) -> Option<Answer> {
        match self.child.try_wait() {
            Ok(None) if self.asked.elapsed() < PATIENCE => None,
            Ok(None) => {
                let seconds = PATIENCE.as_secs();
                Some(Answer::Silence(format!("{} has not ended within {seconds} s", self.program)))
            }
            Ok(Some(status)) => {
                // What these programs print fits in a pipe.
                let said = read(self.child.stdout.take());
                let complaint = read(self.child.stderr.take());
                Some(if status.success() { Answer::Said(said) } else { failed(self.program, &complaint) })
            }
            Err(error) => Some(Answer::Silence(format!("cannot wait for {}: {error}", self.program))),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        // One that was answered has ended; one that nobody waits for is to.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: Option<impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        // What cannot be read is as if it had not been said.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn failed(program: &str, complaint: &str) -> Answer {
    let text = complaint.lines().map(str::trim).collect::<Vec<_>>().join("; ");
    let text = if text.is_empty() { format!("{program} failed and did not say why") } else { text };
    if SILENCES.iter().any(|silence| text.contains(silence)) { Answer::Silence(text) } else { Answer::Refused(text) }
}

/// Returns what an answer says of a job; a message if it says nothing.
///
/// # Errors
/// Why nothing is known.
pub fn sight(answer: Answer) -> Result<Sight, String> {
    match answer {
        // The newest record is the last line, where there are several.
        Answer::Said(text) => match text.lines().next_back() {
            Some(line) => Sight::read(line).ok_or_else(|| format!("squeue said `{line}`")),
            None => Ok(Sight::Gone),
        },
        Answer::Refused(text) if text.contains("Invalid job id") => Ok(Sight::Gone),
        Answer::Refused(text) | Answer::Silence(text) => Err(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn silence_is_told_from_a_refusal() {
        let silent =
            failed("sbatch", "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n");
        assert!(matches!(silent, Answer::Silence(_)));
        let down = failed("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n");
        assert!(matches!(down, Answer::Silence(_)));
        let refused = failed(
            "sbatch",
            "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed",
        );
        assert_eq!(
            refused,
            Answer::Refused(
                "sbatch: error: invalid partition specified: x; sbatch: error: Batch job submission failed".to_owned()
            )
        );
    }

    #[test]
    fn a_job_that_the_controller_has_forgotten_is_gone() {
        let forgotten = Answer::Refused("slurm_load_jobs error: Invalid job id specified".to_owned());
        assert_eq!(sight(forgotten), Ok(Sight::Gone));
        assert_eq!(sight(Answer::Said(String::new())), Ok(Sight::Gone));
        assert_eq!(sight(Answer::Said("RUNNING 0 None".to_owned())), Ok(Sight::Active));
        assert!(sight(Answer::Silence("down".to_owned())).is_err());
        assert!(sight(Answer::Said("Welcome".to_owned())).unwrap_err().contains("Welcome"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let Err(message) = Question::ask("no-such-squeue", &[]) else { panic!() };
        assert!(message.contains("no-such-squeue is not on this machine"), "{message}");
    }
}
