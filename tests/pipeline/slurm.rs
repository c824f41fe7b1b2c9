//! Complete pipelines as jobs of a real Slurm cluster, which `ci/with-slurm` starts on this machine (`make cluster`).
//!
//! After any disturbance of a job, the controller or the planner, the digests equal those of an undisturbed local run,
//! and no job or process is left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tfnas_stages::machine;

use crate::processes::send;
use crate::project::{ARTIFACTS, Project, Worker};
use tfnas_testutils::waiting::wait_until;

/// Long enough to disturb the training.
const LONGER: [&str; 2] = ["--set", "train.epochs=60"];

/// Returns a project that runs its stages as jobs.
fn cluster() -> Project {
    cluster_with("")
}

/// Returns a project that trains on two nodes.
fn two_nodes() -> Project {
    cluster_with("  stages: {train: {nodes: 2}}\n")
}

fn cluster_with(more: &str) -> Project {
    let project = Project::new(Worker::Real);
    let (model, governor) = (machine::cpu_model(), machine::governor());
    project.configure(&format!(
        "executor: slurm\nslurm:\n  poll_s: 1\n  time_min: 10\n  device_model: \"{model}\"\n  governor: \"{governor}\"\n{more}"
    ));
    project
}

/// Returns the digests of an undisturbed local run.
fn undisturbed() -> &'static BTreeMap<String, String> {
    static DIGESTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    DIGESTS.get_or_init(|| {
        let project = Project::new(Worker::Real);
        project.run_ok(&[&["run", "all"], LONGER.as_slice()].concat());
        project.digests(&LONGER)
    })
}

/// Returns the digests of an undisturbed run that trains with two local processes.
fn undisturbed_pair() -> &'static BTreeMap<String, String> {
    static DIGESTS: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    DIGESTS.get_or_init(|| {
        let project = Project::new(Worker::Real);
        project.run_ok(&[&["run", "all", "--nproc", "2"], LONGER.as_slice()].concat());
        project.digests(&LONGER)
    })
}

/// A running pipeline.
struct Run {
    planner: Child,
    events: std::io::Lines<BufReader<ChildStdout>>,
    stderr: PathBuf,
}

impl Run {
    fn start(project: &Project) -> Self {
        let stderr = project.folder().join("stderr.txt");
        let mut command = project.command(&[&["run", "all", "--json"], LONGER.as_slice()].concat());
        let errors = fs::OpenOptions::new().create(true).append(true).open(&stderr).unwrap();
        let mut planner = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let events = BufReader::new(planner.stdout.take().unwrap()).lines();
        Self { planner, events, stderr }
    }

    /// Waits for an event of a stage and returns it.
    fn wait_for(&mut self, stage: &str, name: &str) -> Value {
        for line in self.events.by_ref().map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["id"] == stage && event["event"] == name {
                return event;
            }
        }
        panic!("{stage} has not reported the event {name}: {}", fs::read_to_string(&self.stderr).unwrap());
    }

    /// Waits until the training runs, and returns its job.
    fn wait_for_training(&mut self) -> String {
        let job = self.wait_for("train", "submitted")["job"].as_str().unwrap().to_owned();
        // A loss is reported at the end of an epoch, after a checkpoint.
        self.wait_for("train", "metric");
        job
    }

    /// Waits until the run exits; returns its exit code and its standard error.
    fn end(mut self) -> (Option<i32>, String) {
        self.events.by_ref().for_each(drop);
        let code = self.planner.wait().unwrap().code();
        (code, fs::read_to_string(&self.stderr).unwrap())
    }
}

