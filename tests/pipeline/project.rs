//! A minimal project in which every stage runs, in a temporary folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tfnas::{Knot, LatencyCurve, LatencyTable, Space, SpaceDefinition, TableHeader};
use tfnas_testutils::program::with_default_signals;

/// Path of the binary.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_tfnas-pipeline");

/// Number of artifacts of a complete run.
pub const ARTIFACTS: usize = 20;

/// Minimal sizes. There is a checkpoint after each step, so that stages are also interrupted within an epoch.
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

/// The worker to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// tfnas-stage.
    Real,
    /// The fake worker of the planner's tests, with steps of this many milliseconds.
    Fake { step_ms: u32 },
}

/// A project and its worker.
pub struct Project {
    folder: TempDir,
    worker: Worker,
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
    /// Appends to the configuration.
    pub fn configure(&self, more: &str) {
        fs::write(self.folder().join("pipeline.yaml"), format!("{CONFIGURATION}{more}")).unwrap();
    }

    /// Creates a project that has not run yet.
    pub fn new(worker: Worker) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let definition = space();
        let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
        write("pipeline.yaml", CONFIGURATION.to_owned());
        write("space.yaml", serde_json::to_string(&definition).unwrap());
        write("latency.table", table(&Space::new(definition).unwrap()).to_text());
        Self { folder, worker }
    }

    /// Folder of the project.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the command of the program in the project; `arguments` begin with a subcommand.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = with_default_signals(PROGRAM);
        command.args(arguments).current_dir(self.folder()).stdin(Stdio::null());
        if let (Worker::Fake { step_ms }, "run") = (self.worker, arguments[0]) {
            command.arg("--worker").arg(fake_worker());
            command.env("FAKE_STAGE", self.folder()).env("FAKE_STEP_MS", step_ms.to_string());
        }
        command
    }

    /// Runs the program until it exits.
    pub fn run(&self, arguments: &[&str]) -> Completed {
        Completed::new(&self.command(arguments).output().unwrap())
    }

    /// Runs the program, which must succeed.
    pub fn run_ok(&self, arguments: &[&str]) -> Completed {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.out, ended.err);
        ended
    }

    /// Returns the stages of `status --json` with additional arguments.
    pub fn status(&self, arguments: &[&str]) -> Vec<Value> {
        let status = self.run_ok(&[&["status", "--json"], arguments].concat()).out;
        serde_json::from_str::<Value>(&status).unwrap()["stages"].as_array().unwrap().clone()
    }

    /// Returns the digest of every artifact by stage and name; `arguments` may select another store.
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

impl Completed {
    /// Converts the output of a process.
    pub fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Path of the fake worker, which cargo builds as an example.
fn fake_worker() -> PathBuf {
    let path = Path::new(PROGRAM).parent().unwrap().join("examples/fake-stage");
    assert!(path.exists(), "{} is not built: `cargo build --example fake-stage`", path.display());
    path
}

/// Returns a space with two groups, one with an optional block, and two operations, one of them with squeeze-excite.
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

/// Returns a table for this space with 1 µs per channel.
fn table(space: &Space) -> LatencyTable {
    let rows = space.needed_rows().into_iter().map(|row| {
        let knots = [1, row.max_width].map(|width| Knot { width, ms: width as f64 * 1e-3 });
        (row.key, LatencyCurve::new(knots.to_vec()).unwrap())
    });
    LatencyTable::new(TableHeader { name: "even".to_owned(), ..TableHeader::default() }, 0.5, rows.collect()).unwrap()
}
