//! `executor: slurm` with a fake queue (`fake_slurm.sh`).

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use serde_json::Value;

use crate::project::{Completed, Project, Running};
use tfnas_testutils::waiting::wait_until;

/// The cluster configuration; the governor is that of this machine, because the fake nodes run here.
const CLUSTER: &str = "\
executor: slurm
slurm:
  poll_s: 0.05
  device_model: declared
parse:
  measure: false
";

/// A project that runs its stages as jobs.
struct Cluster {
    project: Project,
}

impl Cluster {
    fn new() -> Self {
        let project = Project::new();
        let text = fs::read_to_string(project.path("pipeline.yaml")).unwrap();
        project.write("pipeline.yaml", &format!("{text}{CLUSTER}"));
        project.write("slurm/bin/job", include_str!("fake_slurm.sh"));
        let program = project.path("slurm/bin/job");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["sbatch", "squeue", "scancel", "end"] {
            symlink("job", project.path("slurm/bin").join(name)).unwrap();
        }
        Self { project }
    }

    fn with_environment(&self, mut command: Command) -> Command {
        let path = format!("{}:{}", self.project.path("slurm/bin").display(), std::env::var("PATH").unwrap());
        command.env("PATH", path).env("FAKE_SLURM", self.project.path("slurm"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Completed {
        Completed::new(&self.with_environment(self.project.command(arguments)).output().unwrap())
    }

    fn run_ok(&self, arguments: &[&str]) -> Completed {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        ended
    }

    fn start(&self, arguments: &[&str], text: &str) -> Running {
        Running::start(self.with_environment(self.project.command(arguments)), text)
    }

    /// Ends a job as Slurm would.
    fn end(&self, job: u32, state: &str) {
        let mut command = self.with_environment(Command::new(self.project.path("slurm/bin/end")));
        assert!(command.args([job.to_string().as_str(), state]).status().unwrap().success());
    }

    /// Writes a file that controls the queue or a job.
    fn queue(&self, file: &str, text: &str) {
        self.project.write(&format!("slurm/{file}"), text);
    }

    fn answer_again(&self, file: &str) {
        fs::remove_file(self.project.path(&format!("slurm/{file}"))).unwrap();
    }

    /// Returns the number of submitted jobs.
    fn jobs(&self) -> usize {
        fs::read_dir(self.project.path("slurm/jobs")).map_or(0, |jobs| jobs.count())
    }

    fn of_job(&self, job: u32, file: &str) -> String {
        fs::read_to_string(self.project.path(&format!("slurm/jobs/{job}/{file}"))).unwrap_or_default().trim().to_owned()
    }

    /// Returns the digest of every artifact by stage and name.
    fn digests(&self) -> BTreeMap<String, String> {
        digests(&self.project)
    }

    /// Checks that no attempt is in progress and no job is left.
    fn assert_nothing_is_left(&self) {
        for folder in ["detached", "attempts"] {
            let left = fs::read_dir(self.project.path(&format!(".tfnas/{folder}"))).unwrap().count();
            assert_eq!(left, 0, "something is left in {folder}");
        }
        let over = |job: &u32| !["PENDING", "RUNNING"].contains(&self.of_job(*job, "state").as_str());
        wait_until("all jobs have ended", || (1..=self.jobs() as u32).all(|job| over(&job)));
    }
}

fn digests(project: &Project) -> BTreeMap<String, String> {
    let status = project.json(&["status"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let stages = status["stages"].as_array().unwrap().clone();
    let outputs =
        stages.iter().flat_map(|stage| {
            stage["outputs"].as_array().unwrap().iter().map(move |output| {
                (format!("{}/{}", text(&stage["id"]), text(&output["name"])), text(&output["digest"]))
            })
        });
    outputs.collect()
}

/// Returns the digests of an undisturbed local run of the same project.
fn undisturbed() -> BTreeMap<String, String> {
    let project = Project::new();
    let text = fs::read_to_string(project.path("pipeline.yaml")).unwrap();
    project.write("pipeline.yaml", &format!("{text}parse:\n  measure: false\n"));
    project.run_ok(&["run", "all"]);
    digests(&project)
}

/// A project whose search is running as job 3.
fn with_a_search(behavior: &str) -> (Cluster, Running) {
    let cluster = Cluster::new();
    cluster.run_ok(&["run", "split", "lookup"]);
    cluster.project.behave("search", behavior);
    let running = cluster.start(&["run", "all"], "search: worked");
    (cluster, running)
}

#[test]
fn each_stage_is_a_job_with_the_results_of_a_local_run() {
    let cluster = Cluster::new();
    let events = cluster.run_ok(&["run", "all", "--json"]).out;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((cluster.jobs(), of("submitted"), of("done"), of("metric")), (6, 6, 6, 6));
    assert_eq!(cluster.digests(), undisturbed());
    cluster.assert_nothing_is_left();
    assert!(cluster.of_job(2, "arguments").contains("--exclusive"), "a latency is measured alone");
    assert!(!cluster.of_job(3, "arguments").contains("--exclusive"));
    let again = cluster.run_ok(&["run", "all", "--json"]).out;
    assert!(again.contains("\"ran\":[]") && cluster.jobs() == 6, "{again}");
}

#[test]
fn the_log_of_a_job_is_kept_and_shown_when_it_fails() {
    let cluster = Cluster::new();
    cluster.project.behave("split", "fail");
    let ended = cluster.run(&["run", "split"]);
    assert!(ended.code == Some(1) && ended.err.contains("the data is odd"), "{}", ended.err);
    assert!(ended.err.contains("hint: look at it") && ended.err.contains("| log of split"), "{}", ended.err);
    cluster.assert_nothing_is_left();
    cluster.run_ok(&["run", "split"]);
}

#[test]
fn a_crashed_worker_fails_its_stage_with_a_reason() {
    for (behavior, words) in [("kill", "SIGKILL"), ("exit 7", "exit code 7"), ("forget", "did not report success")] {
        let cluster = Cluster::new();
        cluster.project.behave("split", behavior);
        let ended = cluster.run(&["run", "split"]);
        assert!(ended.code == Some(1) && ended.err.contains(words), "{behavior}: {}", ended.err);
        assert_eq!(cluster.project.json(&["status", "split"])["stages"][0]["outcome"], "failed");
        cluster.assert_nothing_is_left();
    }
}

#[test]
fn a_rejected_job_fails_with_the_message_of_slurm() {
    let cluster = Cluster::new();
    cluster.queue("refuse", "Invalid partition name specified");
    let ended = cluster.run(&["run", "split"]);
    assert!(ended.code == Some(1) && ended.err.contains("Invalid partition name specified"), "{}", ended.err);
    cluster.assert_nothing_is_left();
}

#[test]
fn an_undeclared_device_fails_the_measurement() {
    let cluster = Cluster::new();
    cluster.project.behave("lookup", "other device");
    let ended = cluster.run(&["run", "lookup"]);
    let words = "the device_model of n1 is `another`, but slurm.device_model is `declared`";
    assert!(ended.code == Some(1) && ended.err.contains(words), "{}", ended.err);
    cluster.assert_nothing_is_left();
}

#[test]
fn ctrl_c_writes_a_checkpoint_and_the_next_run_resumes() {
    let (cluster, running) = with_a_search("wait");
    running.signal("INT");
    let ended = running.end();
    assert!(ended.code == Some(130) && ended.err.contains("search: interrupted"), "{}", ended.err);
    assert_eq!(fs::read_to_string(cluster.project.path("slurm/scancel.log")).unwrap(), "--batch --signal=USR1 3\n");
    cluster.assert_nothing_is_left();
    assert!(cluster.run_ok(&["run", "all"]).err.contains("search: resuming from epoch 1"));
    assert_eq!(cluster.digests(), undisturbed());
}

#[test]
fn ctrl_c_removes_a_pending_job_from_the_queue() {
    let cluster = Cluster::new();
    cluster.queue("hold", "Priority");
    let running = cluster.start(&["run", "split"], "waits (Priority)");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    assert_eq!(cluster.of_job(1, "state"), "CANCELLED");
    assert!(cluster.project.trace().is_empty());
    cluster.assert_nothing_is_left();
}

#[test]
fn a_second_ctrl_c_cancels_immediately() {
    let (cluster, mut running) = with_a_search("hang");
    running.signal("INT");
    running.wait_for("Ctrl-C again ends at once");
    running.signal("INT");
    assert_eq!(running.end().code, Some(130));
    assert_eq!(cluster.of_job(3, "verdict"), "CANCELLED");
    cluster.assert_nothing_is_left();
}

#[test]
fn the_job_of_a_killed_planner_is_tracked_by_the_next_run() {
    let (cluster, running) = with_a_search("hold");
    running.signal("KILL");
    running.end();
    assert_eq!(cluster.project.json(&["status", "search"])["stages"][0]["outcome"], "running");
    cluster.run_ok(&["gc", "--keep-last", "1"]);
    let second = cluster.start(&["run", "all"], "search: job 3 was already submitted");
    cluster.project.write("fake/go", "");
    let ended = second.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let started = ["split", "lookup", "search", "search goes on", "parse", "train", "test"];
    assert_eq!(cluster.project.trace(), started);
    assert!(!ended.err.contains("search: worked"), "reported messages are not repeated: {}", ended.err);
    assert_eq!((cluster.jobs(), cluster.digests()), (6, undisturbed()));
    cluster.assert_nothing_is_left();
}

#[test]
fn a_job_survives_a_closed_terminal() {
    let (cluster, running) = with_a_search("hold");
    running.signal("HUP");
    let ended = running.end();
    assert!(ended.code == Some(130) && ended.err.contains("search: job 3 is still running"), "{}", ended.err);
    cluster.project.write("fake/go", "");
    wait_until("the job has ended without a planner", || cluster.of_job(3, "state") == "COMPLETED");
    // The controller has already forgotten the job.
    cluster.queue("jobs/3/forgotten", "");
    cluster.run_ok(&["run", "all"]);
    assert_eq!((cluster.jobs(), cluster.digests()), (6, undisturbed()));
    cluster.assert_nothing_is_left();
}

#[test]
fn a_submission_with_a_lost_reply_is_found_by_name() {
    let cluster = Cluster::new();
    cluster.queue("lost", "");
    // Held until it is found, because a finished job needs no search by name.
    cluster.queue("hold", "Priority");
    let running = cluster.start(&["run", "split"], "split: submitted as job 1");
    cluster.answer_again("hold");
    let ended = running.end();
    assert!(ended.code == Some(0) && ended.err.contains("does not answer"), "{}", ended.err);
    assert!(ended.err.contains("answers again"), "{}", ended.err);
    assert_eq!(cluster.jobs(), 1);
    cluster.assert_nothing_is_left();
}

#[test]
fn a_submission_that_never_arrived_is_repeated() {
    let cluster = Cluster::new();
    cluster.queue("late", "");
    let ended = cluster.run_ok(&["run", "split"]);
    assert!(ended.err.contains("split: submitted as job 1 (submission 2)"), "{}", ended.err);
    cluster.assert_nothing_is_left();
}

#[test]
fn a_planner_killed_during_submission_loses_no_job() {
    let cluster = Cluster::new();
    cluster.queue("down", "");
    let running = cluster.start(&["run", "split"], "does not answer");
    running.signal("KILL");
    running.end();
    cluster.answer_again("down");
    let ended = cluster.run_ok(&["run", "split"]);
    assert!(ended.err.contains("was submitted by an earlier run: looking for it"), "{}", ended.err);
    assert_eq!((cluster.jobs(), cluster.project.trace().len()), (1, 1));
    cluster.assert_nothing_is_left();
}

#[test]
fn the_result_of_a_forgotten_job_is_used() {
    let (cluster, running) = with_a_search("hold");
    running.signal("KILL");
    running.end();
    let folder = fs::read_dir(cluster.project.path(".tfnas/detached")).unwrap().next().unwrap().unwrap().path();
    // The reply to the submission was lost with the planner, and the queue forgets the job after it has ended.
    let note = fs::read_to_string(folder.join("submission.json")).unwrap().replace(",\"job\":\"3\"", "");
    fs::write(folder.join("submission.json"), note).unwrap();
    cluster.project.write("fake/go", "");
    wait_until("the job has ended", || cluster.of_job(3, "state") == "COMPLETED");
    cluster.queue("jobs/3/name", "another");
    cluster.run_ok(&["run", "search"]);
    assert_eq!(
        (cluster.jobs(), cluster.project.trace()),
        (3, ["split", "lookup", "search", "search goes on"].map(str::to_owned).to_vec())
    );
    cluster.assert_nothing_is_left();
}

#[test]
fn an_unreadable_submission_names_its_folder() {
    let cluster = Cluster::new();
    cluster.queue("hold", "Priority");
    let running = cluster.start(&["run", "split"], "waits (Priority)");
    running.signal("KILL");
    running.end();
    let folder = fs::read_dir(cluster.project.path(".tfnas/detached")).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("submission.json"), "half").unwrap();
    let ended = cluster.run(&["run", "split"]);
    let id = folder.file_name().unwrap().to_str().unwrap();
    assert!(ended.code == Some(1) && ended.err.contains("cannot read what was submitted"), "{}", ended.err);
    assert!(ended.err.contains("hint: cancel its job") && ended.err.contains(id), "{}", ended.err);
    let mut cancel = cluster.with_environment(Command::new(cluster.project.path("slurm/bin/scancel")));
    assert!(cancel.arg("1").status().unwrap().success());
    fs::remove_dir_all(folder).unwrap();
    cluster.answer_again("hold");
    cluster.run_ok(&["run", "split"]);
    cluster.assert_nothing_is_left();
}

#[test]
fn a_store_that_slurm_cannot_name_is_not_blocked() {
    let cluster = Cluster::new();
    let store = OsStr::from_bytes(b"store\xff");
    let mut command = cluster.with_environment(cluster.project.command(&["run", "split"]));
    let ended = Completed::new(&command.arg("--store").arg(store).output().unwrap());
    assert!(ended.code == Some(1) && ended.err.contains("UTF-8"), "{}", ended.err);
    let left = fs::read_dir(cluster.project.path("").join(store).join("detached")).unwrap().count();
    assert_eq!((left, cluster.jobs()), (0, 0));
}

#[test]
fn an_abandoned_submission_does_nothing() {
    let (cluster, running) = with_a_search("hold");
    let folder = fs::read_dir(cluster.project.path(".tfnas/detached")).unwrap().next().unwrap().unwrap().path();
    // The queue starts a copy of the first submission after a second one.
    let note = fs::read_to_string(folder.join("submission.json")).unwrap().replace("\"number\":1", "\"number\":2");
    cluster.project.trace();
    fs::write(folder.join("submission.json"), note).unwrap();
    let mut late = cluster.with_environment(Command::new("sh"));
    let late = late.arg(folder.join("batch.sh")).env("FAKE_STAGE", cluster.project.path("fake")).output().unwrap();
    assert!(late.status.success() && String::from_utf8_lossy(&late.stderr).contains("was given up"), "{late:?}");
    assert!(cluster.project.trace().is_empty());
    running.signal("INT");
    running.end();
}

#[test]
fn a_controller_outage_does_not_stop_running_jobs() {
    let (cluster, mut running) = with_a_search("hold");
    cluster.queue("down", "");
    running.wait_for("does not answer");
    cluster.project.write("fake/go", "");
    // The worker's own status ends the search; the next stage waits for the controller.
    running.wait_for("search: done");
    cluster.answer_again("down");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.err.matches("search: the cluster's controller does not answer").count(), 1, "{}", ended.err);
    assert_eq!(cluster.digests(), undisturbed());
    cluster.assert_nothing_is_left();
}

#[test]
fn a_job_that_ends_early_resumes_from_its_checkpoint() {
    for state in ["TIMEOUT", "PREEMPTED", "NODE_FAIL"] {
        let (cluster, mut running) = with_a_search("wait");
        cluster.end(3, state);
        running.wait_for("it is submitted again");
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{state}: {}", ended.err);
        assert!(ended.err.contains("search: resuming from epoch 1"), "{state}: {}", ended.err);
        assert_eq!((cluster.jobs(), cluster.digests()), (7, undisturbed()), "{state}");
        cluster.assert_nothing_is_left();
    }
}

#[test]
fn a_requeued_job_remains_the_same_job() {
    let (cluster, mut running) = with_a_search("wait");
    cluster.end(3, "REQUEUE");
    running.wait_for("started again");
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("search: resuming from epoch 1"), "{}", ended.err);
    assert_eq!((cluster.jobs(), cluster.digests()), (6, undisturbed()));
    cluster.assert_nothing_is_left();
}

#[test]
fn a_job_without_progress_is_not_resubmitted_forever() {
    let (cluster, mut running) = with_a_search("always hold");
    for job in 3..6 {
        wait_until("the job runs", || !cluster.of_job(job, "pid").is_empty());
        wait_until("its worker listens", || cluster.project.started().len() as u32 >= job - 2 + 2);
        cluster.end(job, "TIMEOUT");
        if job < 5 {
            running.wait_for("it is submitted again");
        }
    }
    let ended = running.end();
    assert!(ended.code == Some(1) && ended.err.contains("3 submissions in a row made no progress"), "{}", ended.err);
    assert!(ended.err.contains("slurm.time_min"), "{}", ended.err);
    cluster.assert_nothing_is_left();
}

#[test]
fn a_cancelled_job_fails_with_a_message() {
    let (cluster, running) = with_a_search("wait");
    cluster.end(3, "CANCELLED");
    let ended = running.end();
    assert!(ended.code == Some(1) && ended.err.contains("search: job 3 was canceled"), "{}", ended.err);
    cluster.assert_nothing_is_left();
    assert!(cluster.run_ok(&["run", "all"]).err.contains("search: resuming from epoch 1"));
}

#[test]
fn an_out_of_memory_job_fails_with_a_hint() {
    let (cluster, running) = with_a_search("hang");
    cluster.end(3, "OUT_OF_MEMORY");
    let ended = running.end();
    assert!(ended.code == Some(1) && ended.err.contains("slurm.memory_gib"), "{}", ended.err);
    cluster.assert_nothing_is_left();
}

#[test]
fn a_blocking_pending_reason_is_explained() {
    let cluster = Cluster::new();
    cluster.queue("hold", "AssocMaxJobsLimit");
    let mut running = cluster.start(&["run", "split"], "job 1 waits (AssocMaxJobsLimit): a limit of the account");
    cluster.answer_again("hold");
    running.wait_for("split: done");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn targets_are_submitted_in_parallel_up_to_max_jobs() {
    let cluster = Cluster::new();
    cluster.project.edit("target_lat_ms: 1.0", "target_lat_ms: [0.8, 0.9, 1.0]");
    cluster.project.edit("poll_s: 0.05", "poll_s: 0.05\n  max_jobs: 2");
    cluster.run_ok(&["run", "lookup"]);
    cluster.queue("hold", "Priority");
    let mut running = cluster.start(&["run", "search"], "waits (Priority)");
    running.wait_for("waits (Priority)");
    assert_eq!(cluster.jobs(), 2 + 2, "two of three");
    cluster.answer_again("hold");
    assert_eq!(running.end().code, Some(0));
    assert_eq!(cluster.jobs(), 2 + 3);
}

#[test]
fn local_defaults_must_be_configured_for_a_cluster() {
    let cluster = Cluster::new();
    for (set, key) in [
        ("device=auto", "device"),
        ("threads=0", "threads"),
        ("slurm.device_model=null", "slurm.device_model"),
        ("slurm.warn_s=0", "slurm.warn_s"),
        ("slurm.stages.test.nodes=2", "slurm.stages.test.nodes"),
    ] {
        let ended = cluster.run(&["run", "all", "--set", set]);
        assert!(ended.code == Some(2) && ended.err.contains(key), "{set}: {}", ended.err);
    }
    assert_eq!(cluster.jobs(), 0);
}

#[test]
fn the_cluster_is_not_part_of_any_key() {
    let project = Project::new();
    project.edit("seed: 3", "seed: 3\nparse: {measure: false}");
    project.run_ok(&["run", "split", "search"]);
    let text = fs::read_to_string(project.path("pipeline.yaml")).unwrap();
    project.write("pipeline.yaml", &format!("{text}executor: slurm\nslurm: {{partition: x, device_model: m}}\n"));
    let plan = project.json(&["plan", "split", "search"]);
    let actions: Vec<_> = plan["stages"].as_array().unwrap().iter().map(|step| step["action"].clone()).collect();
    // A table that was measured here does not belong to that device.
    assert_eq!(actions, ["cached", "run", "unknown"], "{plan}");
}