fn slurm(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns process ids and command lines of the workers in a project's folder, and of the processes that start them.
fn commands(project: &Project) -> Vec<(u32, String)> {
    let folder = fs::canonicalize(project.folder()).unwrap();
    let of = |pid: u32| {
        let is_in_folder = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|current| current == folder);
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok().filter(|_| is_in_folder)?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let found = entries.filter_map(|entry| of(entry.file_name().to_str()?.parse().ok()?));
    found.filter(|(_, line)| line.contains("tfnas-stage")).collect()
}

/// Returns the number of these processes.
fn workers(project: &Project) -> usize {
    commands(project).len()
}

/// Runs the remaining stages, and compares the results with those of an undisturbed run.
fn finish(project: &Project) {
    finish_as(project, undisturbed());
}

fn finish_as(project: &Project, undisturbed: &BTreeMap<String, String>) {
    project.run_ok(&[&["run", "all"], LONGER.as_slice()].concat());
    assert_eq!(project.digests(&LONGER), *undisturbed);
    assert_nothing_is_left(project);
}

fn assert_nothing_is_left(project: &Project) {
    for folder in ["attempts", "detached", "resume"] {
        let left = fs::read_dir(project.folder().join(".tfnas").join(folder)).unwrap().count();
        assert_eq!(left, 0, "something is left in {folder}");
    }
    wait_until("no job is left", || slurm("squeue", &["--noheader"]).is_empty());
    assert_eq!(workers(project), 0, "a process is left");
}

fn controller() -> u32 {
    let folder =
        PathBuf::from(std::env::var_os("SLURM_CONF").expect("run by ci/with-slurm")).with_file_name("slurmctld.pid");
    fs::read_to_string(folder).unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_gives_the_digests_of_a_local_run() {
    let project = cluster();
    let mut run = Run::start(&project);
    run.wait_for("test", "done");
    let (code, stderr) = run.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(project.digests(&LONGER).len(), ARTIFACTS);
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_that_is_cancelled_fails_and_resumes_in_the_next_run() {
    let project = cluster();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    slurm("scancel", &[&job]);
    let (code, stderr) = run.end();
    assert!(code == Some(1) && stderr.contains(&format!("train: job {job} was canceled")), "{stderr}");
    assert_eq!(workers(&project), 0, "a process is left");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_that_is_requeued_resumes_from_its_checkpoint() {
    let project = cluster();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    slurm("scontrol", &["requeue", &job]);
    run.wait_for("train", "resumed");
    let (code, stderr) = run.end();
    assert!(code == Some(0) && stderr.contains("started again") && !stderr.contains("submission 2"), "{stderr}");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_that_is_warned_resumes_in_another() {
    let project = cluster();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    // The signal that Slurm sends `warn_s` before the time limit.
    slurm("scancel", &["--batch", "--signal=USR1", &job]);
    run.wait_for("train", "resumed");
    let (code, stderr) = run.end();
    assert!(code == Some(0) && stderr.contains("submission 2"), "{stderr}");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_at_its_time_limit_resumes_in_another() {
    let project = cluster();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    // Stopped, so that it cannot finish before the controller checks time limits; SIGCONT is sent with the termination.
    commands(&project).iter().for_each(|(pid, _)| send(Signal::STOP, *pid));
    slurm("scontrol", &["update", &format!("JobId={job}"), "EndTime=now"]);
    run.wait_for("train", "resumed");
    let (code, stderr) = run.end();
    assert!(code == Some(0) && stderr.contains("time limit") && stderr.contains("submission 2"), "{stderr}");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_controller_outage_of_a_minute_is_tolerated() {
    let project = cluster();
    let mut run = Run::start(&project);
    run.wait_for_training();
    // The controller is unresponsive for half of the time, and down for the other half.
    send(Signal::STOP, controller());
    thread::sleep(Duration::from_secs(30));
    let old = controller();
    send(Signal::TERM, old);
    send(Signal::CONT, old);
    wait_until("the controller has ended", || !PathBuf::from(format!("/proc/{old}/exe")).exists());
    thread::sleep(Duration::from_secs(30));
    assert!(Command::new("slurmctld").status().unwrap().success());
    let (code, stderr) = run.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("does not answer") && stderr.contains("answers again"), "{stderr}");
    wait_until("the nodes are back", || slurm("sinfo", &["-h", "-N", "-o", "%T"]) == "idle\nidle");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_of_a_killed_planner_is_tracked_by_the_next() {
    let project = cluster();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    send(Signal::KILL, run.planner.id());
    assert_eq!(run.end().0, None);
    assert_eq!(workers(&project), 1, "the job is still running");
    let mut run = Run::start(&project);
    assert_eq!(run.wait_for("train", "taken_up")["job"], job.as_str());
    let (code, stderr) = run.end();
    let submitted = stderr.matches("train: submitted as job ").count();
    assert!(code == Some(0) && submitted == 1, "{stderr}");
    finish(&project);
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_job_writes_a_checkpoint_before_ctrl_c_ends_it() {
    let project = cluster();
    let mut run = Run::start(&project);
    run.wait_for_training();
    send(Signal::INT, run.planner.id());
    let (code, stderr) = run.end();
    assert!(code == Some(130) && stderr.contains("train: interrupted"), "{stderr}");
    assert_eq!(workers(&project), 0, "a process is left");
    finish(&project);
    assert!(!stderr.contains("canceled"), "{stderr}");
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_ranks_on_two_nodes_match_two_local_processes() {
    let project = two_nodes();
    let mut run = Run::start(&project);
    let job = run.wait_for_training();
    assert_eq!(slurm("squeue", &["--noheader", "--jobs", &job, "--format", "%D"]), "2");
    slurm("scontrol", &["requeue", &job]);
    run.wait_for("train", "resumed");
    let (code, stderr) = run.end();
    assert!(code == Some(0) && stderr.contains("started again"), "{stderr}");
    finish_as(&project, undisturbed_pair());
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_rank_that_is_killed_fails_its_stage_and_all_ranks_exit() {
    let project = two_nodes();
    let mut run = Run::start(&project);
    run.wait_for_training();
    let ends_as_rank = |line: &str| line.ends_with("/tfnas-stage join --detached ");
    let ranks: Vec<u32> =
        commands(&project).into_iter().filter(|(_, line)| ends_as_rank(line)).map(|(pid, _)| pid).collect();
    assert_eq!(ranks.len(), 1, "one rank besides rank 0");
    send(Signal::KILL, ranks[0]);
    let (code, stderr) = run.end();
    assert!(code == Some(1) && stderr.contains("rank 1"), "{stderr}");
    assert_eq!(workers(&project), 0, "a process is left");
    finish_as(&project, undisturbed_pair());
}

#[test]
#[ignore = "needs a Slurm cluster: make cluster"]
fn slurm_candidates_on_two_nodes_give_the_digests_of_a_local_run() {
    let select = |project: &Project| {
        project.run_ok(&["run", "select"]);
        let mut digests = project.digests(&[]);
        digests.retain(|name, _| name.starts_with("select/"));
        assert_eq!(digests.len(), 2);
        digests
    };
    let cluster = cluster_with("  stages: {select: {nodes: 2}}\n");
    assert_eq!(select(&cluster), select(&Project::new(Worker::Real)));
}
