//! Training with several processes.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::processes::{other_ranks, send, workers};
use crate::project::{Completed, PROGRAM, Project, Worker};
use tfnas_testutils::waiting::wait_until;

/// Forced training with two processes.
const TWO: &[&str] = &["run", "train", "--force", "train", "--nproc", "2"];

/// Returns a project in which `parse` has run.
fn project() -> Project {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "parse"]);
    project
}

fn trained(project: &Project) -> BTreeMap<String, String> {
    outputs(project, "train", &[])
}

fn outputs(project: &Project, stage: &str, options: &[&str]) -> BTreeMap<String, String> {
    let mut digests = project.digests(options);
    digests.retain(|name, _| name.split_once('/').is_some_and(|(of, _)| of == stage));
    assert_eq!(digests.len(), 3);
    digests
}

fn report(project: &Project) -> Value {
    let stages = project.status(&[]);
    let train = stages.iter().find(|stage| stage["id"] == "train").unwrap();
    let outputs = train["outputs"].as_array().unwrap();
    let output = outputs.iter().find(|output| output["name"] == "train.json").unwrap();
    serde_json::from_slice(&fs::read(project.folder().join(output["path"].as_str().unwrap())).unwrap()).unwrap()
}

/// Returns whether there is a checkpoint of the second epoch.
fn is_in_the_second_epoch(project: &Path) -> bool {
    let keys = fs::read_dir(project.join(".tfnas/resume")).into_iter().flatten().flatten();
    let points = keys.flat_map(|key| fs::read_dir(key.path())).flatten().flatten();
    // The position in a checkpoint name: epochs above, steps below 32 bits.
    let position = |name: String| name.split('-').next().and_then(|position| position.parse::<u64>().ok());
    let mut positions = points.filter_map(|point| position(point.file_name().to_string_lossy().into_owned()));
    positions.any(|position| position >> 32 > 0)
}

