//! Error messages for invalid input, kept as a snapshot so that changes of their wording are reviewed.

use std::fmt::Write as _;
use std::fs;

use crate::project::{CONFIGURATION, Project};
use crate::snapshot;

/// Description, preparation of the project, and arguments.
type Case = (&'static str, fn(&Project), &'static [&'static str]);

const CASES: &[Case] = &[
    ("no such command", |_| (), &["train"]),
    ("no such stage", |_| (), &["run", "trian"]),
    ("a setting without a value", |_| (), &["run", "all", "--set", "search.epochs"]),
    ("an unknown key", |p| p.edit("target_lat_ms", "target_lat"), &["run", "all"]),
    ("an unknown key on the command line", |_| (), &["run", "all", "--set", "serch.epochs=3"]),
    ("a wrong type", |p| p.edit("threads: 1", "threads: many"), &["run", "all"]),
    ("an impossible value", |p| p.edit("train_share: 0.8", "train_share: 1.8"), &["run", "all"]),
    ("a key twice", |p| p.edit("seed: 3", "seed: 3\nseed: 4"), &["run", "all"]),
    ("not YAML", |p| p.write("pipeline.yaml", "data: {root: ["), &["run", "all"]),
    ("no configuration file", |_| (), &["run", "all", "--config", "none.yaml"]),
    ("an unknown space", |p| p.edit("space: small", "space: smal"), &["run", "all"]),
    ("an unknown device", |_| (), &["run", "all", "--set", "device=tpu"]),
    ("a wrong number of data workers", |_| (), &["run", "all", "--set", "data.workers=all"]),
    ("a budget that is no time", |_| (), &["run", "all", "--set", "lookup.budget_s=-1"]),
    ("no images", |p| fs::remove_dir_all(p.path("images")).unwrap(), &["run", "all"]),
    ("no classes", |p| p.edit("train: train", "train: val/a"), &["run", "all"]),
    ("no test images", |p| p.edit("test: val", "test: none"), &["run", "all"]),
    ("a table that is not there", |p| p.edit("batch: 1", "import: none.table"), &["run", "all"]),
    ("an architecture that is not there", |_| (), &["run", "train", "--from", "none.config"]),
    ("weights that are not there", |_| (), &["run", "test", "--weights", "none.pth.tar"]),
    ("no run yet", |_| (), &["report"]),
    ("no such run", |_| (), &["show", "7"]),
    ("no such artifact", |_| (), &["export", "model.config", "out"]),
    ("nothing to classify", |_| (), &["predict", "none.jpg"]),
    ("a folder without images", |p| fs::create_dir(p.path("empty")).unwrap(), &["predict", "empty"]),
    ("no store to publish from", |_| (), &["publish", "latest", "--out", "out"]),
    ("nothing to audit", |_| (), &["audit", "none"]),
    ("a table that cannot be read", |p| p.write("a.table", "latency"), &["table", "show", "a.table"]),
    ("a key that cannot be read", |p| p.write("key", "secret"), &["keys", "show", "key"]),
    ("no remote", |_| (), &["cache", "pull"]),
    ("a stage in place of a command", |_| (), &["serch", "--set", "seed=1"]),
    ("no such instance", |p| p.edit("target_lat_ms: 1.0", "target_lat_ms: [1.0, 2.0]"), &["run", "search@3.0"]),
    ("no such format", |_| (), &["export", "net.onnx", "--format", "onx"]),
    ("a key of another section", |p| p.edit("seed: 3", "target-lat-ms: 3"), &["plan"]),
    ("a missing key", |p| p.edit("  root: images\n", ""), &["plan"]),
    ("nothing in the configuration", |p| p.write("pipeline.yaml", "# to be done\n"), &["plan"]),
    ("an impossible value in a matrix", |p| add(p, "matrix:\n  train.lr: [0.1, -1, 0.2]\n"), &["plan"]),
    ("an unknown key in a matrix", |p| add(p, "matrix: {train.epoch: [1, 2]}\n"), &["plan"]),
    ("a default that another key makes impossible", |p| add(p, "executor: slurm\n"), &["plan"]),
    ("an unknown key of a map", |p| add(p, "slurm: {stages: {trian: {nodes: 2}}}\n"), &["plan"]),
    ("an impossible item of a list", |p| add(p, "slurm:\n  sbatch:\n    - --nice\n    - nice\n"), &["plan"]),
    ("an alias of an impossible value", |p| add(p, "ranks: &r {processes: 0}\nresources: *r\n"), &["plan"]),
    ("a value in an anchor", |p| p.edit("threads: 1", "threads: &n -1\nresume_every_s: *n"), &["plan"]),
    ("a tab", |p| p.edit("  epochs: 2\nselect", "\tepochs: 2\nselect"), &["plan"]),
    ("wide characters and a tab", |p| add(p, "parse: {größe: 1, 日本:\t語}\n"), &["plan"]),
    ("Windows line ends", |p| p.edit("threads: 1\n", "threads: viele\r\n"), &["plan"]),
    (
        "a long line",
        |p| add(p, &format!("ranks: {{timeout_s: 5, processes: {}0}} # {}\n", " ".repeat(90), "x".repeat(90))),
        &["plan"],
    ),
    ("a space with an unknown key", |p| own_space(p, "kernel: 3", "kernl: 3"), &["plan", "--set", "space=my.yaml"]),
    (
        "a space with an impossible value",
        |p| own_space(p, "kernel: 3", "kernel: 4"),
        &["plan", "--set", "space=my.yaml"],
    ),
    ("a space file that is not there", |p| p.edit("space: small", "space: my.yaml"), &["plan"]),
    ("a misspelled list of classes", |p| p.edit("train_share: 0.8", "classes: imagenet10"), &["plan"]),
    ("a table with an unknown entry", |p| p.write("a.table", TABLE), &["table", "show", "a.table"]),
    ("an imported table with a wrong line", import, &["run", "search"]),
    (
        "an address with credentials beside a mistake",
        |p| add(p, "cache: {remote: 's3://a:b@c/d', trust: 5}\n"),
        &["plan"],
    ),
    ("a misspelled name of a run", |p| drop(p.run_ok(&["run", "split", "--name", "baseline"])), &["report", "baselin"]),
    ("a misspelled word for the last run", |_| (), &["show", "latets"]),
    ("a name that could be a number", |_| (), &["run", "all", "--name", "12"]),
    ("a name that is a stage", |_| (), &["run", "all", "--name", "train"]),
    ("a name with a character of patterns", |_| (), &["run", "all", "--name", "lr*"]),
];

/// A latency table whose header has a misspelled entry.
const TABLE: &str = "latency table 1\nname: x\nunit: ms\nbach: 4\n";

/// Appends to the configuration.
fn add(project: &Project, text: &str) {
    project.write("pipeline.yaml", &format!("{CONFIGURATION}{text}"));
}

/// Writes a space, with a part replaced.
fn own_space(project: &Project, old: &str, new: &str) {
    let space = "resolution: 32\nfirst_stem: {channels: 8, stride: 1, activation: relu}\n\
                 second_stem: {channels: 8, activation: relu}\noperations: [{kernel: 3, expand: 3, max_expand: 4}]\n\
                 groups: [{channels: 8, blocks: 1, stride: 2, activation: relu}]\nfeature_mix: {channels: 16, activation: relu}\n";
    project.write("my.yaml", &space.replace(old, new));
}

/// Imports a table with a number that is none.
fn import(project: &Project) {
    project.write("a.table", &TABLE.replace("bach: 4", "batch: four"));
    project.edit("batch: 1", "import: a.table");
}

#[test]
fn error_messages_match_the_snapshot() {
    let mut text = String::new();
    for (what, spoil, arguments) in CASES {
        let project = Project::new();
        spoil(&project);
        let ended = project.run(arguments);
        assert!(matches!(ended.code, Some(1 | 2)), "{what}: {:?} {}{}", ended.code, ended.out, ended.err);
        let folder = project.path("").canonicalize().unwrap().display().to_string();
        let err = ended.err.replace(folder.trim_end_matches('/'), "PROJECT");
        let err: Vec<_> = err.lines().map(str::trim_end).collect();
        writeln!(text, "# {what} (exit code {})\n$ tfnas-pipeline {}", ended.code.unwrap(), arguments.join(" "))
            .unwrap();
        writeln!(text, "{}\n", err.join("\n")).unwrap();
    }
    snapshot::check("errors.txt", &text);
}
