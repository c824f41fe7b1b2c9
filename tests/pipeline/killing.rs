//! Planner and worker are killed at random times; the next run must give the same results as an undisturbed one.
//!
//! `TFNAS_KILLS` sets the number of projects. The times are drawn with a fixed seed, spread over the duration of an
//! undisturbed run, and are relative to the start of a stage, so that they also hit the stage on a busy machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tfnas_random::{Stream, StreamId};

use crate::processes::{send, workers};
use crate::project::{ARTIFACTS, Project, Worker};
use tfnas_testutils::waiting::wait_until;

/// Seed of the times.
const SEED: u64 = 7;

/// Counts over all projects.
#[derive(Debug, Default)]
struct Count {
    /// Number of runs killed before they ended.
    killed: u32,
    /// Number of stages that resumed from a checkpoint.
    resumed: usize,
    /// Number of stages that resumed within an epoch.
    inside_an_epoch: usize,
}

/// An undisturbed run.
struct Undisturbed {
    digests: BTreeMap<String, String>,
    /// Stages and their durations in seconds, in order.
    stages: Vec<(String, f64)>,
}

impl Undisturbed {
    fn run(worker: Worker) -> Self {
        let project = Project::new(worker);
        let events = project.run_ok(&["run", "all", "--json"]).out;
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let done = events.filter(|event| event["event"] == "done");
        let stages =
            done.map(|event| (event["id"].as_str().unwrap().to_owned(), event["duration_s"].as_f64().unwrap()));
        let undisturbed = Self { stages: stages.collect(), digests: project.digests(&[]) };
        assert_eq!((undisturbed.stages.len(), undisturbed.digests.len()), (7, ARTIFACTS));
        undisturbed
    }

    /// Returns the stage that runs when this fraction of the total time has passed, and how long it has been running
    /// then.
    fn moment(&self, share: f64) -> (&str, Duration) {
        let mut left = share * self.stages.iter().map(|(_, seconds)| seconds).sum::<f64>();
        for (stage, seconds) in &self.stages {
            if left < *seconds {
                return (stage, Duration::from_secs_f64(left));
            }
            left -= seconds;
        }
        (&self.stages.last().unwrap().0, Duration::ZERO)
    }
}

/// Kills runs of `kills` projects, and compares the results of the next run with an undisturbed one.
fn kill_and_run_again(worker: Worker, kills: u32) {
    let kills = std::env::var("TFNAS_KILLS").map_or(kills, |kills| kills.parse().unwrap());
    let undisturbed = Undisturbed::run(worker);
    let mut count = Count::default();
    for index in 0..kills {
        let project = Project::new(worker);
        let mut stream = Stream::new(SEED, StreamId::Timing, 0, index);
        let mut shares = vec![(f64::from(index) + stream.uniform()) / f64::from(kills)];
        // A stage that was resumed must survive a kill too.
        if stream.below(2) == 0 {
            shares.push(stream.between(shares[0], 1.0));
        }
        for share in shares {
            count.killed += u32::from(kill(&project, undisturbed.moment(share), &mut stream));
        }
        finish(&project, &undisturbed.digests, &mut count, index);
    }
    println!("{worker:?}, {kills} projects: {count:?}");
    assert!(count.killed > 0, "no run was killed before it ended");
}

/// Starts a run and kills its planner, its worker, or both after this time in the stage. Returns whether the run was
/// still running.
fn kill(project: &Project, (stage, after): (&str, Duration), stream: &mut Stream) -> bool {
    let mut run = project.command(&["run", "all", "--json"]);
    let mut planner = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(planner.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| {
        let event: Value = serde_json::from_str(line).unwrap();
        event["id"] == stage && (event["event"] == "started" || event["event"] == "cached")
    });
    // Keep reading the pipe, so that the planner never blocks on it.
    thread::spawn(move || lines.for_each(drop));
    thread::sleep(after);
    let victims = stream.below(3);
    if victims != 0 {
        workers(project.folder()).into_iter().for_each(|worker| send(Signal::KILL, worker));
    }
    if victims != 1 {
        planner.kill().unwrap();
    }
    wait_until("the planner has ended", || planner.try_wait().unwrap().is_some());
    wait_until("no worker outlives its planner", || workers(project.folder()).is_empty());
    !planner.wait().unwrap().success()
}

/// Runs a project to the end; the results must be those of the undisturbed run.
fn finish(project: &Project, expected: &BTreeMap<String, String>, count: &mut Count, index: u32) {
    project.run_ok(&["plan"]);
    let stderr = project.run_ok(&["run", "all"]).err;
    for at in stderr.lines().filter_map(|line| line.split_once(": resuming from ")).map(|(_, at)| at) {
        count.resumed += 1;
        count.inside_an_epoch += usize::from(at.contains(", step") && !at.ends_with(", step 1"));
    }
    assert_eq!(project.digests(&[]), *expected, "after kill {index}\n{stderr}");
    project.run_ok(&["cache", "verify"]);
    // If a kill hits between a commit and the following cleanup, `gc` cleans up.
    project.run_ok(&["gc", "--keep-last", "1"]);
    // Partially written files stay in `tmp` for a day, because they might belong to another planner.
    for folder in ["attempts", "resume"] {
        let mut left = fs::read_dir(project.folder().join(".tfnas").join(folder)).unwrap();
        assert!(left.next().is_none(), "something is left in {folder} after kill {index}");
    }
    assert_eq!(project.digests(&[]), *expected, "after gc {index}");
}

#[test]
fn after_any_kill_the_next_run_gives_the_undisturbed_digests() {
    kill_and_run_again(Worker::Real, 4);
}

#[test]
fn kills_between_short_steps_give_the_undisturbed_digests() {
    kill_and_run_again(Worker::Fake { step_ms: 1 }, 12);
}