/// Starts a command with two processes, waits until it is in its second epoch, and sends a signal to rank 1.
fn disturb(project: &Project, command: &[&str], disturbance: Signal) -> Completed {
    let planner = project
        .command(&[command, &["--json"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = fs::canonicalize(project.folder()).unwrap();
    wait_until("the second epoch", || is_in_the_second_epoch(&folder));
    other_ranks(&folder).into_iter().for_each(|rank| send(disturbance, rank));
    let ended = Completed::new(&planner.wait_with_output().unwrap());
    wait_until("no rank outlives its planner", || workers(&folder).is_empty() && other_ranks(&folder).is_empty());
    ended
}

/// Runs the program under torchrun with two processes; needs PyTorch in PYTHONPATH.
fn torchrun(project: &Project, options: &[&str], arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-m", "torch.distributed.run", "--no-python", "--nproc-per-node", "2"]).args(options);
    command.arg(PROGRAM).args(arguments).current_dir(project.folder()).env("TMPDIR", project.folder());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
#[ignore = "needs torchrun: `make interop`"]
fn torchrun_gives_the_same_network_as_nproc_after_a_restart() {
    let project = project();
    project.run_ok(TWO);
    let expected = trained(&project);

    let launched = Completed::new(&torchrun(&project, &[], &TWO[..4]).output().unwrap());
    assert_eq!(launched.code, Some(0), "{}", launched.err);
    assert_eq!(trained(&project), expected);

    let restarts = torchrun(&project, &["--max-restarts", "1"], &TWO[..4]).spawn().unwrap();
    let folder = fs::canonicalize(project.folder()).unwrap();
    wait_until("the training is in its second epoch", || is_in_the_second_epoch(&folder));
    other_ranks(&folder).into_iter().for_each(|rank| send(Signal::KILL, rank));
    let restarted = Completed::new(&restarts.wait_with_output().unwrap());
    assert_eq!(restarted.code, Some(0), "{}", restarted.err);
    assert!(restarted.err.contains("resuming from epoch"), "{}", restarted.err);
    assert_eq!(trained(&project), expected, "after a restart");
}

#[test]
#[ignore = "needs torchrun: `make interop`"]
fn torchrun_reports_the_error_of_the_failed_rank() {
    let project = project();
    for (value, message) in [
        ("train.lr=1e30", "the training of all 4 candidates diverged"),
        ("train.batch=15", "train.batch: must be a multiple of the number of processes (2), not 15"),
    ] {
        let failed = torchrun(&project, &[], &["run", "train", "--set", value]).output().unwrap();
        let failed = Completed::new(&failed);
        assert_eq!(failed.code, Some(1));
        assert!(failed.err.contains(message), "{}", failed.err);
    }
}

#[test]
fn two_processes_train_reproducibly_and_close_to_one() {
    let project = project();
    project.run_ok(&["run", "train"]);
    let alone = report(&project);
    project.run_ok(TWO);
    let (first, together) = (trained(&project), report(&project));
    project.run_ok(TWO);
    assert_eq!(trained(&project), first, "the same training gives different bytes");
    for number in ["images", "val_images"] {
        assert_eq!(alone[number], together[number], "{number}");
    }
    let loss = |report: &Value| report["epochs"][0]["train_loss"].as_f64().unwrap();
    assert!((loss(&alone) - loss(&together)).abs() < 1e-2, "{} and {}", loss(&alone), loss(&together));

    // The error names a rank that is killed, and the next run gives the same results as an undisturbed one.
    let failed = disturb(&project, TWO, Signal::KILL);
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(failed.err.contains("rank 1 of 2: the worker was killed (SIGKILL)"), "{}", failed.err);
    let resumed = project.run_ok(TWO).err;
    assert!(resumed.contains("resuming from epoch"), "{resumed}");
    assert_eq!(trained(&project), first, "after a rank was killed");
}

#[test]
fn a_data_parallel_search_is_reproducible() {
    let project = Project::new(Worker::Real);
    project.run_ok(&["run", "search"]);
    let alone = outputs(&project, "search", &[]);
    let options = ["--set", "search.data_parallel=true"];
    project.run_ok(&[&["run", "search"], options.as_slice()].concat());
    assert_eq!(outputs(&project, "search", &options), alone, "a single process is no data-parallel search");

    let options = [&options[..], &["--set", "ranks.processes=2"]].concat();
    let forced = [&["run", "search", "--force", "search"], options.as_slice()].concat();
    project.run_ok(&forced);
    let together = outputs(&project, "search", &options);
    assert!(together != alone, "each process should use the statistics of its images");
    let failed = disturb(&project, &forced, Signal::KILL);
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(failed.err.contains("rank 1 of 2: the worker was killed (SIGKILL)"), "{}", failed.err);
    let resumed = project.run_ok(&forced).err;
    assert!(resumed.contains("resuming from epoch"), "{resumed}");
    assert_eq!(outputs(&project, "search", &options), together, "after a rank was killed");

    // The published configuration says that the search ran on two processes.
    project.run_ok(&[&["run", "all"], options.as_slice()].concat());
    project.run_ok(&["publish", "latest", "--out", "published"]);
    let audited = project.run(&["audit", "published"]);
    assert!(audited.out.contains("reached L3"), "{}{}", audited.out, audited.err);

    let uneven = project.run(&[&["run", "search", "--set", "search.batch=15"], options.as_slice()].concat());
    assert_eq!(uneven.code, Some(2));
    let message = "search.batch: must be a multiple of the number of processes (2), not 15";
    assert!(uneven.err.contains(message), "{}", uneven.err);
}

#[test]
fn a_hanging_rank_is_named_and_terminated() {
    let project = project();
    let failed = disturb(&project, &[TWO, &["--set", "ranks.timeout_s=1"]].concat(), Signal::STOP);
    assert_eq!(failed.code, Some(1), "{}", failed.err);
    assert!(failed.err.contains("rank 1 of 2 did not do its part in time"), "{}", failed.err);
    // A run with another number of processes resumes from their resume point.
    let alone = project.run_ok(&["run", "train"]).err;
    assert!(alone.contains("resuming from epoch"), "{alone}");
}

/// Starts a planner as torchrun starts one of two.
fn under_a_launcher(project: &Project, rank: usize, port: u16, arguments: &[&str]) -> Child {
    let mut command = project.command(&[&["run", "train"], arguments].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env("RANK", rank.to_string()).env("LOCAL_RANK", rank.to_string());
    command.env("WORLD_SIZE", "2").env("LOCAL_WORLD_SIZE", "2");
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", port.to_string());
    command.spawn().unwrap()
}

#[test]
fn planners_under_a_launcher_train_together() {
    let project = Project::new(Worker::Real);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let planners = [1, 0].map(|rank| under_a_launcher(&project, rank, port, &[]));
    let [other, first] = planners.map(|planner| Completed::new(&planner.wait_with_output().unwrap()));
    assert_eq!((first.code, other.code), (Some(0), Some(0)), "{}\n{}", first.err, other.err);
    assert!(other.out.is_empty(), "{}", other.out);
    let launched = trained(&project);
    project.run_ok(TWO);
    assert_eq!(trained(&project), launched, "--nproc trains another network");
}

#[test]
fn invalid_rank_configurations_are_reported() {
    let project = project();
    let uneven = project.run(&["run", "train", "--nproc", "3"]);
    assert_eq!(uneven.code, Some(2));
    let message = "train.batch: must be a multiple of the number of processes (3), not 16";
    assert!(uneven.err.contains(message), "{}", uneven.err);
    let missing = project.command(&["run", "train"]).env("RANK", "0").output().unwrap();
    let missing = Completed::new(&missing);
    assert_eq!(missing.code, Some(2));
    assert!(missing.err.contains("WORLD_SIZE is not set, but RANK"), "{}", missing.err);
    let impatient = ["--set", "ranks.timeout_s=1"];
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let first = |port| {
        let planner = under_a_launcher(&project, 0, port, &impatient);
        let ended = Completed::new(&planner.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        ended.err
    };
    let in_use = first(port);
    assert!(in_use.contains("choose another MASTER_PORT"), "{in_use}");
    drop(taken);
    let alone = first(port);
    assert!(alone.contains("rank 1 did not connect within 1 s"), "{alone}");
    let both = project.command(TWO).env("RANK", "0").env("WORLD_SIZE", "2").output().unwrap();
    assert!(Completed::new(&both).err.contains("--nproc under a launcher"));
}

#[test]
fn training_in_bf16_is_reproducible_and_differs_from_f32() {
    let project = project();
    project.run_ok(&["run", "train"]);
    let exact = trained(&project);
    let precision = ["--set", "train.precision=bf16"];
    project.run_ok(&[&["run", "train"], precision.as_slice()].concat());
    let half = project.digests(&precision);
    project.run_ok(&[&["run", "train", "--force", "train"], precision.as_slice()].concat());
    assert_eq!(project.digests(&precision), half);
    assert_ne!(half["train/last.safetensors"], exact["train/last.safetensors"]);
    let because = project.run_ok(&[&["explain", "train"], precision.as_slice()].concat()).out;
    assert!(!because.contains("error"), "{because}");
    let unsupported = project.run(&["run", "train", "--set", "train.precision=f16"]);
    // Some CPUs support f16.
    assert!(unsupported.code == Some(0) || unsupported.err.contains("train.precision"), "{}", unsupported.err);
}
