//! Error messages for invalid input, kept as a snapshot so that changes of their wording are reviewed.

use std::fmt::Write as _;
use std::fs;

use crate::project::Project;
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
    ("no remote", |_| (), &["cache", "push"]),
];

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
