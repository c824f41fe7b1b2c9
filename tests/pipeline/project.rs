//! The smallest project in which every stage has something to do, in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tfnas::{Knot, LatencyCurve, LatencyTable, Space, SpaceDefinition, TableHeader};

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tfnas-pipeline");

/// The artifacts of a whole run.
pub const ARTIFACTS: usize = 20;

/// Everything small. Each step has a resume point, so that stages are also broken off in the middle of an epoch.
const CONFIGURATION: &str = "\
data:   {root: images, train: train, test: test, generate: {size: 16, train_per_class: 8, test_per_class: 2}, resize: 16}
space:  space.yaml
device: cpu
threads: 1
resume_every_s: 0.001
split:  {train_share: 0.5}
lookup: {import: latency.table}
search: {target_lat_ms: 50%, epochs: 3, warmup_epochs: 1, batch: 8, validate_last: 1, augment: {crop: padded, padding: 2}}
select: {candidates: 4, proposals: [2], rungs: [1, 2], keep: [2], rules: 1, pool: 30, min_distance: 1, parallel: 1}
parse:  {passes: 3}
train:  {epochs: 3, batch: 16, augment: {crop: padded, padding: 2}}
";

/// Who does the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// tfnas-stage.
    Real,
    /// The worker of the planner's tests, which takes steps of this many milliseconds.
    Fake { step_ms: u32 },
}

/// A project, and who does its stages.
pub struct Project {
    folder: TempDir,
    worker: Worker,
}

/// How the program ended.
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Project {
    /// Writes more into the configuration.
    pub fn configure(&self, more: &str) {
        fs::write(self.folder().join("pipeline.yaml"), format!("{CONFIGURATION}{more}")).unwrap();
    }

    /// A project that has not run yet.
    pub fn new(worker: Worker) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let definition = space();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("pipeline.yaml", CONFIGURATION.to_owned());
        write("space.yaml", serde_json::to_string(&definition).unwrap());
        write("latency.table", table(&Space::new(definition).unwrap()).to_text());
        Self { folder, worker }
    }

    /// The project's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program, to be run in the project; `arguments` begin with a command.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.folder()).stdin(Stdio::null());
        if let (Worker::Fake { step_ms }, "run") = (self.worker, arguments[0]) {
            command.arg("--worker").arg(fake_worker());
            command.env("FAKE_STAGE", self.folder()).env("FAKE_STEP_MS", step_ms.to_string());
        }
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::new(&self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must do what it is told.
    pub fn good(&self, arguments: &[&str]) -> Ended {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        ended
    }

    /// `status --json`, with these arguments too.
    pub fn status(&self, arguments: &[&str]) -> Vec<Value> {
        let status = self.good(&[&["status", "--json"], arguments].concat()).out;
        serde_json::from_str::<Value>(&status).unwrap()["stages"].as_array().unwrap().clone()
    }

    /// The digest of every artifact, by stage and name; `arguments` may name another store.
    pub fn digests(&self, arguments: &[&str]) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut digests = BTreeMap::new();
        for stage in self.status(arguments) {
            for output in stage["outputs"].as_array().unwrap() {
                digests.insert(format!("{}/{}", text(&stage["id"]), text(&output["name"])), text(&output["digest"]));
            }
        }
        digests
    }
}

impl Ended {
    /// What became of a process.
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// The worker of the planner's tests, which cargo builds with all tests.
fn fake_worker() -> PathBuf {
    let path = Path::new(PROGRAM).parent().unwrap().join("examples/fake-stage");
    assert!(path.exists(), "{} is not built: `cargo build --example fake-stage`", path.display());
    path
}

/// Two groups with a block to leave out, two operations, one of them with squeeze-excite.
fn space() -> SpaceDefinition {
    let group =
        |channels, blocks| json!({ "channels": channels, "blocks": blocks, "stride": 2, "activation": "swish" });
    let space = json!({
        "resolution": 16,
        "first_stem": { "channels": 8, "stride": 2, "activation": "relu" },
        "second_stem": { "channels": 8, "se_channels": 4, "activation": "relu" },
        "operations": [
            { "kernel": 3, "expand": 3, "max_expand": 4 },
            { "kernel": 3, "expand": 6, "max_expand": 8, "se_expand": 1 },
        ],
        "groups": [group(12, 1), group(16, 2)],
        "feature_mix": { "channels": 32, "activation": "swish" },
    });
    serde_json::from_value(space).unwrap()
}

/// A table for that space: a thousandth of a millisecond a channel.
fn table(space: &Space) -> LatencyTable {
    let rows = space.needed_rows().into_iter().map(|row| {
        let knots = [1, row.max_width].map(|width| Knot { width, ms: width as f64 * 1e-3 });
        (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
    });
    LatencyTable::new(TableHeader { name: "even".to_owned(), ..TableHeader::default() }, 0.5, rows.collect()).unwrap()
}
