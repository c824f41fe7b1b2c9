//! Crashes of the real worker.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::processes::{send, workers};
use crate::project::{Project, Worker};
use tfnas_testutils::waiting::wait_until;

/// A search that runs practically forever.
const ENDLESS: &[&str] = &["run", "all", "--json", "--set", "search.epochs=1000000"];

/// A run and its events.
struct Run {
    planner: Child,
    events: Box<dyn Iterator<Item = Value>>,
}

impl Run {
    fn start(project: &Project) -> Self {
        let mut planner = project.command(ENDLESS).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(planner.stdout.take().unwrap()).lines();
        Self { planner, events: Box::new(lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())) }
    }

    /// Waits for the event of this name for the search.
    fn search(&mut self, name: &str) -> Value {
        self.events.find(|event| event["event"] == name && event["id"] == "search").unwrap()
    }
}

#[test]
fn a_crashed_worker_fails_its_stage_and_keeps_the_log() {
    let project = Project::new(Worker::Real);
    for (signal, words) in [(Signal::KILL, "killed (SIGKILL)"), (Signal::SEGV, "segmentation fault (SIGSEGV)")] {
        let mut run = Run::start(&project);
        run.search("progress");
        wait_until("the worker is gone", || {
            let alive = workers(project.folder());
            // A signal handler absorbs the first SIGSEGV, to report stack overflows.
            alive.iter().for_each(|worker| send(signal, *worker));
            alive.is_empty()
        });
        let failed = run.search("failed");
        assert!(failed["message"].as_str().unwrap().contains(words), "{failed}");
        assert!(fs::exists(project.folder().join(failed["log"].as_str().unwrap())).unwrap(), "{failed}");
        let finished = run.events.last().unwrap();
        assert_eq!(finished["failed"], json!(["search"]), "{finished}");
        assert_eq!(run.planner.wait().unwrap().code(), Some(1));
        let outcomes = project.status(&["--set", "search.epochs=1000000"]);
        let outcomes: Vec<&str> = outcomes.iter().map(|stage| stage["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["done", "done", "failed", "never", "never", "never", "never"]);
    }
}
