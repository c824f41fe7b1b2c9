//! The fake worker as a detached process: it runs the job in a child process and writes the messages of the child to
//! the files that planners read.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGTERM, SIGUSR1};
use tfnas_stages::{Event, Submission, WorkerState, WorkerStatus, detached};

/// Runs the job in a folder according to the protocol of `tfnas-stage detached`, then exits.
pub fn run(folder: &Path, number: u32) -> ! {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGUSR1, SIGTERM] {
        signal_hook::flag::register(signal, stop.clone()).unwrap();
    }
    if Submission::read(folder).unwrap().is_none_or(|wanted| wanted.number != number) {
        eprintln!("submission {number} was given up");
        exit(0);
    }
    let restart = std::env::var("SLURM_RESTART_COUNT").map_or(0, |count| count.parse().unwrap());
    let say = |state| WorkerStatus { submission: number, restart, host: "n1".to_owned(), state }.write(folder).unwrap();
    say(WorkerState::Running);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("run")
        .arg(folder.join(detached::JOB))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stopped = stop.clone();
    thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(2));
        }
        let _ = stdin.write_all(b"{\"command\":\"stop\"}\n");
        // Kept open, because a closed pipe means that the planner has exited.
        thread::sleep(Duration::from_secs(600));
    });
    let mut events = OpenOptions::new().append(true).create(true).open(folder.join(detached::EVENTS)).unwrap();
    let mut last = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        writeln!(events, "{line}").unwrap();
        last = serde_json::from_str(&line).ok();
    }
    let status = child.wait().unwrap();
    let state = match last {
        Some(Event::Done { metrics }) => WorkerState::Done { metrics },
        Some(Event::Failed { message, hint, .. }) => WorkerState::Failed { message, hint },
        _ if status.code() == Some(130) => WorkerState::Interrupted { error: None },
        // The child exited without a final message.
        _ => exit(status.code().unwrap_or_else(|| 128 + status.signal().unwrap())),
    };
    say(state);
    exit(status.code().unwrap());
}
