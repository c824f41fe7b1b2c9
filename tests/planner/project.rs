//! A small project in a temporary folder, and runs of the program in it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use tempfile::TempDir;

use tfnas_testutils::program::with_default_signals;
use tfnas_testutils::waiting::HUNG_AFTER;

/// Path of the binary.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tfnas-pipeline");

/// The configuration of most tests.
pub const CONFIGURATION: &str = "\
data:
  root: images
  train: train
  test: val
space: small
device: cpu
threads: 1
seed: 3
split:
  train_share: 0.8
lookup:
  batch: 1
search:
  target_lat_ms: 1.0
  epochs: 2
select:
  candidates: 0
train:
  epochs: 2
";

/// The stages of this configuration, in order.
pub const STAGES: [&str; 6] = ["split", "lookup", "search", "parse", "train", "test"];

/// A project that uses the fake worker.
pub struct Project {
    folder: TempDir,
}

/// Result of a finished program.
pub struct Completed {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Project {
    /// Creates a project with the default configuration and placeholder images.
    pub fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        for class in ["train/a", "train/b", "val/a", "val/b"] {
            for image in 0..3 {
                project.write(&format!("images/{class}/{image}.jpg"), &format!("{class} {image}"));
            }
        }
        project.write("pipeline.yaml", CONFIGURATION);
        fs::create_dir(project.path("fake")).unwrap();
        project
    }

    /// Path of the project's folder, or of a file in it.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Writes a file and creates its parent folders.
    pub fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Replaces text in the configuration.
    pub fn edit(&self, old: &str, new: &str) {
        let text = fs::read_to_string(self.path("pipeline.yaml")).unwrap();
        assert!(text.contains(old), "{old} is not in the configuration");
        self.write("pipeline.yaml", &text.replace(old, new));
    }

    /// Sets an action of the fake worker for an instance, once.
    pub fn behave(&self, id: &str, what: &str) {
        self.write(&format!("fake/{id}"), what);
    }

    /// Returns the command of the program in the project.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = with_default_signals(PROGRAM);
        command.args(arguments).current_dir(self.folder.path()).env("FAKE_STAGE", self.path("fake"));
        if matches!(arguments.first(), Some(&("run" | "check" | "doctor"))) {
            command.arg("--worker").arg(fake_stage());
        }
        command
    }

    /// Runs the program until it exits.
    pub fn run(&self, arguments: &[&str]) -> Completed {
        Completed::new(&self.command(arguments).stdin(Stdio::null()).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn run_ok(&self, arguments: &[&str]) -> Completed {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        ended
    }

    /// Runs the program, which must succeed and print one JSON value.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.json_of(arguments, 0)
    }

    /// Runs the program, which must print one JSON value and exit with this code.
    pub fn json_of(&self, arguments: &[&str], code: i32) -> Value {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let ended = self.run(&arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}{}", ended.out, ended.err);
        serde_json::from_str(&ended.out).unwrap()
    }

    /// Runs `run … --json` and returns its events.
    pub fn events(&self, arguments: &[&str]) -> Vec<Value> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        self.run(&arguments).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Starts the program and waits for a line of its standard error that contains `text`.
    pub fn start(&self, arguments: &[&str], text: &str) -> Running {
        Running::start(self.command(arguments), text)
    }

    /// Returns the instances started since the last call of `trace`, in order.
    pub fn started(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("fake/trace")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Returns the started instances and clears the trace; no stage may be running.
    pub fn trace(&self) -> Vec<String> {
        let started = self.started();
        let _ = fs::remove_file(self.path("fake/trace"));
        started
    }

    /// Returns the files of the store's objects.
    pub fn objects(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut open = vec![self.path(".tfnas/objects")];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() { open.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    }
}

impl Completed {
    /// Converts the output of a process.
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A running program.
pub struct Running {
    child: Child,
    /// Lines of its standard error.
    stderr_lines: Receiver<String>,
    /// Its standard error so far.
    err: String,
}

impl Running {
    /// Starts the program and waits for a line of its standard error that contains `text`.
    pub fn start(mut command: Command, text: &str) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, stderr_lines) = channel();
        // The pipe is always read, so that the program never blocks on it.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut running = Self { child, stderr_lines, err: String::new() };
        running.wait_for(text);
        running
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for a line of its standard error that contains `text`.
    pub fn wait_for(&mut self, text: &str) {
        while let Some(line) = self.next_line() {
            if line.contains(text) {
                return;
            }
        }
        panic!("the program exited without printing `{text}`: {}", self.err);
    }

    /// Waits until it exits.
    pub fn end(mut self) -> Completed {
        while self.next_line().is_some() {}
        Completed { code: self.child.wait().unwrap().code(), out: String::new(), err: self.err }
    }

    fn next_line(&mut self) -> Option<String> {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
        match self.stderr_lines.recv_timeout(HUNG_AFTER) {
            Ok(line) => {
                self.err.push_str(&line);
                self.err.push('\n');
                Some(line)
            }
            Err(Disconnected) => None,
            Err(Timeout) => {
                let _ = self.child.kill();
                panic!("the program hangs; its standard error: {}", self.err)
            }
        }
    }
}

/// Path of the fake worker, which cargo builds as an example.
fn fake_stage() -> PathBuf {
    let path = Path::new(PROGRAM).parent().unwrap().join("examples/fake-stage");
    assert!(path.exists(), "{} is not built: `cargo build --example fake-stage`", path.display());
    path
}

/// Returns the step of an instance in `plan --json`.
pub fn step<'a>(plan: &'a Value, id: &str) -> &'a Value {
    plan["stages"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

/// Returns instances and actions in `plan --json`, in order.
pub fn actions(plan: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plan["stages"].as_array().unwrap().iter().map(|step| (text(&step["id"]), text(&step["action"]))).collect()
}
