//! The events of a run, and the commands that follow it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::project::{Project, STAGES};
use tfnas_testutils::waiting::wait_until;

/// Creates a project whose training reports the metrics of its epoch.
fn project_with_epochs() -> Project {
    let project = Project::new();
    project.write("fake/epochs", "");
    project
}

/// A command whose standard output is read while it runs.
struct Follower {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns the first line that contains `text`.
    fn wait_for(&mut self, text: &str) -> String {
        self.lines.by_ref().map(Result::unwrap).find(|line| line.contains(text)).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Returns the exit code and the rest of the output.
    fn end(mut self) -> (Option<i32>, Vec<String>) {
        let rest = self.lines.by_ref().map(Result::unwrap).collect();
        (self.child.wait().unwrap().code(), rest)
    }
}

fn events(project: &Project, run: u32) -> Vec<Value> {
    let text = fs::read_to_string(project.path(&format!(".tfnas/events/{run}.jsonl"))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names<'a>(events: &'a [Value], id: &str) -> Vec<&'a str> {
    events.iter().filter(|event| event["id"] == id).map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn a_run_records_its_events() {
    let project = project_with_epochs();
    project.run_ok(&["run", "all"]);
    let recorded = events(&project, 1);
    let (first, last) = (&recorded[0], recorded.last().unwrap());
    assert_eq!((&first["event"], &first["run"]), (&"planned".into(), &1.into()));
    let planned: Vec<&str> =
        first["stages"].as_array().unwrap().iter().map(|stage| stage["id"].as_str().unwrap()).collect();
    assert_eq!(planned, STAGES);
    assert_eq!((&last["event"], &last["outcome"]), (&"finished".into(), &"done".into()));
    assert!(recorded.iter().all(|event| event["time_ms"].as_i64().unwrap() > 1_600_000_000_000));
    for stage in STAGES {
        let names = names(&recorded, stage);
        assert_eq!((names[0], names[names.len() - 1]), ("started", "done"), "{stage}: {names:?}");
    }
    let epochs = |name: &str| {
        let of_train = recorded.iter().filter(|event| event["id"] == "train" && event["name"] == name);
        of_train.map(|event| (event["step"].as_u64().unwrap(), event["value"].as_f64().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(epochs("val_top1"), [(0, 0.5)]);

    project.run_ok(&["run", "all"]);
    assert!(STAGES.iter().all(|stage| names(&events(&project, 2), stage) == ["cached"]));
    project.run_ok(&["gc", "--keep-last", "1"]);
    assert_eq!(events(&project, 1), recorded, "gc keeps them");
    project.run_ok(&["check", "test"]);
    assert_eq!(names(&events(&project, 3), "test").last(), Some(&"done"));
}

#[test]
fn events_that_cannot_be_written_are_one_warning() {
    let project = Project::new();
    project.run_ok(&["run", "split"]);
    fs::remove_dir_all(project.path(".tfnas/events")).unwrap();
    project.write(".tfnas/events", "a file");
    let ended = project.run_ok(&["run", "all"]);
    assert_eq!(ended.err.matches("warning: cannot write .tfnas/events/2.jsonl").count(), 1, "{}", ended.err);
    let ended = project.run(&["watch"]);
    assert!(ended.code == Some(2) && ended.err.contains("run 2 has recorded no events"), "{}", ended.err);
    assert!(ended.err.contains("hint: `show 2`"), "{}", ended.err);
}

#[test]
fn watch_follows_a_run_until_its_end() {
    let project = project_with_epochs();
    project.behave("search", "hold");
    let running = project.start(&["run", "all"], "search: worked");
    let mut lines = Follower::start(project.command(&["watch"]));
    let mut json = Follower::start(project.command(&["watch", "1", "--json"]));
    assert_eq!(lines.wait_for("run 1"), "run 1: run all --worker ".to_owned() + &worker(&project));
    lines.wait_for("search: worked");
    json.wait_for("\"message\":\"worked\",\"id\":\"search\"");
    project.write("fake/go", "");
    assert_eq!(running.end().code, Some(0));
    let (code, rest) = lines.end();
    assert_eq!((code, rest.last().unwrap().as_str()), (Some(0), "done"));
    assert!(
        rest.iter().any(|line| line.starts_with("train: epoch 1: ") && line.contains("val_top1 0.5000")),
        "{rest:?}"
    );
    assert!(rest.iter().any(|line| line.starts_with("test: done in ")), "{rest:?}");
    let (code, rest) = json.end();
    let last: Value = serde_json::from_str(rest.last().unwrap()).unwrap();
    assert_eq!((code, &last["event"]), (Some(0), &"finished".into()));
}

/// Returns the path of the worker, as in the arguments of the run.
fn worker(project: &Project) -> String {
    let arguments = events(project, 1)[0]["arguments"].clone();
    arguments.as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn watch_ends_if_the_planner_is_killed() {
    let project = Project::new();
    project.behave("search", "wait");
    let running = project.start(&["run", "all"], "search: worked");
    let mut watching = Follower::start(project.command(&["watch", "latest"]));
    watching.wait_for("search: worked");
    running.signal("KILL");
    running.end();
    assert_eq!(watching.end().0, Some(1));
    // The planner may have died in the middle of a line.
    let mut file = fs::OpenOptions::new().append(true).open(project.path(".tfnas/events/1.jsonl")).unwrap();
    file.write_all(b"{\"time_ms\":1,\"event\":\"met").unwrap();
    let ended = project.run(&["watch"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains("run 1 has recorded no end: its planner was killed"), "{}", ended.err);
    assert!(ended.out.ends_with("search: worked\n"), "{}", ended.out);
    assert!(project.run(&["watch", "--json"]).out.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
}

#[test]
fn watch_ends_at_ctrl_c_and_the_run_goes_on() {
    let project = Project::new();
    project.behave("search", "hold");
    let running = project.start(&["run", "all"], "search: worked");
    let mut watching = Follower::start(project.command(&["watch"]));
    watching.wait_for("search: worked");
    watching.signal("INT");
    assert_eq!(watching.end().0, Some(130));
    project.write("fake/go", "");
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn watch_of_a_failed_run_fails() {
    let project = Project::new();
    let ended = project.run(&["watch"]);
    assert!(ended.code == Some(2) && ended.err.contains("there is no run in this store"), "{}", ended.err);
    project.behave("search", "fail");
    project.run(&["run", "all"]);
    let ended = project.run(&["watch"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.out.contains("search: failed: the data is odd\nfailed\n"), "{}", ended.out);
}

#[test]
fn a_run_writes_event_files_for_tensorboard() {
    let project = project_with_epochs();
    let said = project.run_ok(&["run", "all", "--tensorboard", "tb"]).err;
    assert!(said.contains("tensorboard --logdir tb"), "{said}");
    project.run_ok(&["run", "all", "--tensorboard", "tb"]);
    project.run_ok(&["export", "1", "exported", "--format", "tensorboard"]);
    for folder in ["tb/run-1", "tb/run-2", "exported/run-1"] {
        let has = |stage: &str, text: &str| {
            let entries = fs::read_dir(project.path(folder).join(stage)).unwrap();
            let mut files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
            let bytes = fs::read(files.next().unwrap()).unwrap();
            bytes.windows(text.len()).any(|part| part == text.as_bytes())
        };
        assert!(has("", "target_lat_ms"), "{folder}: the configuration");
        assert!(has("train", "val_top1") && has("train", "best_val_top1") && has("test", "top1"), "{folder}");
    }
    project.write("file", "");
    let said = project.run_ok(&["run", "all", "--tensorboard", "file"]).err;
    assert!(said.contains("warning: cannot write to file: "), "{said}");
}

#[test]
fn the_metrics_of_a_run_are_one_csv_file() {
    let project = Project::new();
    project.run_ok(&["run", "all"]);
    project.run_ok(&["export", "metrics.csv", "--format", "csv"]);
    let csv = fs::read_to_string(project.path("metrics.csv")).unwrap();
    assert!(csv.starts_with("stage,candidate,epoch,lr,train_loss,"), "{csv}");
    assert!(csv.contains("\ntrain,,0,0.1,1,"), "{csv}");
    let written = project.json(&["export", "1", "again.csv", "--format", "csv"]);
    assert_eq!((&written["run"], &written["format"]), (&1.into(), &"csv".into()));
    assert_eq!(fs::read_to_string(project.path("again.csv")).unwrap(), csv);
    let ended = project.run(&["export", "9999999", "x.csv", "--format", "csv"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let ended = project.run(&["export", "x.csv", "--format", "csv", "--fold"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
}

#[test]
fn the_page_is_served_and_follows_the_run() {
    let project = project_with_epochs();
    project.behave("train", "hold");
    let running = project.start(&["run", "all"], "train: worked");
    let mut server = Follower::start(project.command(&["report", "--serve", "--json"]));
    let told: Value = serde_json::from_str(&server.wait_for("url")).unwrap();
    assert_eq!(told["run"], 1);
    let address = told["url"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let get = |target: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = get("/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\nRefresh: 5\r\n"), "{answer}");
    for text in ["Under way", "train: epoch 1 of 1", "The training is not complete: 1 epoch so far.", "1 running"] {
        assert!(answer.contains(text), "{text}");
    }
    assert!(get("/../pipeline.yaml").starts_with("HTTP/1.1 404"));
    project.write("fake/go", "");
    assert_eq!(running.end().code, Some(0));
    wait_until("the page is final", || get("/").contains("Top-1 75.0 %"));
    let answer = get("/");
    assert!(!answer.contains("Refresh:") && !answer.contains("Under way"), "{answer}");
    server.signal("INT");
    assert_eq!(server.end().0, Some(0));

    let ended = project.run(&["report", "--serve=nowhere"]);
    assert!(ended.code == Some(2) && ended.err.contains("127.0.0.1:8000"), "{}", ended.err);
    assert_eq!(project.run(&["report", "--serve", "--output", "x.html"]).code, Some(2));
}

#[test]
fn the_report_of_a_failed_run_has_the_curves_so_far() {
    let project = project_with_epochs();
    project.behave("train", "fail");
    project.run(&["run", "all"]);
    project.run_ok(&["report", "1"]);
    let html = fs::read_to_string(project.path("report.html")).unwrap();
    assert!(html.contains("The training is not complete: 1 epoch so far.") && html.contains("id=\"training-loss\""));
    assert!(!html.contains("Under way"));
}
